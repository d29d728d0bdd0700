"""The stand-ins of both vendors in this process, whose own logs of calls say which request each call was for."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from infra.standins.calls import CallLog, Entry
from infra.standins.claude import ClaudeStandin
from infra.standins.mind import Mind
from infra.standins.tgi import TgiStandin
from tests.faults.marks import mark_of


class MarkedLog(CallLog):
    """Keeps every call with the mark of its prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: list[tuple[str, Entry]] = []

    def start(self, route: str, model: str, stream: bool, prompt: str, headers: dict[str, str]) -> Entry:
        """See CallLog."""
        entry = super().start(route, model, stream, prompt, headers)
        self.marked.append((mark_of(prompt), entry))
        return entry


@dataclass(frozen=True, slots=True)
class Vendors:
    """Both, and what they were asked."""

    tgi: TgiStandin
    claude: ClaudeStandin
    logs: dict[str, MarkedLog] = field(default_factory=lambda: {"finetuned": MarkedLog(), "cloud": MarkedLog()})
    """By the tier that calls."""

    def under_way(self) -> set[str]:
        """Marks of the calls of our own model that have not ended."""
        return {mark for mark, entry in self.logs["finetuned"].marked if not entry.status}


@asynccontextmanager
async def vendors() -> AsyncIterator[Vendors]:
    """Both, listening."""
    mind = Mind.train()
    both = Vendors(TgiStandin(mind=mind), ClaudeStandin(mind=mind))
    both.tgi.calls, both.claude.calls = both.logs["finetuned"], both.logs["cloud"]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(both.tgi)
        await stack.enter_async_context(both.claude)
        yield both
