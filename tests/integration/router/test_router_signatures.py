"""A tenant's requests on Kafka are its own: signed, or put aside without using up an identity."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from trivium.core.outcome import Answer, ReasonCode, TerminalKind
from trivium.core.request import Identity
from trivium.kafka.record import Delivered, Record
from trivium.kafka.signature import HEADER_SIGNATURE, Signatures, Signer
from trivium.kafka.topics import HEADER_CAUSE, REQUESTS
from trivium.keys.file import KeyFile
from trivium.keys.key import digest_of, new_key, signing_of
from trivium.telemetry.metrics import Metrics
from trivium.v1 import request_pb2

MINE, OTHERS, OLD = new_key(), new_key(), new_key()


def entry(name: str, key: str, tenant: str, more: str = "") -> str:
    return f'{{name: {name}, sha256: "{digest_of(key).hex()}", signing: "{signing_of(key).hex()}", tenant: {tenant}{more}}}'


KEYS = "keys: [" + ", ".join((entry("mine", MINE, "acme"), entry("old", OLD, "acme", ", expires: 2020-01-01"),
                              entry("others", OTHERS, "initech"))) + "]"  # fmt: skip


def record(request_id: str, key: str | None, prompt: str = "hello", tenant: str = "acme") -> Record:
    identity = Identity(tenant, request_id, 0)
    value = request_pb2.Request(tenant=tenant, id=request_id, endpoint="/draft", prompt=prompt).SerializeToString()
    headers = (("content-type", b"application/protobuf"),)
    signed = () if key is None else Signer(key).headers(identity, value)
    return Record(REQUESTS, identity.key.encode(), value, headers + signed)


def tampered(signed: Record) -> Record:
    value = request_pb2.Request.FromString(signed.value or b"")
    value.prompt = "something else"
    return dataclasses.replace(signed, value=value.SerializeToString())


async def test_only_signed_requests_of_a_signing_tenant_are_carried(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    world.environ["TRIVIUM_KEYS"] = KEYS
    cases = {
        "none": (record("none", None), ReasonCode.UNSIGNED),
        "others": (record("others", OTHERS), ReasonCode.BAD_SIGNATURE),
        "unknown": (record("unknown", new_key()), ReasonCode.BAD_SIGNATURE),
        "expired": (record("expired", OLD), ReasonCode.BAD_SIGNATURE),
        "tampered": (tampered(record("tampered", MINE)), ReasonCode.BAD_SIGNATURE),
    }
    with caplog.at_level(logging.WARNING):
        async with world.router() as crew:
            for forged, _ in cases.values():
                await world.send(forged)
            for name, (_, code) in cases.items():
                terminal = await world.terminal(Identity("acme", name, 0))
                assert (terminal.kind, terminal.reason and terminal.reason.code) == (TerminalKind.FAILED, code)
            await world.until(lambda: len(world.letters()) == len(cases), "dead letters")
            assert {letter.reason.code for letter in world.letters()} == {"unsigned", "bad_signature"}
            assert world.work() == []
            # The forger took no identity from its owner; a tenant that signs nothing is asked nothing.
            await world.send(record("none", MINE))
            await world.until(lambda: len(world.terminals(Identity("acme", "none", 0))) == 2, "the owner's terminal")
            assert world.terminals(Identity("acme", "none", 0))[1].kind is TerminalKind.ANSWERED
            other = await world.ask(tenant="globex")
            assert (await world.terminal(other)).kind is TerminalKind.ANSWERED
            text = crew._process.metrics.render().decode()
    assert 'trivium_refused_total{door="kafka",key="",reason="bad_signature"} 4.0' in text
    assert 'trivium_refused_total{door="kafka",key="",reason="unsigned"} 1.0' in text
    said = [r.getMessage() for r in caplog.records if r.name == "trivium.kafka.signature"]
    assert len(said) == 2, said
    assert signing_of(MINE).hex() not in caplog.text


async def test_a_forged_twin_ends_nothing_that_is_under_way(world: Any) -> None:
    world.environ["TRIVIUM_KEYS"] = KEYS
    held: list[Any] = []
    world.behaviour = lambda work: held.append(work)
    identity = Identity("acme", "twin", 0)
    async with world.router():
        await world.send(record("early", None))
        assert (await world.terminal(Identity("acme", "early", 0))).kind is TerminalKind.FAILED
        await world.send(record("early", MINE))
        await world.send(record("twin", MINE))
        await world.until(lambda: len(held) == 2, "work")
        await world.send(record("twin", None, "forged"))
        await world.letter(2)
        assert world.terminals(identity) == []
    async with world.router():
        world.answer(next(w for w in held if w.request.id == "twin"), Answer("fine", confidence=0.9))
        world.answer(next(w for w in held if w.request.id == "early"), Answer("fine", confidence=0.9))
        assert (await world.terminal(identity)).kind is TerminalKind.ANSWERED
        await world.until(lambda: len(world.terminals(Identity("acme", "early", 0))) == 2, "the signed one")
    assert world.terminals(Identity("acme", "early", 0))[1].kind is TerminalKind.ANSWERED
    assert world.reply(Identity("acme", "early", 0)).header(HEADER_CAUSE) == b"-2"


def test_signatures_of_other_languages_are_checked_against_this_vector(tmp_path: Path) -> None:
    """The numbers stand in docs/security.md."""
    key, identity, value = "trv_example", Identity("acme", "42", 0), b'{"tenant":"acme","id":"42"}'
    signing = signing_of(key).hex()
    path = tmp_path / "keys.yaml"
    path.write_text(f'keys: [{{name: k, tenant: acme, sha256: "{digest_of(key).hex()}", signing: "{signing}"}}]')
    ((name, header),) = Signer(key).headers(identity, value)
    assert name == HEADER_SIGNATURE
    assert header == b"v1 beb6a82e1119 612fff6bc0b2d3768686b1a1bd4d21edbedc6cf73c0fcd57e2a30a9159fa28a6"
    signatures = Signatures(KeyFile(str(path)), Metrics())
    found = Delivered(REQUESTS, 0, 0, 1, b"", value, ((name, header),))
    assert signatures.wrong(found, identity) is None
    assert signatures.headers(identity, value) == ((name, header),)
    assert signatures.wrong(found, Identity("acme", "42", 1)) is not None
