"""Secrets stay out of what processes say when what they stand on is bad. The running mesh is asked in test_locked_mesh.py."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mesh.running import Said, command, program
from trivium.keys.key import digest_of, new_key
from trivium.settings import ALL, read

KEY = new_key()
SECRETS = {
    "TRIVIUM_KAFKA_PASSWORD": "c4n4ryKafka", "TRIVIUM_CLOUD_KEY": "sk-ant-c4n4ry", "TRIVIUM_FINETUNED_KEY": "hf_c4n4ry",
    "TRIVIUM_MILVUS_TOKEN": "root:c4n4ryMilvus", "TRIVIUM_KEY": KEY,
}  # fmt: skip
SASL = {"TRIVIUM_KAFKA_PROTOCOL": "SASL_PLAINTEXT", "TRIVIUM_KAFKA_USER": "cloud"}


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


async def test_bad_backends_bring_no_secret_to_light(nowhere: str, tmp_path: Path) -> None:
    patience = {"TRIVIUM_CONNECT_TIMEOUT_MS": "500", "TRIVIUM_KAFKA_WAIT_MS": "500"}
    environ = {**SECRETS, **SASL, **patience, "TRIVIUM_KAFKA": nowhere, "TRIVIUM_LOG_LEVEL": "DEBUG"}
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: k, tenant: acme, sha256: {KEY}}}]")
    bad_keys = environ | {"TRIVIUM_KEYS": f'keys: [{{name: k, tenant: acme, sha256: "{digest_of(KEY).hex()}", key: {KEY}}}]'}
    ended = await asyncio.gather(
        program("services.cloud", environ=environ),
        program("streams", environ=bad_keys),
        command("topics", environ=environ),
        command("key", "check", tmp_path / "keys.yaml"),
    )
    for said in ended:
        assert said.status == 2, said
        assert "Traceback" not in said.err
        _holds_none(said)
    cloud, router, topics, _ = ended
    assert f"no Kafka broker answers at {nowhere}" in cloud.err
    assert "keys[0].key: is not a key here" in router.err
    assert f"no Kafka broker answers at {nowhere}" in topics.err


def _holds_none(said: Said) -> None:
    for name, secret in SECRETS.items():
        assert secret not in said.out + said.err, name


def test_no_settings_show_a_secret_when_they_are_printed() -> None:
    shown = "".join(repr(read(cls, SECRETS | {"TRIVIUM_KEYS": f"keys: [] # {KEY}"})) for cls in ALL)
    assert not [name for name, secret in SECRETS.items() if secret in shown]


@pytest.mark.parametrize("f", [f for cls in ALL for f in fields(cls)], ids=lambda f: f.metadata["env"])
def test_every_setting_that_sounds_like_a_secret_is_one(f: Any) -> None:
    name = f.metadata["env"]
    a_file = "file" in f.metadata["doc"].lower()
    if name.endswith(("PASSWORD", "TOKEN", "_KEY", "SECRET")) and not a_file:
        assert not f.repr
