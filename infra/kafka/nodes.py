"""The nodes of a cluster on this machine: their ports, folders and server.properties."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.kafka.fetch import KafkaFailed

HOST: Final = "127.0.0.1"
_CONTROLLER_OFFSET: Final = 10_000
_INTERNAL_OFFSET: Final = 20_000
OFFSETS_PARTITIONS: Final = 12
"""Kafka's 50 cost a start on a small machine seconds and bring nothing there."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: broker and controller in one process."""

    id: int
    port: int
    """Clients."""
    controller_port: int
    internal_port: int
    """Between brokers; used by a secure cluster only."""
    folder: Path

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"


def plan(folder: Path, count: int, port: int) -> tuple[Node, ...]:
    """`count` nodes from `port` on, controllers 10,000 above (or below); port 0: free ones everywhere."""
    if count not in (1, 3, 5):
        raise KafkaFailed(f"a cluster has 1, 3 or 5 nodes (a majority must be able to decide), not {count}")
    if port and not 1024 <= port <= 65_535 - count:
        raise KafkaFailed(f"the port must be from 1024 to {65_535 - count} (0: free ones), not {port}")
    if port == 0:
        free = _free_ports(3 * count)
        ports = list(zip(free[:count], free[count : 2 * count], free[2 * count :], strict=True))
    else:
        ports = [(p, _beside(p, _CONTROLLER_OFFSET), _beside(p, _INTERNAL_OFFSET)) for p in range(port, port + count)]
    return tuple(Node(i + 1, *three, folder / f"node-{i + 1}") for i, three in enumerate(ports))


def _beside(port: int, offset: int) -> int:
    return port + offset if port + offset <= 65_535 else port - offset


def refuse_taken(nodes: Sequence[Node], secure: bool) -> None:
    """KafkaFailed when somebody listens on a port that is needed."""
    for node in nodes:
        for port in (node.port, node.controller_port, *((node.internal_port,) if secure else ())):
            with socket.socket() as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    tried.bind((HOST, port))
                except OSError:
                    raise KafkaFailed(
                        f"port {port} on {HOST} is in use by another program, and node {node.id} needs it: "
                        "choose others with --port (make kafka KAFKA_PORT=19092), or 0 for free ones"
                    ) from None


def properties(node: Node, nodes: Sequence[Node], security: Sequence[str] = ()) -> str:
    """server.properties of one node; `security`: the lines of a secure cluster instead of the plain listeners."""
    count = len(nodes)
    voters = ",".join(f"{n.id}@{HOST}:{n.controller_port}" for n in nodes)
    lines = [
        "process.roles=broker,controller",
        f"node.id={node.id}",
        f"controller.quorum.voters={voters}",
        "controller.listener.names=CONTROLLER",
        *(security or _plain(node)),
        f"log.dirs={node.folder.resolve() / 'data'}",
        "auto.create.topics.enable=false",
        f"default.replication.factor={count}",
        f"min.insync.replicas={in_sync(count)}",
        f"offsets.topic.replication.factor={count}",
        f"offsets.topic.num.partitions={OFFSETS_PARTITIONS}",
        f"transaction.state.log.replication.factor={count}",
        f"transaction.state.log.min.isr={in_sync(count)}",
        "transaction.state.log.num.partitions=4",
        "group.initial.rebalance.delay.ms=0",
        "group.min.session.timeout.ms=500",
        # A node that is stopped hands its leaderships over first; the last one of all has nobody to hand them to.
        "controlled.shutdown.enable=true",
        # A node that was killed is taken back only when its last session is over; Kafka's own 9 s are for networks.
        "broker.session.timeout.ms=5000",
        "broker.heartbeat.interval.ms=1000",
        "num.network.threads=2",
        "num.io.threads=4",
        "log.cleaner.dedupe.buffer.size=16777216",
    ]
    return "\n".join(lines) + "\n"


def in_sync(nodes: int) -> int:
    """min.insync.replicas of a cluster that survives the loss of one of `nodes`."""
    return max(1, nodes // 2 + 1) if nodes > 1 else 1


def _plain(node: Node) -> list[str]:
    return [
        f"listeners=PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        f"advertised.listeners=PLAINTEXT://{node.address}",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ]


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()
