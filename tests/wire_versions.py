"""The wire of another version of Trivium: message classes of an older one, and of one that is still to come.

The older one is `tests/data/wire/first.binpb`: the descriptors of all protos as they stood when the contracts were
settled (a FileDescriptorSet, by `protoc --descriptor_set_out`). The newer one is today's, with one more field in every
message.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

TOMORROW: Final = "from_tomorrow"
NUMBER: Final = 30_001
_TODAY: Final = (request_pb2, outcome_pb2, journey_pb2, records_pb2)
_FIRST: Final = Path(__file__).parent / "data/wire/first.binpb"


class Version:
    """Message classes by name: `version("Work")`."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)  # type: ignore[no-untyped-call]

    def __call__(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"trivium.v1.{name}"))

    def read(self, message: Message | bytes, name: str = "") -> Any:
        """What this version sees of it."""
        data = message if isinstance(message, bytes) else message.SerializeToString()
        return self(name or message.DESCRIPTOR.name if isinstance(message, Message) else name).FromString(data)

    def without_the_rest(self, message: Message) -> Message:
        """The message as this version had written it: no field that it does not know."""
        found: Message = self.read(message)
        found.DiscardUnknownFields()  # type: ignore[attr-defined]
        return type(message).FromString(found.SerializeToString())


def older() -> Version:
    """Before anything was added."""
    return Version(descriptor_pb2.FileDescriptorSet.FromString(_FIRST.read_bytes()))


def newer() -> Version:
    """Today's with a field more in every message."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in _TODAY:
        file = files.file.add()
        module.DESCRIPTOR.CopyToProto(file)
        for message in _messages(file.message_type):
            message.field.add(name=TOMORROW, number=NUMBER, type=9, label=1, json_name="fromTomorrow")
    return Version(files)


def _messages(found: Any) -> Iterator[Any]:
    for message in found:
        if message.options.map_entry:
            continue
        yield message
        yield from _messages(message.nested_type)


def mark(message: Any) -> Any:
    """Set the field of tomorrow in a message of the newer version, and in all that are set in it."""
    setattr(message, TOMORROW, message.DESCRIPTOR.name)
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if field.is_repeated else (value,):
                mark(inner)
    return message
