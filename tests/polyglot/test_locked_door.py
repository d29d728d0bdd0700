"""What a caller in each language needs for a gateway with TLS and API keys."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from infra.local import LocalMesh, MeshOptions
from tests.polyglot.asking import run
from tests.polyglot.building import Example
from trivium.keys.key import digest_of, new_key

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
    shop = {"name": "shop", "sha256": digest_of(KEYS["shop"]).hex(), "tenant": "acme"}
    mesh = {"name": "mesh", "sha256": digest_of(KEYS["mesh"]).hex(), "tenant": "*", "doors": ["tier", "retrieval"]}
    (found / "keys.yaml").write_text(json.dumps({"keys": [shop, mesh]}))
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(folder: Path) -> AsyncIterator[str]:
    """Address of a gateway that takes calls over TLS with a key."""
    environ = {
        "TRIVIUM_TLS_CERT": str(folder / "server.pem"), "TRIVIUM_TLS_KEY": str(folder / "server.key"),
        "TRIVIUM_TLS_CA": str(folder / "ca.pem"), "TRIVIUM_KEYS": str(folder / "keys.yaml"), "TRIVIUM_KEY": KEYS["mesh"],
    }  # fmt: skip
    async with LocalMesh(MeshOptions(data=folder / "data", environ=environ)) as mesh:
        yield mesh.addresses.gateway
        mesh.check()


async def test_a_caller_with_the_ca_and_a_key_comes_in(
    gateway: str, folder: Path, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = ("--gateway", gateway, "--ca", str(folder / "ca.pem"), "--json", "--endpoint", "/classify")
    for key, status, end in (("", 2, "no_key"), ("trv_not-a-key", 2, "wrong_key"), (KEYS["shop"], 0, "shipping")):
        monkeypatch.setenv("TRIVIUM_KEY", key)
        said = await run(example, "ask", *asking, "Where is my order?")
        assert said.status == status, said
        assert (said.only["reason"] if status else said.only["answer"]["text"]) == end, said
    streamed = await run(example, "stream", *asking, "Where is my order?")
    assert (streamed.status, streamed.lines[-1]["kind"]) == (0, "answered")


async def test_a_gateway_of_another_ca_is_not_spoken_to(gateway: str, folder: Path, example: Example) -> None:
    asking = ("--gateway", gateway, "--ca", str(folder / "other-ca.pem"), "--json", "--timeout", example.timeout(5))
    said = await run(example, "ask", *asking, "Where is my order?")
    assert said.status == 2, said
    assert said.only["status"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), said
