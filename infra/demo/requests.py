"""The shipped requests: a JSON object a line, `kind` and the fields of a request, or `raw` bytes that are sent as they are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from trivium.core.murmur2 import partition_of
from trivium.core.request import Identity
from trivium.kafka.record import Record
from trivium.kafka.topics import HEADER_CONTENT_TYPE, HEADER_SCHEMA, REQUESTS
from trivium.v1 import request_pb2

FILE: Final = Path("examples/support/requests.jsonl")


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of the file as it goes to Kafka. No identity: nobody can be answered, a dead letter is expected."""

    number: int
    kind: str
    identity: Identity | None
    question: str
    value: bytes
    content_type: str
    key: str
    """`tenant/request id`; of what cannot be read, where its author meant it to go."""

    def record(self, partitions: int, trace: tuple[tuple[str, bytes], ...]) -> Record:
        """For trivium.requests, at its home."""
        key = self.key.encode()
        headers = ((HEADER_CONTENT_TYPE, self.content_type.encode()), (HEADER_SCHEMA, b"trivium.v1.Request"), *trace)
        return Record(REQUESTS, key, self.value, headers, partition_of(key, partitions))


def load(path: Path = FILE) -> list[Asked]:
    """Every line, in order. Every second well-formed request goes as protobuf, the others as JSON."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_asked(number, json.loads(line)) for number, line in enumerate(lines, 1) if line.strip()]


def _asked(number: int, line: Mapping[str, Any]) -> Asked:
    kind = str(line["kind"])
    if "raw" in line or "raw_hex" in line:
        value = bytes.fromhex(line["raw_hex"]) if "raw_hex" in line else str(line["raw"]).encode()
        key = str(line.get("key", f"line/{number}"))
        return Asked(number, kind, None, "", value, str(line.get("content_type", "application/json")), key)
    fields = {name: value for name, value in line.items() if name != "kind"}
    identity = Identity(str(fields["tenant"]), str(fields["id"]), int(fields.get("replay", 0)))
    text = json.dumps(fields, ensure_ascii=False).encode()
    question = str(fields.get("prompt", ""))
    if number % 2 or kind == "malformed":
        return Asked(number, kind, identity, question, text, "application/json", identity.key)
    message = json_format.ParseDict(fields, request_pb2.Request())
    return Asked(number, kind, identity, question, message.SerializeToString(), "application/protobuf", identity.key)
