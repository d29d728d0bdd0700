"""A log, a vendor and a clock for the keeper of batches; everything may break off anywhere, and time goes as it is told."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.batch.book import Book
from services.batch.keeper import Keeper, KeeperPorts
from services.batch.writing import Pen
from trivium.codec import work_to
from trivium.core.errors import BatchGone, BatchRefused, BatchUnsure, VendorFault
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, Usage
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.price import cost
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Wait, Work
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import BATCHES, OUTCOMES, Lane, attempts, batch_key, work
from trivium.ports import VendorBatch
from trivium.settings import BatchSettings
from trivium.telemetry.tracing import start
from trivium.tier.records import Writer
from trivium.v1 import journey_pb2, records_pb2

LANE = work(Tier.CLOUD, Lane.BATCH)
FULL = Prices(input_per_million=1_000_000, output_per_million=5_000_000)
TARGET = Target("cloud/small", Tier.CLOUD, "small", prices=Prices(input_per_million=500_000, output_per_million=2_500_000))
SETTINGS = BatchSettings(window_ms=1_000, requests=3, poll_ms=500, poll_most_ms=4_000, unsure_ms=5_000)
BILLED = Usage(100, 10)
START = 1_700_000_000_000


class Crash(BaseException):
    """The process is gone."""


class Mind:
    """What a batch's requests come to, by the number in their name."""

    KINDS = ("succeeded", "succeeded", "errored", "expired", "canceled")

    @classmethod
    def of(cls, name: str) -> str:
        return cls.KINDS[sum(name.encode()) % len(cls.KINDS)]


@dataclass
class Made:
    told: VendorBatch
    names: list[str]
    due_ms: int
    cancelled: bool = False


@dataclass
class World:
    """All that outlives a process."""

    now: int = START
    logs: dict[str, list[Delivered]] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    next_submits: list[str] = field(default_factory=list)
    takes_ms: int = 3_000
    """How long the next batch takes."""
    deaf: int = 0
    """How many questions to the vendor fail."""
    fuse: int = -1
    """The process is gone after so many more effects; -1: it lives."""
    crashes: int = 0
    processes: int = 0
    keeper: Any = None
    given: int = 0
    works: dict[bytes, Work] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    # --- the process -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A process reads the log again."""
        self.processes += 1
        writer = Writer(Tier.CLOUD, f"batch-{self.processes}", 4, 1_000_000)
        pen = Pen(writer, LANE, start("t", "i", ""))
        ports = KeeperPorts(self, self.write, pen, lambda: self.now, lambda: None, lambda _outcome: None)
        self.keeper = Keeper(ports, SETTINGS, f"batch-{self.processes}")
        for topic in (BATCHES, LANE):
            for record in self.logs.get(topic, []):
                self.keeper.recall(record)
        self.given = len(self.logs.get(LANE, []))
        self.does(self.keeper.opened)

    def does(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
        """One piece of its work; False when it died meanwhile, and another has begun."""
        running = what()
        try:
            running.send(None)
        except StopIteration:
            return True
        except Crash:
            self.crashes += 1
            self.fuse = -1
            self.begin()
            return False
        raise AssertionError("it waits for something that is not of this world")

    def turn(self) -> bool:
        """What came is taken in, what is due is done. Whether it lived through it."""
        lane = self.logs.get(LANE, [])
        while self.given < len(lane):
            record = lane[self.given]
            self.given += 1
            if not self.does(lambda record=record: self.keeper.take(record)):  # type: ignore[misc]
                return False
        return self.does(self.keeper.pull_back) and self.does(self.keeper.step)

    # --- the log -----------------------------------------------------------------------------------------------------

    async def write(self, stages: Sequence[Sequence[Record]]) -> None:
        for stage in stages:
            for record in stage:
                self.burn()
                self.append(record)

    def burn(self) -> None:
        if self.fuse == 0:
            raise Crash
        self.fuse -= self.fuse > 0

    def append(self, record: Record) -> None:
        log = self.logs.setdefault(record.topic, [])
        log.append(Delivered(record.topic, record.partition or 0, len(log), self.now, record.key, record.value, record.headers))

    def asked(self, number: int, waits_ms: int) -> bytes:
        """The router leaves an attempt; twice for the same number is the same record again."""
        until = self.now + waits_ms
        known = [key for key in self.works if key.startswith(f"acme/r{number}#".encode())]
        if known:
            asked = self.works[known[0]]
        else:
            request = Request(Identity("acme", f"r{number}"), (Message(Role.USER, f"question {number}"),))
            asked = Work(request, 1, TARGET, TaskSpec("t"), until + 60_000, wait=Wait(0, until, FULL))
        key = batch_key(asked.request.identity, asked.attempt)
        self.works[key] = asked
        self.append(Record(LANE, key, work_to(asked).SerializeToString(), (), 0))
        return key

    # --- the vendor --------------------------------------------------------------------------------------------------

    def parameters(self, work: Work) -> Mapping[str, Any]:
        return {"text": work.request.question}

    async def submit(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> VendorBatch:
        self.burn()
        how = self.next_submits.pop(0) if self.next_submits else "fine"
        if how == "refused":
            raise BatchRefused(Fault(FaultKind.RATE_LIMITED, "later"), again=True)
        if how == "rejected":
            raise BatchRefused(Fault(FaultKind.REJECTED, "never"), again=False)
        if how == "never came":
            raise BatchUnsure("the connection broke")
        made = self.makes([name for name, _ in requests])
        self.burn()
        if how == "lost":
            raise BatchUnsure("the connection broke")
        return made.told

    def makes(self, names: list[str]) -> Made:
        made = Made(VendorBatch(f"v{len(self.made)}", False, self.now, len(names)), names, self.now + self.takes_ms)
        self.made.append(made)
        return made

    async def find(self, name: str) -> VendorBatch:
        self.hear()
        return self.told(self.one(name))

    async def recent(self, since_ms: int) -> Sequence[VendorBatch]:
        self.hear()
        return [self.told(made) for made in reversed(self.made) if made.told.created_ms >= since_ms]

    async def results(
        self, name: str, work_of: Callable[[str], Work | None], begun_ms: int
    ) -> AsyncIterator[tuple[str, Outcome | None]]:
        self.hear()
        made = self.one(name)
        for custom in made.names:
            asked = work_of(custom)
            yield custom, None if asked is None else self.result(asked, made, custom, begun_ms)

    async def cancel(self, name: str) -> None:
        self.hear()
        made = self.one(name)
        made.cancelled = made.cancelled or self.now < made.due_ms

    def hear(self) -> None:
        self.burn()
        if self.deaf:
            self.deaf -= 1
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, "not now"))

    def one(self, name: str) -> Made:
        for made in self.made:
            if made.told.id == name:
                return made
        raise BatchGone(name)

    def told(self, made: Made) -> VendorBatch:
        return replace(made.told, ended=made.cancelled or self.now >= made.due_ms)

    def result(self, asked: Work, made: Made, custom: str, begun_ms: int) -> Outcome:
        kind, identity = self.came_to(made, custom), asked.request.identity
        ended: Answer | Fault = Answer("yes") if kind == "succeeded" else Fault(FaultKind.OVERDUE, kind)
        usage = BILLED if kind == "succeeded" else Usage()
        spent = cost(asked.target.prices, usage)
        return Outcome(identity, 1, asked.target.name, ended, usage, spent, started_ms=begun_ms, ended_ms=self.now)

    def came_to(self, made: Made, custom: str) -> str:
        return "canceled" if made.cancelled else Mind.of(custom)

    # --- what is in the log ------------------------------------------------------------------------------------------

    def outcomes(self) -> dict[bytes, list[journey_pb2.OutcomeRecord]]:
        """By attempt."""
        found: dict[bytes, list[journey_pb2.OutcomeRecord]] = {}
        for record in self.logs.get(OUTCOMES, []):
            message = journey_pb2.OutcomeRecord.FromString(record.value or b"")
            who = message.outcome.identity
            found.setdefault(batch_key(Identity(who.tenant, who.id), message.outcome.attempt), []).append(message)
        return found

    def executions(self, state: str) -> dict[tuple[str, int, str, int], records_pb2.AttemptRecord]:
        """By what names one execution (docs/decisions/0016)."""
        found = {}
        for record in self.logs.get(attempts(Tier.CLOUD), []):
            message = records_pb2.AttemptRecord.FromString(record.value or b"")
            if message.state == state:
                found[message.identity.id, message.execution, message.instance, message.begun_ms] = message
        return found

    def left(self) -> Book:
        """What a process that begins now would find to do."""
        keeper = Keeper(self.keeper.ports, SETTINGS, "none")
        for topic in (BATCHES, LANE):
            for record in self.logs.get(topic, []):
                keeper.recall(record)
        return keeper.book
