"""Message batches: kept in memory, worked off when their delay is over and somebody asks."""

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from infra.standins.claude_wire import Refused
from infra.standins.faults import Faults

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]
"""params -> the `result` of one item."""
MOST: Final = 100_000
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


@dataclass(slots=True)
class Batch:
    """One batch."""

    id: str
    items: tuple[tuple[str, Mapping[str, Any]], ...]
    """(custom_id, params)."""
    created: datetime
    due: datetime
    canceled: datetime | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    ended: datetime | None = None


@dataclass(slots=True)
class Batches:
    """All batches of a server."""

    answer: Answer
    faults: Faults
    _batches: dict[str, Batch] = field(default_factory=dict)

    def create(self, body: Mapping[str, Any]) -> Batch:
        """Accepts a batch. Raises Refused."""
        requests = body.get("requests")
        if not isinstance(requests, list) or not requests:
            raise Refused("requests: at least one request is required")
        if len(requests) > MOST:
            raise Refused(f"requests: at most {MOST} requests are allowed", "request_too_large", 413)
        items = tuple(_item(one, at) for at, one in enumerate(requests))
        if len({name for name, _ in items}) < len(items):
            raise Refused("requests: custom_id must be unique within the batch")
        now = datetime.now(UTC)
        batch = Batch(
            f"msgbatch_standin{uuid.uuid4().hex[:20]}", items, now,
            now + timedelta(milliseconds=self.faults.batch.get("delay_ms", 0)),
        )  # fmt: skip
        self._batches[batch.id] = batch
        return batch

    def get(self, name: str) -> Batch:
        """A batch, worked off when it is due. Raises Refused (404)."""
        batch = self._batches.get(name)
        if batch is None:
            raise Refused(f"batch not found: {name}", "not_found_error", 404)
        now = datetime.now(UTC)
        if batch.ended is None and (now >= batch.due or batch.canceled):
            if batch.canceled:
                batch.results = [{"custom_id": one, "result": {"type": "canceled"}} for one, _ in batch.items]
            else:
                batch.results = [{"custom_id": one, "result": self._result(params)} for one, params in batch.items]
            batch.ended = now
        return batch

    def _result(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "expired"} if self.faults.next_batch("expire") else self.answer(params)

    def cancel(self, name: str) -> Batch:
        """Cancels what has not ended; the answer still says `canceling`. Raises Refused (404)."""
        batch = self.get(name)
        if batch.ended is None:
            batch.canceled = datetime.now(UTC)
        return batch

    def page(self, after: str, limit: int) -> tuple[Sequence[Batch], bool]:
        """The batches after that one, the newest first, and whether there are more."""
        names = list(reversed(self._batches))
        rest = names[names.index(after) + 1 :] if after in self._batches else names
        return [self.get(name) for name in rest[:limit]], len(rest) > limit


def shape(batch: Batch, base_url: str) -> dict[str, Any]:
    """A batch as the API writes it; `results_url` is absolute."""
    kinds = [result["result"]["type"] for result in batch.results]
    counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
    status = "ended" if batch.ended else ("canceling" if batch.canceled else "in_progress")
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {"processing": 0 if batch.ended else len(batch.items), **counts},
        "created_at": batch.created.isoformat(),
        "expires_at": (batch.created + timedelta(hours=24)).isoformat(),
        "ended_at": batch.ended.isoformat() if batch.ended else None,
        "cancel_initiated_at": batch.canceled.isoformat() if batch.canceled else None,
        "archived_at": None,
        "results_url": f"{base_url}/v1/messages/batches/{batch.id}/results" if batch.ended else None,
    }


def lines(batch: Batch) -> str:
    """The results as JSON lines. Raises Refused when the batch has not ended."""
    if batch.ended is None:
        raise Refused(f"batch {batch.id} has no available results: it is still processing", "not_found_error", 404)
    return "".join(json.dumps(result, ensure_ascii=False) + "\n" for result in batch.results)


def _item(one: object, at: int) -> tuple[str, Mapping[str, Any]]:
    name = one.get("custom_id") if isinstance(one, Mapping) else None
    params = one.get("params") if isinstance(one, Mapping) else None
    if not isinstance(name, str):
        raise Refused(f"requests.{at}.custom_id: Field required")
    if _NAME.match(name) is None:
        raise Refused(f"requests.{at}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    if not isinstance(params, Mapping):
        raise Refused(f"requests.{at}.params: Field required")
    return name, params
