"""One person's data in the log: in which records it is, what of it can be removed, and by when the rest is gone.

A request says whose data it is about (`subject`) and who asks (`end_user`). Whatever else was written about it carries its
identity, so requests are looked through first. Kafka removes no single record of a topic that is not compacted: there,
retention does it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError

from trivium.cli.log import everything
from trivium.codec import content_type_of, decode_request, open_event
from trivium.codec.budgets import budget_record_from
from trivium.core.budget import AccountRecord, values_of
from trivium.core.errors import BadRequest
from trivium.core.policy import Tier
from trivium.core.subject import mark
from trivium.kafka.producer import Producer
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import (
    ALERTS,
    BUDGET,
    CACHE,
    DAY_MS,
    DEADLETTER,
    DOCUMENTS,
    FEEDBACK,
    HEADER_SCHEMA,
    LEDGER,
    OUTCOMES,
    REQUESTS,
    Keep,
    Topic,
    attempts,
)
from trivium.ledger.facts import identity_hash
from trivium.settings import KafkaSettings
from trivium.v1 import journey_pb2, records_pb2, request_pb2

SEGMENT_MS: Final = 7 * DAY_MS
"""Kafka's own segment.ms: a segment of the log is removed as a whole, when its last record is old enough."""
_CACHE_ENTRY: Final = ((HEADER_SCHEMA, b"trivium.v1.CacheEntry"),)
_LEDGER_RECORD: Final = ((HEADER_SCHEMA, b"trivium.v1.LedgerRecord"),)
_WORK: Final = "trivium.work."
_IN_AN_ORDER: Final = 10_000
"""Identities: 160 KB of hashes."""
_TIMEOUT_MS: Final = 10_000

Progress = Callable[[str], None]
Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose data. `end_user`: the pseudonym under which the same person asks, when it is another than the subject."""

    tenant: str
    subject: str
    end_user: str = ""
    documents: str = ""
    """`corpus/prefix` of the documents that are about nobody else; empty: none."""


@dataclass(slots=True)
class Found:
    """What a topic holds of a person."""

    topic: str
    records: int = 0
    newest_ms: int = 0
    keys: dict[bytes, int] = field(default_factory=dict)
    """Of a compacted topic: the keys whose newest record is this person's, with its partition."""

    def add(self, record: Delivered) -> None:
        self.records += 1
        self.newest_ms = max(self.newest_ms, record.timestamp_ms)

    def gone_by_ms(self, topic: Topic, forgotten_ms: int = 0) -> int:
        """When the broker has removed the last of it, if the topic is as designed. `forgotten_ms`: when the newer records
        were written that a compacted topic keeps instead; 0: they are not, and it stays."""
        segment_ms = topic.segment_ms or SEGMENT_MS
        if topic.keep is Keep.DELETE or topic.name == BUDGET:
            return self.newest_ms + topic.retention_ms + segment_ms
        return forgotten_ms + topic.compact_within_ms + segment_ms if forgotten_ms and topic.compact_within_ms else 0


class Search:
    """Looks through the log for one person. Identities that requests tell are remembered for the topics after them."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self._mark = mark(person.tenant, person.subject)
        self._identities: set[bytes] = set()
        self.hashes: set[bytes] = set()
        """Of their identities, as the ledger's store has them."""
        self._is: Mapping[str, Callable[[Delivered], bool]] = {
            REQUESTS: self._request,
            OUTCOMES: self._outcome,
            LEDGER: self._ledger,
            FEEDBACK: self._feedback,
            BUDGET: self._budget,
            ALERTS: self._alert,
            CACHE: self._entry,
            DOCUMENTS: self._document,
            DEADLETTER: self._letter,
            **{attempts(tier): self._attempt for tier in Tier},
        }

    @property
    def requests(self) -> int:
        """How many of this person's requests are known by their identity."""
        return len(self._identities)

    async def through(self, kafka: KafkaSettings, topics: Iterable[str], progress: Progress) -> list[Found]:
        """What each topic holds, those that tell identities first. Raises Unreachable."""
        order = sorted(topics, key=lambda name: (name != REQUESTS, name != OUTCOMES, not name.startswith(_WORK)))
        found = []
        for name in order:
            progress(name)
            found.append(await self._topic(kafka, name))
        return found

    async def _topic(self, kafka: KafkaSettings, name: str) -> Found:
        found, ours = Found(name), self._is.get(name, self._work if name.startswith(_WORK) else self._reply)
        compacted = name in (CACHE, DOCUMENTS)
        async for record in everything(kafka, name):
            is_ours = bool(record.value) and self._readable(ours, record)
            if compacted and record.key is not None:
                # The newest record of a key is what counts, whoever's the ones before it were.
                found.keys.pop(record.key, None)
                if is_ours:
                    found.keys[record.key] = record.partition
            if is_ours:
                found.add(record)
        if compacted:
            found.records = len(found.keys)
        return found

    def _readable(self, ours: Callable[[Delivered], bool], record: Delivered) -> bool:
        try:
            return ours(record)
        except DecodeError:
            # Somebody else's rubbish in our topics; its key is all that can be known.
            return record.key in self._identities

    # --- whose is it? ----------------------------------------------------------------------------------------------

    def _asked(self, request: request_pb2.Request) -> bool:
        person = self.person
        if request.tenant != person.tenant:
            return False
        ours = request.subject == person.subject or bool(person.end_user and request.end_user == person.end_user)
        if ours:
            self._identities.add(f"{request.tenant}/{request.id}".encode())
            self.hashes.add(identity_hash(request_pb2.Identity(tenant=request.tenant, id=request.id, replay=request.replay)))
        return ours

    def _known(self, tenant: str, request_id: str) -> bool:
        return f"{tenant}/{request_id}".encode() in self._identities

    def _who(self, tenant: str, end_user: str) -> bool:
        return bool(self.person.end_user) and (tenant, end_user) == (self.person.tenant, self.person.end_user)

    def _request(self, record: Delivered) -> bool:
        return self._read(record.value or b"", record.headers) or record.key in self._identities

    def _read(self, value: bytes, headers: Headers) -> bool:
        """A request as a router reads it. One that it cannot read is this person's when it has the subject in it."""
        stated, event = content_type_of(headers)
        try:
            if event:
                opened = open_event(value, headers, stated)
                return self._asked(decode_request(opened.data, opened.content_type, opened.id).message)
            return self._asked(decode_request(value, stated).message)
        except BadRequest:
            return self.person.subject.encode() in value

    def _work(self, record: Delivered) -> bool:
        return self._asked(journey_pb2.Work.FromString(record.value or b"").request)

    def _outcome(self, record: Delivered) -> bool:
        return self._asked(journey_pb2.OutcomeRecord.FromString(record.value or b"").request) or record.key in self._identities

    def _attempt(self, record: Delivered) -> bool:
        attempt = records_pb2.AttemptRecord.FromString(record.value or b"")
        return record.key in self._identities or self._who(attempt.identity.tenant, attempt.end_user)

    def _reply(self, record: Delivered) -> bool:
        return record.key in self._identities

    def _feedback(self, record: Delivered) -> bool:
        opinion = records_pb2.FeedbackRecord.FromString(record.value or b"")
        return record.key in self._identities or self._who(opinion.identity.tenant, opinion.source)

    def _budget(self, record: Delivered) -> bool:
        found = budget_record_from(record.value)
        return isinstance(found, AccountRecord) and self._budgeted(found.budget)

    def _alert(self, record: Delivered) -> bool:
        return self._budgeted(records_pb2.BudgetAlert.FromString(record.value or b"").budget)

    def _budgeted(self, budget: str) -> bool:
        """Whether it is a budget of this end user; its name says no tenant when its rule does."""
        return bool(self.person.end_user) and values_of(budget)[-1:] == (self.person.end_user,)

    def _ledger(self, record: Delivered) -> bool:
        entry = records_pb2.LedgerRecord.FromString(record.value or b"")
        if entry.role == "erasure":
            return False
        identity = entry.terminal.identity if entry.role == "terminal" else entry.stray.identity
        noted = (entry.terminal.cache.made_for,) if entry.terminal.HasField("cache") else ()
        return self._who(identity.tenant, entry.end_user) or any(self._identity(one) for one in (identity, *noted))

    def _entry(self, record: Delivered) -> bool:
        entry = records_pb2.CacheEntry.FromString(record.value or b"")
        if entry.HasField("drop"):
            return False
        return entry.subject_mark == self._mark or self._identity(entry.made_for)

    def _identity(self, identity: request_pb2.Identity) -> bool:
        return self._known(identity.tenant, identity.id)

    def _document(self, record: Delivered) -> bool:
        document = records_pb2.DocumentRecord.FromString(record.value or b"")
        corpus, _, prefix = self.person.documents.partition("/")
        named = bool(prefix) and document.corpus == corpus and document.document.startswith(prefix)
        return document.tenant == self.person.tenant and named and document.state != "forgotten"

    def _letter(self, record: Delivered) -> bool:
        letter = records_pb2.DeadLetter.FromString(record.value or b"")
        if letter.topic == REQUESTS and self._read(letter.value, [(name, text.encode()) for name, text in letter.headers.items()]):
            return True
        return letter.HasField("identity") and self._identity(letter.identity)


async def forget_cached(kafka: KafkaSettings, person: Person, found: Found, now_ms: int) -> None:
    """Tombstones for the entries that were found, and an order to every view for those that are under way."""
    order = records_pb2.CacheDrop(tenant=person.tenant, subject_mark=mark(person.tenant, person.subject), before_ms=now_ms)
    value = records_pb2.CacheEntry(drop=order).SerializeToString()
    async with Producer(kafka.bootstrap) as producer:
        for partition in range(kafka.partitions):
            key = f"drop/{order.subject_mark}/{partition}".encode()
            await producer.publish(Record(CACHE, key, value, _CACHE_ENTRY, partition), _TIMEOUT_MS)
        for key, partition in found.keys.items():
            await producer.publish(Record(CACHE, key, None, _CACHE_ENTRY, partition), _TIMEOUT_MS)


async def forget_in_the_ledger(kafka: KafkaSettings, search: Search, now_ms: int) -> None:
    """Orders to the ledger's store: their identities, and the mark of the end user. Hashes: the order itself names nobody."""
    person, hashes = search.person, sorted(search.hashes)
    who = mark(person.tenant, person.end_user)
    if not (who or hashes):
        return
    async with Producer(kafka.bootstrap) as producer:
        for start in range(0, max(1, len(hashes)), _IN_AN_ORDER):
            chosen = hashes[start : start + _IN_AN_ORDER]
            order = records_pb2.Erasure(tenant=person.tenant, end_user_mark=who, identities=chosen, before_ms=now_ms)
            value = records_pb2.LedgerRecord(role="erasure", erasure=order, at_ms=now_ms).SerializeToString()
            await producer.publish(Record(LEDGER, person.tenant.encode(), value, _LEDGER_RECORD), _TIMEOUT_MS)
