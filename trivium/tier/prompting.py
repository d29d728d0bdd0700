"""What every generating tier says before the conversation."""

from trivium.core.request import Message, Output, OutputKind, Role
from trivium.core.slip import Work

_JSON = "Answer with one JSON value and nothing else: no prose before or after it, no code fence."


def static_system(work: Work, ask_for_json: bool) -> str:
    """The part of the system prompt that is the same for every request of a task type, so a vendor can cache it.

    Its first line names the task type. `ask_for_json`: the backend has no grammar of its own."""
    task = work.task
    lines = [task.system] if task.system.startswith("Task:") else [f"Task: {task.name}", task.system]
    lines += [f"<example>\nMessage: {one.input}\nAnswer: {one.output}\n</example>" for one in task.examples]
    output = output_of(work)
    if ask_for_json and output.kind is OutputKind.JSON:
        lines.append(_JSON)
        if output.schema_json:
            lines.append(f"It fits this JSON Schema: {output.schema_json}")
    return "\n".join(line for line in lines if line)


def callers_system(work: Work) -> str:
    """What the caller put under the role system."""
    return "\n\n".join(m.text for m in work.request.messages if m.role is Role.SYSTEM and m.text)


def turns(work: Work) -> tuple[Message, ...]:
    """The conversation without the system messages."""
    return tuple(m for m in work.request.messages if m.role is not Role.SYSTEM)


def output_of(work: Work) -> Output:
    """The form asked for: the request's own, or the task type's."""
    return work.request.output or work.task.output


def most_output_tokens(work: Work) -> int:
    """How long the answer may get: the request's wish or the task type's, never more than the target gives."""
    wished = work.request.max_output_tokens or work.task.max_output_tokens
    return max(1, min(wished, work.target.max_output_tokens))


def temperature_of(work: Work) -> float | None:
    """The request's own, or the task type's, or the backend's default."""
    return work.task.temperature if work.request.temperature is None else work.request.temperature
