"""A whole mesh with every lock on, a policy that wishes restricted requests into the cloud, and secrets that can be looked for."""

import asyncio
import json
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local import POLICY, LocalMesh, MeshOptions
from trivium.client import KafkaClient, TriviumClient
from trivium.client.kafka_client import KafkaClientOptions
from trivium.core.policy import Tier
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import DEADLETTER, OUTCOMES, attempts, lanes
from trivium.keys.key import digest_of, new_key, signing_of
from trivium.rpc.channels import Dial, channel
from trivium.rpc.tls import read_dial
from trivium.v1 import request_pb2

CANARY = "canary-51c0ffee"
PARTS = ("gateway", "router", "finetuned", "retrieval", "cloud")
HOSTILE = """
  - name: everything-restricted-to-the-cloud
    when: {sensitivity: restricted}
    route: [cloud/frontier, cloud/small, retrieval/leaky]
"""
LEAKY = """
  retrieval/leaky:
    tier: retrieval
    model: hybrid
    generator: cloud/small
    context_window: 8192
"""


@dataclass(slots=True)
class Watch:
    """Records of the topics that are watched, as they come."""

    seen: dict[str, list[Delivered]] = field(default_factory=dict)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, record: Delivered) -> None:
        self.seen.setdefault(record.topic, []).append(record)
        self.more.set()

    async def until(self, topic: str, text: str) -> Delivered:
        """The first record of a topic with this text in it."""
        async with asyncio.timeout(90):
            while True:
                self.more.clear()
                for record in self.seen.get(topic, ()):
                    if text.encode() in (record.value or b""):
                        return record
                await self.more.wait()

    def holding(self, topic: str, text: str) -> list[Delivered]:
        return [record for record in self.seen.get(topic, ()) if text.encode() in (record.value or b"")]


@dataclass(slots=True)
class Locked:
    """The mesh, its callers, and what must never be seen."""

    local: LocalMesh
    folder: Path
    watch: Watch
    kafka: KafkaClient
    grpc: TriviumClient
    dial: Dial
    """Of a part of the mesh: certificate and key."""
    secrets: Mapping[str, str]

    def asking(self, prompt: str, **fields: Any) -> request_pb2.Request:
        return request_pb2.Request(**({"tenant": "acme", "id": f"locked-{uuid.uuid4().hex[:12]}"} | fields), prompt=prompt)

    async def reached(self) -> int:
        """Calls with the canary that the cloud's server was asked: every such call fails there by name."""
        calls = await http(f"{self.local.addresses.cloud_url}/calls?last=0")
        return int(calls["by_fault"].get("generation", 0))

    async def everything_said(self) -> dict[str, str]:
        """Logs, metrics and spans of every part, by name."""
        said = {path.name: path.read_text(errors="replace") for path in (self.folder / "logs").iterdir()}
        for name, part in self.local.parts.items():
            port = part.ready.get("ops_port")
            if port:
                said[f"{name} /metrics"] = await fetched(f"http://127.0.0.1:{port}/metrics")
        for service in await self._all_services():
            said[f"{service} spans"] = await fetched(f"{self.local.addresses.traces}/api/traces?service={service}&limit=1500&lookback=1h")
        return said

    async def _all_services(self) -> list[str]:
        """Once the spans of every part were exported, which happens every few seconds."""
        found: list[str] = []
        for _ in range(100):
            found = (await http(f"{self.local.addresses.traces}/api/services"))["data"]
            if {f"trivium-{part}" for part in PARTS} <= set(found):
                break
            await asyncio.sleep(0.2)
        return found


@asynccontextmanager
async def locked_mesh(folder: Path, pki: Path) -> AsyncIterator[Locked]:
    """TLS of both sides on every gRPC door, API keys, a tenant that signs, detection, a hostile policy."""
    mesh_key, shop_key, globex_key = new_key(), new_key(), new_key()
    secrets = {
        "mesh key": mesh_key, "shop key": shop_key, "signing secret": signing_of(shop_key).hex(),
        "cloud key": "sk-ant-c4n4ry-cloud", "model key": "hf_c4n4ryModel", "milvus token": "root:c4n4ryMilvus",
    }  # fmt: skip
    (folder / "keys.yaml").write_text(json.dumps({"keys": [
        {"name": "mesh", "sha256": digest_of(mesh_key).hex(), "tenant": "*", "doors": ["tier", "retrieval"]},
        {"name": "shop", "sha256": digest_of(shop_key).hex(), "tenant": "acme", "signing": signing_of(shop_key).hex()},
        {"name": "globex", "sha256": digest_of(globex_key).hex(), "tenant": "globex"},
    ]}))  # fmt: skip
    environ = {
        "TRIVIUM_TLS_CERT": str(pki / "server.pem"), "TRIVIUM_TLS_KEY": str(pki / "server.key"),
        "TRIVIUM_TLS_CA": str(pki / "ca.pem"), "TRIVIUM_TLS_CLIENTS": "true",
        "TRIVIUM_KEYS": str(folder / "keys.yaml"), "TRIVIUM_KEY": mesh_key,
        "TRIVIUM_CLOUD_KEY": secrets["cloud key"], "TRIVIUM_FINETUNED_KEY": secrets["model key"],
        "TRIVIUM_MILVUS_TOKEN": secrets["milvus token"], "TRIVIUM_LOG_LEVEL": "INFO",
    }  # fmt: skip
    options = MeshOptions(data=folder, policy=hostile_policy(folder), environ=environ)
    dial = read_dial(environ)
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(LocalMesh(options))
        at, watch = local.addresses, Watch()
        async with channel(at.retrieval, dial) as retrieval:
            assert not (await ingest(retrieval, "acme", "docs", select([Path("docs/privacy.md")]), lambda _sent: None)).failed
        for topic in (*lanes(Tier.CLOUD), attempts(Tier.CLOUD), DEADLETTER, OUTCOMES):
            tail = await stack.enter_async_context(Tail(at.kafka, topic, watch.take, from_beginning=False))
            assert await tail.wait_caught_up(10_000)
        kafka = await stack.enter_async_context(KafkaClient(at.kafka, "acme", options=KafkaClientOptions(key=shop_key)))
        grpc = await stack.enter_async_context(TriviumClient(at.gateway, key=shop_key, credentials=dial.credentials))
        locked = Locked(local, folder, watch, kafka, grpc, dial, secrets)
        # The stand-in keeps no prompts; a fault that only the canary triggers says whether one came.
        await http(f"{at.cloud_url}/control", {"fault": "generation", "count": -1, "match": CANARY})
        yield locked


def hostile_policy(folder: Path) -> Path:
    """The example's, with a rule for the cloud and a retrieval target that has the cloud write; cards are looked for."""
    text = POLICY.read_text()
    for mark, added in (("\nrules:\n", HOSTILE), ("\ntargets:\n", LEAKY)):
        assert mark in text
        text = text.replace(mark, mark + added.lstrip("\n"))
    text = text.replace("\n  acme:\n", "\n  acme:\n    detect: [card]\n", 1)
    text = text.replace("path: classifier.json", f"path: {POLICY.parent.absolute()}/classifier.json")
    path = folder / "hostile.yaml"
    path.write_text(text)
    return path


async def http(url: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    return json.loads(await fetched(url, data))


async def fetched(url: str, data: bytes | None = None) -> str:
    def fetch() -> str:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as response:
            text: str = response.read().decode(errors="replace")
            return text

    return await asyncio.to_thread(fetch)


def sightings(said: Mapping[str, str], text: str) -> Iterator[str]:
    """Where the text stands, with what surrounds it."""
    for name, whole in said.items():
        at = whole.find(text)
        if at >= 0:
            yield f"{name}: ...{whole[max(0, at - 120) : at + 60]}"
