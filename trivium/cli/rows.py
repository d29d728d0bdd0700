"""Rows of the user's own file to requests, and terminals back to rows."""

import csv
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
from google.protobuf import json_format

from trivium.core.outcome import Terminal
from trivium.v1 import request_pb2

REQUEST_FIELDS = frozenset(f.name for f in request_pb2.Request.DESCRIPTOR.fields)
RESULT_FIELDS = ("row", "id", "terminal", "answer", "tier", "target", "task_type", "cost_micro_dollars", "duration_ms",
                 "ttft_ms", "confidence", "cache", "citations", "reason", "message")  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Which column feeds which request field, and what is the same for every row."""

    columns: Mapping[str, str]
    constants: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file: a request, or what is wrong with it."""

    number: int
    request: request_pb2.Request | None
    problem: str = ""


def parse_pairs(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """`field=value` options; the field must be one of a request."""
    parsed = {}
    for pair in pairs:
        field, equals, value = pair.partition("=")
        if not equals or field not in REQUEST_FIELDS:
            raise click.BadParameter(f"{pair!r}: FIELD=..., FIELD one of {', '.join(sorted(REQUEST_FIELDS))}", param_hint=option)
        parsed[field] = value
    return parsed


def read_rows(path: Path, mapping: FieldMap, tenant: str) -> Iterator[Row]:
    """Every row of a .csv or .jsonl file, good or bad, in order. Numbers count from 1, as an editor does for JSONL."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        records = _csv(file) if path.suffix.lower() == ".csv" else _jsonl(file)
        for number, record in records:
            yield Row(number, None, record) if isinstance(record, str) else _row(number, record, mapping, tenant)


def _csv(file: TextIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, record in enumerate(csv.DictReader(file), 1):
        if None in record:
            yield number, "more cells than the header has columns"
        else:
            yield number, {k: v for k, v in record.items() if v not in (None, "")}


def _jsonl(file: TextIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, record if isinstance(record, dict) else f"a JSON {type(record).__name__} instead of an object"


def _row(number: int, record: Mapping[str, Any], mapping: FieldMap, tenant: str) -> Row:
    fields: dict[str, Any] = {k: v for k, v in record.items() if k in REQUEST_FIELDS} | dict(mapping.constants)
    for field, column in mapping.columns.items():
        if column not in record:
            return Row(number, None, f"no column {column!r}; it has {', '.join(map(repr, list(record)[:12]))}")
        fields[field] = record[column]
    fields.setdefault("tenant", tenant)
    if not fields.keys() & {"endpoint", "task_type", "target"}:
        fields["endpoint"] = "/auto"
    fields.setdefault("id", f"row-{number}-{uuid.uuid4().hex[:8]}")
    if not (fields.get("prompt") or fields.get("messages")):
        return Row(number, None, "no prompt: name its column with --map prompt=COLUMN")
    try:
        return Row(number, json_format.ParseDict(_typed(fields), request_pb2.Request()))
    except (json_format.ParseError, TypeError, ValueError) as error:
        return Row(number, None, str(error).splitlines()[0])


def _typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """CSV knows only text: tags are split at commas, prompts and ids that look like numbers stay text."""
    typed: dict[str, Any] = {}
    for name, value in fields.items():
        field = request_pb2.Request.DESCRIPTOR.fields_by_name[name]
        text = field.type == field.TYPE_STRING
        repeated_text = text and name == "tags" and isinstance(value, str)
        typed[name] = [t.strip() for t in value.split(",")] if repeated_text else _scalar(value) if text and name != "tags" else value
    return typed


def _scalar(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def result_row(number: int, terminal: Terminal) -> dict[str, Any]:
    """What a user wants to know of a terminal, flat."""
    answer, reason = terminal.answer, terminal.reason
    return {
        "row": number,
        "id": terminal.identity.id,
        "terminal": terminal.kind.value,
        "answer": answer.text if answer else "",
        "tier": terminal.tier,
        "target": terminal.target,
        "task_type": terminal.task_type,
        "cost_micro_dollars": terminal.cost_micro_dollars,
        "duration_ms": terminal.ended_ms - terminal.arrived_ms,
        "ttft_ms": terminal.ttft_ms,
        "confidence": answer.confidence if answer else None,
        "cache": f"{terminal.cache.kind} {terminal.cache.score:.2f}, made for {terminal.cache.made_for}" if terminal.cache else "",
        "citations": [f"{c.document} > {c.section} ({c.version})" for c in answer.citations] if answer else [],
        "reason": reason.code.value if reason else "",
        "message": f"{reason.message}; {reason.hint}".rstrip("; ") if reason else "",
    }


def problem_row(row: Row) -> dict[str, Any]:
    """A row that was never asked."""
    return dict.fromkeys(RESULT_FIELDS, "") | {"row": row.number, "terminal": "not asked", "message": row.problem}


class ResultFile:
    """Results as JSONL or CSV, by the file's ending; each is written as it comes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._file, RESULT_FIELDS) if path.suffix.lower() == ".csv" else None
        if self._csv is not None:
            self._csv.writeheader()

    def write(self, record: Mapping[str, Any]) -> None:
        if self._csv is not None:
            self._csv.writerow({k: "; ".join(v) if isinstance(v, list) else v for k, v in record.items()})
        else:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()
