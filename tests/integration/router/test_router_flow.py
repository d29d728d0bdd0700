"""A request's way through the real Faust worker: decided, dispatched, answered."""

from typing import Any

from trivium.core.outcome import TerminalKind


async def test_a_request_is_answered(world: Any) -> None:
    async with world.router():
        identity = await world.ask("hello")
        terminal = await world.terminal(identity)
    assert terminal.kind is TerminalKind.ANSWERED
    assert terminal.answer is not None
    assert terminal.answer.text == "fine"
    assert (terminal.tier, terminal.target, terminal.task_type) == ("finetuned", "finetuned/small", "draft")
