"""What a caller in each language needs where the doors are locked: TLS, an API key, and a signature in Kafka."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from infra.local import POLICY, Addresses, LocalMesh, MeshOptions
from tests.polyglot.asking import run
from tests.polyglot.building import Example
from tests.polyglot.real_kafka import real_kafka
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.topics import PARTITIONS, all_topics
from trivium.keys.key import digest_of, new_key, signing_of
from trivium.policy import load

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = {name: new_key() for name in ("shop", "mesh")}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, and the file of hashed keys."""
    found, authority = tmp_path_factory.mktemp("locked"), trustme.CA()
    authority.cert_pem.write_to_path(str(found / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(found / "other-ca.pem"))
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.private_key_pem.write_to_path(str(found / "server.key"))
    (found / "server.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    shop = {"name": "shop", "sha256": digest_of(KEYS["shop"]).hex(), "tenant": "acme", "signing": signing_of(KEYS["shop"]).hex()}
    mesh = {"name": "mesh", "sha256": digest_of(KEYS["mesh"]).hex(), "tenant": "*", "doors": ["tier", "retrieval"]}
    (found / "keys.yaml").write_text(json.dumps({"keys": [shop, mesh]}))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def locked(folder: Path) -> AsyncIterator[Addresses]:
    """A mesh on a Kafka of its own, whose doors take calls over TLS with a key, and whose tenant acme signs."""
    environ = {
        "TRIVIUM_TLS_CERT": str(folder / "server.pem"), "TRIVIUM_TLS_KEY": str(folder / "server.key"),
        "TRIVIUM_TLS_CA": str(folder / "ca.pem"), "TRIVIUM_KEYS": str(folder / "keys.yaml"), "TRIVIUM_KEY": KEYS["mesh"],
    }  # fmt: skip
    with real_kafka(folder / "kafka") as kafka:
        replies = {topic for tenant in load(POLICY).tenants.values() for topic in tenant.reply_topics}
        await ensure(kafka, all_topics(sorted(replies), PARTITIONS), Layout(), create=True)
        async with LocalMesh(MeshOptions(data=folder / "data", kafka=kafka, environ=environ)) as mesh:
            yield mesh.addresses
            mesh.check()


async def test_a_caller_with_the_ca_and_a_key_comes_in(
    locked: Addresses, folder: Path, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = ("--gateway", locked.gateway, "--ca", str(folder / "ca.pem"), "--json", "--endpoint", "/classify")
    for key, status, end in (("", 2, "no_key"), ("trv_not-a-key", 2, "wrong_key"), (KEYS["shop"], 0, "shipping")):
        monkeypatch.setenv("TRIVIUM_KEY", key)
        said = await run(example, "ask", *asking, "Where is my order?")
        assert said.status == status, said
        assert (said.only["reason"] if status else said.only["answer"]["text"]) == end, said
    streamed = await run(example, "stream", *asking, "Where is my order?")
    assert (streamed.status, streamed.lines[-1]["kind"]) == (0, "answered")


async def test_a_gateway_of_another_ca_is_not_spoken_to(locked: Addresses, folder: Path, example: Example) -> None:
    asking = ("--gateway", locked.gateway, "--ca", str(folder / "other-ca.pem"), "--json", "--timeout", example.timeout(5))
    said = await run(example, "ask", *asking, "Where is my order?")
    assert said.status == 2, said
    assert said.only["status"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), said


async def test_a_record_that_is_signed_is_carried_and_no_other(
    locked: Addresses, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = ("publish", "--kafka", locked.kafka, "--json", "--endpoint", "/classify")
    for key, status, end in (("", 1, "unsigned"), (new_key(), 1, "bad_signature"), (KEYS["shop"], 0, "shipping")):
        monkeypatch.setenv("TRIVIUM_KEY", key)
        said = await run(example, *asking, "Where is my order?")
        assert said.status == status, said
        (terminal,) = said.terminals.values()
        assert (terminal["reason"]["code"] if status else terminal["answer"]["text"]) == end, said
