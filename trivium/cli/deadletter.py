"""`trivium deadletter`: what was put aside, and how to ask it again."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from trivium.cli.log import NotInTheLog, everything, since
from trivium.cli.screen import console, json_option, kafka_option, print_json, print_records, print_table, run, settings
from trivium.codec import content_type_of, decode_request, identity_from, open_event
from trivium.core.errors import BadRequest
from trivium.core.murmur2 import partition_of
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.signature import Signatures, open_signatures
from trivium.kafka.topics import DEADLETTER, HEADER_CONTENT_TYPE, HEADER_SCHEMA, REQUESTS
from trivium.settings import KafkaSettings, KeySettings
from trivium.telemetry.metrics import Metrics
from trivium.v1 import journey_pb2, request_pb2
from trivium.v1.records_pb2 import DeadLetter


@click.group()
def deadletter() -> None:
    """What could not be carried, with the reason and the whole record."""


def _filters(function: Any) -> Any:
    for option in (
        click.option("--reason", help="Only this code (wrong_shape, id_reused ...)."),
        click.option("--tenant", help="Only this tenant."),
        click.option("--id", "letter_id", help="Only this one: topic-partition-offset."),
        click.option("--since", "span", metavar="SPAN", help="Only the last 30m, 2h, 7d."),
        kafka_option,
        json_option,
    ):
        function = option(function)
    return function


@deadletter.command("show", epilog="Example: trivium deadletter show trivium.requests-3-17")
@click.argument("letter_id")
@kafka_option
@json_option
def show(letter_id: str, kafka: str | None, as_json: bool) -> None:
    """The whole of one: what was wrong, where the record was, its headers and its value as it came."""

    async def find() -> DeadLetter | None:
        at = settings(KafkaSettings, kafka=kafka)
        return next(iter([letter async for letter in _letters(at, None, None, letter_id, None)]), None)

    letter = run(find())
    if letter is None:
        raise NotInTheLog(f"no dead letter {letter_id!r}: `trivium deadletter list` has their ids (topic-partition-offset)")
    whole = _plain(letter) | {"key": letter.key.decode("utf-8", "backslashreplace"), "readable_as": _readable(letter)}
    if as_json:
        print_json(whole)
        return
    for name, told in whole.items():
        text = json.dumps(told, indent=2, ensure_ascii=False) if isinstance(told, dict) else str(told)
        console().print(f"{name}: {text}", markup=False, highlight=False)


def _readable(letter: DeadLetter) -> dict[str, Any] | str:
    """What a replay asks, before it gets its number; or that there is nothing to ask."""
    request = _asked(letter)
    if request is None:
        return "not a readable request"
    told: dict[str, Any] = MessageToDict(request, preserving_proto_field_name=True)
    return told


async def _letters(
    kafka: KafkaSettings, reason: str | None, tenant: str | None, letter_id: str | None, span: str | None
) -> AsyncIterator[DeadLetter]:
    seen: set[str] = set()
    try:
        start = since(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    async for record in everything(kafka, DEADLETTER, start):
        letter = DeadLetter.FromString(record.value or b"")
        if letter.id not in seen and _matches(letter, reason, tenant, letter_id):
            # Written again after a crash, it has the same id.
            seen.add(letter.id)
            yield letter


def _matches(letter: DeadLetter, reason: str | None, tenant: str | None, letter_id: str | None) -> bool:
    return (
        (not reason or letter.reason.code == reason)
        and (not tenant or letter.identity.tenant == tenant)
        and (not letter_id or letter.id == letter_id)
    )


@deadletter.command("list", epilog="Example: trivium deadletter list --reason wrong_shape --since 1d")
@_filters
def list_letters(reason: str | None, tenant: str | None, letter_id: str | None, span: str | None, kafka: str | None,
                 as_json: bool) -> None:  # fmt: skip
    """What was put aside, why, and what would have been right."""

    async def collect() -> list[DeadLetter]:
        return [letter async for letter in _letters(settings(KafkaSettings, kafka=kafka), reason, tenant, letter_id, span)]

    letters = run(collect())
    if as_json:
        print_records(_plain(letter) for letter in letters)
        return
    rows = [(m.id, m.reason.code, m.reason.field, m.reason.message, m.reason.hint, _who(m)) for m in letters]
    print_table(f"{len(letters)} dead letters", ["id", "reason", "where", "what was wrong", "what would be right", "request"], rows)


def _plain(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id, "reason": letter.reason.code, "field": letter.reason.field, "message": letter.reason.message,
        "hint": letter.reason.hint, "request": _who(letter), "topic": letter.topic, "partition": letter.partition,
        "offset": letter.offset, "at_ms": letter.at_ms, "headers": dict(letter.headers),
        "value": letter.value.decode("utf-8", "backslashreplace"),
    }  # fmt: skip


def _who(letter: DeadLetter) -> str:
    return f"{letter.identity.tenant}/{letter.identity.id}" if letter.HasField("identity") else ""


@deadletter.command("replay", epilog="Example: trivium deadletter replay --reason id_reused --dry-run")
@click.option("--dry-run", is_flag=True, help="Only say what would be asked again.")
@_filters
def replay(dry_run: bool, reason: str | None, tenant: str | None, letter_id: str | None, span: str | None,
           kafka: str | None, as_json: bool) -> None:  # fmt: skip
    """Ask readable requests again, each under a new replay number of its identity. Unreadable ones are named and left."""
    at = settings(KafkaSettings, kafka=kafka)
    rows = run(_replay(at, dry_run, reason, tenant, letter_id, span))
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table("Would be asked again" if dry_run else "Asked again", ["id", "request", "state"],
                [(r["id"], r["request"], r["state"]) for r in rows])  # fmt: skip


def _signed(record: Record, request: request_pb2.Request, signatures: Signatures | None) -> Record:
    """With the signature of the tenant, when TRIVIUM_KEYS has its key: who replays may read that file."""
    if signatures is None:
        return record
    more = signatures.headers(identity_from(request), record.value or b"")
    return replace(record, headers=(*record.headers, *more))


async def _replay(
    kafka: KafkaSettings, dry_run: bool, reason: str | None, tenant: str | None, letter_id: str | None, span: str | None
) -> list[dict[str, str]]:
    letters = [m async for m in _letters(kafka, reason, tenant, letter_id, span)]
    rows: list[dict[str, str]] = []
    signatures = open_signatures(settings(KeySettings).keys, Metrics())
    async with Producer(kafka.bootstrap) as producer:
        for letter in letters:
            request = _request(letter)
            if request is not None and not dry_run:
                await producer.publish(_signed(_record(request, kafka.partitions), request, signatures), 10_000)
            state = "left: not a readable request" if request is None else f"replay {request.replay}"
            rows.append({"id": letter.id, "request": _who(letter), "state": state})
    return rows


def _request(letter: DeadLetter) -> request_pb2.Request | None:
    """The same again as an identity of its own, which says what it replays."""
    message = _asked(letter)
    if message is None:
        return None
    message.replays = f"{identity_from(message)} {letter.id}"
    # Seconds since 2020 grow with every replay and leave the number readable.
    message.replay = max(message.replay + 1, int(time.time()) - 1_577_836_800)
    return message


def _asked(letter: DeadLetter) -> request_pb2.Request | None:
    if letter.topic == REQUESTS:
        try:
            message = _published(letter)
        except BadRequest:
            return None
        return message
    try:
        message = journey_pb2.Work.FromString(letter.value).request
    except DecodeError:
        return None
    return message if message.id else None


def _published(letter: DeadLetter) -> request_pb2.Request:
    headers = [(name, text.encode()) for name, text in letter.headers.items()]
    stated, is_event = content_type_of(headers)
    if not is_event:
        return decode_request(letter.value, stated).message
    event = open_event(letter.value, headers, stated)
    return decode_request(event.data, event.content_type, event.id).message


def _record(request: request_pb2.Request, partitions: int) -> Record:
    key = f"{request.tenant}/{request.id}".encode()
    headers = ((HEADER_CONTENT_TYPE, b"application/protobuf"), (HEADER_SCHEMA, b"trivium.v1.Request"))
    return Record(REQUESTS, key, request.SerializeToString(), headers, partition_of(key, partitions))
