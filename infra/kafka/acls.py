"""The reference ACLs: read from acls.yaml, compared with what a broker has, applied over the admin protocol."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from infra.kafka.fetch import KafkaFailed
from trivium.kafka.admin import admin

FILE: Final = Path(__file__).with_name("acls.yaml")
_ANY: Final = 1
_HOST: Final = "*"
_IN_FORCE_S: Final = 20.0
_CLUSTER: Final = "kafka-cluster"


class Resource(IntEnum):
    """Kafka's ResourceType."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4


class Operation(IntEnum):
    """Kafka's AclOperation; reading and writing include describing."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    ALTER = 7
    DESCRIBE = 8


class Pattern(IntEnum):
    """Kafka's PatternType."""

    LITERAL = 3
    PREFIXED = 4


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One rule."""

    principal: str
    """A SASL user, without `User:`."""
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation
    allow: bool

    def __str__(self) -> str:
        verb = "may" if self.allow else "may not"
        name = self.name + ("*" if self.pattern is Pattern.PREFIXED else "")
        return f"{self.principal} {verb} {self.operation.name.lower()} {self.resource.name.lower()} {name}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What a broker lacks, and what it has beside the file for the same principals."""

    missing: tuple[Acl, ...]
    beside: tuple[str, ...]


_TOPIC_KEYS: Final[Mapping[str, tuple[Operation, bool]]] = {
    "read": (Operation.READ, True),
    "write": (Operation.WRITE, True),
    "all": (Operation.ALL, True),
    "deny_read": (Operation.READ, False),
}
_KEYS: Final = (*_TOPIC_KEYS, "groups", "cluster")


def read_acls(path: Path = FILE, principals: str = "{}") -> tuple[Acl, ...]:
    """The rules of a file; `principals` names each user after its entry ('trivium-{}'). KafkaFailed says what is wrong."""
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise KafkaFailed(f"{path} cannot be read: {error}") from error
    if "{}" not in principals:
        raise KafkaFailed(f"--principals must contain {{}}, the place of the entry's name, but is {principals!r}")
    if not isinstance(found, dict):
        raise KafkaFailed(f"{path} must hold one entry for each principal")
    return tuple(acl for name, entry in found.items() for acl in _of(path, str(name), entry, principals.replace("{}", str(name))))


def _of(path: Path, name: str, entry: Any, principal: str) -> Iterator[Acl]:
    if not isinstance(entry, dict):
        raise KafkaFailed(f"{path}: {name} must have some of {', '.join(_KEYS)}")
    for key, values in entry.items():
        if key not in _KEYS or not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise KafkaFailed(f"{path}: {name}.{key} must be a list of names, and one of {', '.join(_KEYS)}")
        for value in values:
            yield _rule(path, name, key, value, principal)


def _rule(path: Path, name: str, key: str, value: str, principal: str) -> Acl:
    if key == "cluster":
        if value.upper() not in Operation.__members__:
            raise KafkaFailed(f"{path}: {name}.cluster: {value} is none of {', '.join(o.name.lower() for o in Operation)}")
        return Acl(principal, Resource.CLUSTER, _CLUSTER, Pattern.LITERAL, Operation[value.upper()], True)
    pattern = Pattern.PREFIXED if value.endswith("*") else Pattern.LITERAL
    resource, (operation, allow) = (Resource.GROUP, (Operation.READ, True)) if key == "groups" else (Resource.TOPIC, _TOPIC_KEYS[key])
    return Acl(principal, resource, value.removesuffix("*"), pattern, operation, allow)


async def compare(bootstrap: str, wanted: Iterable[Acl], apply: bool = False) -> Difference:
    """What the broker lacks (and gets, when `apply`). KafkaFailed when it has no authorizer, or does not let us."""
    wishes = set(wanted)
    async with admin(bootstrap) as client:
        there = dict(await _there(client))
        missing = tuple(sorted(wishes - set(there.values())))
        if apply and missing:
            await asyncio.gather(*(_create(client, acl) for acl in missing))
            await _until_in_force(client, wishes)
    ours = {acl.principal for acl in wishes}
    beside = tuple(text for text, acl in there.items() if acl not in wishes and text.split(" ", 1)[0] in ours)
    return Difference(missing, beside)


async def _there(client: AIOKafkaAdminClient) -> list[tuple[str, Acl | None]]:
    """Every rule in words, and as a value when it is of the kinds that the file can name."""
    response = await client._send_request(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY))
    if response.error_code:
        raise KafkaFailed(f"the broker does not tell its ACLs: {for_code(response.error_code).__name__} {response.error_message or ''}")
    found: list[tuple[str, Acl | None]] = []
    for resource, name, pattern, rules in response.resources:
        for principal, host, operation, permission in rules:
            user = principal.removeprefix("User:")
            try:
                acl = Acl(user, Resource(resource), name, Pattern(pattern), Operation(operation), permission == 3)
                found.append((str(acl), acl if host == _HOST else None))
            except ValueError:
                found.append((f"{user} has operation {operation} on resource {resource} {name}", None))
    return found


async def _until_in_force(client: AIOKafkaAdminClient, wishes: set[Acl]) -> None:
    """A broker hears of what the controller took a moment later."""
    try:
        async with asyncio.timeout(_IN_FORCE_S):
            while wishes - {acl for _, acl in await _there(client)}:  # noqa: ASYNC110 (the broker tells nobody)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise KafkaFailed(f"the broker took the ACLs, but does not tell them after {_IN_FORCE_S:.0f} s") from None


async def _create(client: AIOKafkaAdminClient, acl: Acl) -> None:
    request = CreateAclsRequest(
        acl.resource, acl.name, acl.pattern, f"User:{acl.principal}", _HOST, acl.operation, 3 if acl.allow else 2
    )
    response = await client._send_request(request)
    for code, message in response.creation_responses:
        if code:
            raise KafkaFailed(f"the broker does not take '{acl}': {for_code(code).__name__} {message or ''}")
