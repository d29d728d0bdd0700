"""A real Kafka in the place of the embedded broker, for suites that were written for that one.

`pytest --broker=own ...` starts Kafkas as tests ask for brokers, at most as many as live at once, and stops them at the
end; `--broker=HOST:PORT` borrows the one at that address. Before each use every topic in it is deleted: never give the
address of a broker that holds anything of worth.
"""

import asyncio
import concurrent.futures
import shutil
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from infra.kafka.cluster import Cluster, ClusterOptions, start
from trivium.kafka.admin import admin

OWN = "own"
_RENEWED_S = 60.0
T = TypeVar("T")


class Pool:
    """The Kafkas of one run: those that are free, and those that were started here."""

    def __init__(self, option: str) -> None:
        if option != OWN and option.rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            raise pytest.UsageError(f"--broker={option}: every topic of that broker is deleted, so only one of this machine is taken")
        self._option = option
        self._free: list[tuple[str, Cluster | None]] = [] if option == OWN else [(option, None)]
        self._started: list[Cluster] = []
        self._folder = Path(tempfile.mkdtemp(prefix="trivium-kafka-"))

    def take(self) -> tuple[str, Cluster | None]:
        """Address of a Kafka that nobody uses, and the cluster when it may be stopped and started."""
        if self._free:
            return self._free.pop()
        if self._option != OWN:
            pytest.skip("needs a broker of its own, and --broker gave one, which is in use: run with --broker=own")
        data = self._folder / str(len(self._started) + 1)
        cluster = start(ClusterOptions(data, port=0), say=lambda _sentence: None)
        self._started.append(cluster)
        return cluster.bootstrap, cluster

    def give_back(self, address: str, cluster: Cluster | None) -> None:
        self._free.append((address, cluster))

    def close(self) -> None:
        """Stop and forget what was started."""
        for cluster in self._started:
            cluster.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class RealBroker:
    """What infra.broker.EmbeddedBroker is, on a real Kafka: the topics that were asked for, empty, and no others."""

    pool: Pool

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._topics = dict(topics)
        self._taken: tuple[str, Cluster | None] | None = None
        self._down = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        assert self._taken is not None
        return self._taken[0]

    @property
    def topics(self) -> Mapping[str, int]:
        return dict(self._topics)

    def start(self) -> None:
        if self._taken is None:
            self._taken = self.pool.take()
            apart(_renewed(self.bootstrap, self._topics))

    def stop(self) -> None:
        if self._taken is not None:
            self.set_up()
            self.pool.give_back(*self._taken)
            self._taken = None

    def create_topic(self, name: str, partitions: int) -> None:
        apart(_created(self.bootstrap, {name: partitions}))
        self._topics[name] = partitions

    def set_down(self) -> None:
        """kill -9."""
        cluster = self._cluster()
        for node in cluster.nodes:
            cluster.kill(node.id)
        self._down = True

    def set_up(self) -> None:
        """Started again, with its data, on the same port."""
        if self._down:
            self._cluster().start(say=lambda _sentence: None)
            self._down = False

    def set_rtt(self, rtt_ms: int) -> None:
        pytest.skip(f"a real Kafka cannot be told to answer {rtt_ms} ms late")

    def fail_requests(self, api_key: int, errors: Sequence[int]) -> None:
        pytest.skip(f"a real Kafka cannot be told to answer request {api_key} with {errors}")

    def clear_request_errors(self, api_key: int) -> None:
        pytest.skip(f"a real Kafka cannot be told how to answer request {api_key}")

    def _cluster(self) -> Cluster:
        assert self._taken is not None
        if self._taken[1] is None:
            pytest.skip("a broker that was given is not stopped: run with --broker=own")
        return self._taken[1]


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in a thread of its own: brokers are made inside and outside of event loops."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _renewed(bootstrap: str, topics: Mapping[str, int]) -> None:
    """Deleted until it is: a broker that has just started, or stands still, may not tell of all topics that it has."""
    async with asyncio.timeout(_RENEWED_S):
        while not await _emptied(bootstrap) or not await _made(bootstrap, topics):  # noqa: ASYNC110 - asks a broker
            await asyncio.sleep(0.05)
    await _led(bootstrap, topics)


async def _emptied(bootstrap: str) -> bool:
    """Whether no topic was there; those that were are being deleted."""
    async with admin(bootstrap) as client:
        old = [name for name in await client.list_topics() if not name.startswith("__")]
        if old:
            await client.delete_topics(old)
        return not old


async def _created(bootstrap: str, topics: Mapping[str, int]) -> None:
    assert await _made(bootstrap, topics), f"{list(topics)}: some are there"
    await _led(bootstrap, topics)


async def _made(bootstrap: str, topics: Mapping[str, int]) -> bool:
    """Whether none of them was there."""
    if not topics:
        return True
    async with admin(bootstrap) as client:
        response = await client.create_topics([NewTopic(name, count, 1, topic_configs=_configs(name)) for name, count in topics.items()])
    wrong = {for_code(code) for _name, code, *_ in response.topic_errors if code}
    assert wrong <= {TopicAlreadyExistsError}, response.topic_errors
    return not wrong


async def _led(bootstrap: str, topics: Mapping[str, int]) -> None:
    """Returns once every partition has a leader."""
    async with asyncio.timeout(_RENEWED_S), admin(bootstrap) as client:
        while topics:
            described = await client.describe_topics(list(topics))
            leaders = [p["leader"] for t in described for p in t["partitions"] if not t.get("error_code")]
            if len(leaders) == sum(topics.values()) and -1 not in leaders:
                return
            await asyncio.sleep(0.02)


def _configs(name: str) -> dict[str, str]:
    """Topics of the mesh have the broker's time; on others, tests give records times of their own, as the embedded one lets them."""
    if name.startswith("trivium."):
        return {"message.timestamp.type": "LogAppendTime"}
    return {name: str(2**63 - 1) for name in ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")}
