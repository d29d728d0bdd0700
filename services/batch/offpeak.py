"""Keeps the own hardware's patient work until its off-peak hours, or until a normal call just fits; then gives it to the tier.

Inside the window it goes into the lane of idle slots, pulled back it goes first: nobody may miss its deadline. Restricted work
has its own lane in either case. Whether a tier gets it twice (a crash between two writes) is settled there, as for any work."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from services.batch.book import Book, Item
from services.batch.keeper import Write
from services.batch.writing import Pen
from trivium.core.errors import BadRequest
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.partition import home
from trivium.core.policy import Tier
from trivium.core.slip import Work
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import HEADER_CONTENT_TYPE, HEADER_SCHEMA, Lane, work

_LOG = logging.getLogger(__name__)
_WORK = ((HEADER_CONTENT_TYPE, b"application/protobuf"), (HEADER_SCHEMA, b"trivium.v1.Work"))
_AT_ONCE = 200


@dataclass(slots=True)
class OffPeak:
    """Owns the lane of the fine-tuned tier's patient work."""

    write: Write
    pen: Pen
    now_ms: Callable[[], int]
    look: Callable[[], None]
    partitions: int
    held_bytes: int
    """Of patient work; what comes when more waits is called normally."""
    book: Book = field(default_factory=Book)
    lost: bool = False

    def recall(self, record: Delivered) -> None:
        """See Owner."""
        try:
            self.book.lane(record)
        except (BadRequest, DecodeError):
            _LOG.warning("%s offset %d cannot be read and is passed over", record.topic, record.offset)

    async def opened(self) -> None:
        """Nothing was begun that had to be finished: an entry is emptied after it was given away."""

    async def take(self, record: Delivered) -> None:
        """See Owner."""
        try:
            item = self.book.lane(record)
        except (BadRequest, DecodeError) as error:
            reason = Reason(ReasonCode.UNDECODABLE, f"the record could not be read: {type(error).__name__}")
            await self.write(self.pen.dead(record, reason, self.now_ms()))
            return
        if item is not None and self.book.held_bytes > self.held_bytes:
            await self._give([item], in_time=False)

    async def pull_back(self) -> int:
        """Give away what may wait no longer."""
        late = [] if self.lost else self.book.late(self.now_ms())
        await self._give(late, in_time=False)
        return len(late)

    async def step(self) -> None:
        """Give away what has reached its hours."""
        now = self.now_ms()
        due = [item for item in self.book.items.values() if item.from_ms <= now and not item.closing]
        for at in range(0, len(due), _AT_ONCE):
            if not self.lost:
                await self._give(due[at : at + _AT_ONCE], in_time=True)

    async def _give(self, items: list[Item], in_time: bool) -> None:
        given: list[Record] = []
        if items:
            self.look()
        for item in items:
            item.closing = True
            _, asked = item.work()
            given.append(self._record(item, asked, in_time))
        await self.write([given, [entry for item in items for entry in self.pen.closed(item)]])
        for item in items:
            self.book.done(item)

    def _record(self, item: Item, asked: Work, in_time: bool) -> Record:
        lane = Lane.RESTRICTED if asked.request.restricted else Lane.SPARE if in_time else Lane.MAIN
        key = asked.request.identity.key
        trace = tuple(header for header in item.headers if header not in _WORK)
        return Record(work(Tier.FINETUNED, lane), key.encode(), item.value, _WORK + trace, home(key, self.partitions))
