"""Putting streamed tool calls together."""

import json
from typing import Any

from trivium.core.request import ToolCall


class Calls:
    """The tool calls of one stream, by their index."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}

    def take(self, index: int, id_: str | None, name: str | None, arguments: Any) -> None:
        """One delta; arguments come as text in pieces, or at once as an object (TGI)."""
        call = self._calls.setdefault(index, ["", "", ""])
        call[0] = call[0] or str(id_ or "")
        call[1] = call[1] or str(name or "")
        if arguments is not None:
            call[2] += arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)

    def made(self) -> tuple[ToolCall, ...]:
        """The whole calls, each with an id."""
        calls = (self._calls[index] for index in sorted(self._calls))
        return tuple(ToolCall(id_ or f"call_{at}", name, text or "{}") for at, (id_, name, text) in enumerate(calls))
