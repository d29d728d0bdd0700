"""Topics on a real broker: created as they must be, compared with what is there, and their settings put right."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAlreadyExistsError, for_code

from trivium.core.errors import Unreachable
from trivium.kafka.layout import UNCHANGED, Drift, Found, Layout, compare, configuration
from trivium.kafka.security import arguments, unreachable
from trivium.kafka.topics import Topic

TIMEOUT_S: Final = 10.0
UNTOLD: Final = "this broker does not tell retention, compaction and timestamps"
_TRIES: Final = 10
_PAUSE_S: Final = 1.0
_POLL_S: Final = 0.05
_SET_ON_TOPIC: Final = 1
"""Kafka's ConfigSource of a setting that the topic itself has."""


class State(Enum):
    """How a topic stands."""

    MISSING = "missing"
    CREATED = "created"
    RIGHT = "right"
    REPAIRED = "repaired"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic, how it stands, and what is (or, when repaired, was) unlike the design."""

    topic: Topic
    state: State
    drift: tuple[Drift, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Settings:
    """Of one topic: all that are in force, and those that it has of its own."""

    all: Mapping[str, str]
    own: Mapping[str, str]


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises Unreachable within 10 s."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=int(TIMEOUT_S * 1000), **arguments(bootstrap)
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await client.start()
    except (KafkaError, OSError, TimeoutError) as error:
        await client.close()
        raise await unreachable(bootstrap, error) from error
    try:
        yield client
    finally:
        await client.close()


async def ensure(
    bootstrap: str, topics: Iterable[Topic], layout: Layout, create: bool = False, repair: bool = False
) -> list[TopicState]:
    """Says how each topic stands; creates what is missing and puts settings right, each when asked to.

    The number of partitions is never changed: home partitions are a hash modulo it. Raises Unreachable.
    """
    wished = list(topics)
    for left in reversed(range(_TRIES)):
        try:
            async with admin(bootstrap) as client:
                states = await _ensured(client, wished, layout, create, repair)
                return await _told(client, states, layout)
        except KafkaError as error:
            # A request goes to any broker that the cluster tells of, for some seconds also to one that has just died.
            if not left or not error.retriable:
                raise Unreachable(f"the broker at {bootstrap} does not tell or change its topics: {error!r}") from error
            await asyncio.sleep(_PAUSE_S)
    raise AssertionError("the last try returns or raises")


async def _ensured(
    client: AIOKafkaAdminClient, wished: list[Topic], layout: Layout, create: bool, repair: bool
) -> list[TopicState]:
    there = await _described(client)
    missing = [topic for topic in wished if topic.name not in there]
    if create and missing:
        await _create(client, missing, layout)
    known = [topic for topic in wished if topic.name in there]
    settings = await _settings(client, known)
    states = [TopicState(topic, State.CREATED if create else State.MISSING) for topic in missing]
    for topic in known:
        found = Found(*there[topic.name], None if settings is None else settings[topic.name].all)
        drift = compare(topic, found, layout)
        if repair and settings is not None and any(not d.unrepaired for d in drift):
            await _write(client, topic, drift, settings[topic.name].own)
            states.append(TopicState(topic, State.DRIFT if any(d.unrepaired for d in drift) else State.REPAIRED, drift))
        else:
            states.append(TopicState(topic, State.DRIFT if drift else State.RIGHT, drift, UNTOLD if settings is None else ""))
    return sorted(states, key=lambda state: wished.index(state.topic))


async def _told(client: AIOKafkaAdminClient, states: list[TopicState], layout: Layout) -> list[TopicState]:
    """Waits until the broker tells of what was created and repaired: the controller answers before brokers know it.

    What a broker still tells otherwise after 10 s (it may overrule a setting) stands as it tells it."""
    written = [state.topic for state in states if state.state in (State.CREATED, State.REPAIRED)]
    seen: dict[str, TopicState] = {}
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while written and asyncio.get_running_loop().time() < deadline:
        seen = {state.topic.name: state for state in await _ensured(client, written, layout, create=False, repair=False)}
        written = [topic for topic in written if seen[topic.name].state is not State.RIGHT]
        await asyncio.sleep(_POLL_S if written else 0)
    overruled = {topic.name for topic in written}
    return [seen[state.topic.name] if state.topic.name in overruled else state for state in states]


async def _described(client: AIOKafkaAdminClient) -> dict[str, tuple[int, int]]:
    """Partitions and replicas by topic."""
    described = await client.describe_topics()
    return {
        t["topic"]: (len(t["partitions"]), min((len(p["replicas"]) for p in t["partitions"]), default=0))
        for t in described if not t.get("error_code")
    }  # fmt: skip


async def _create(client: AIOKafkaAdminClient, topics: list[Topic], layout: Layout) -> None:
    new = [NewTopic(t.name, t.partitions, layout.replication, topic_configs=configuration(t, layout)) for t in topics]
    try:
        response = await client.create_topics(new)
    except TopicAlreadyExistsError:
        return
    except KafkaError as error:
        raise Unreachable(f"the broker does not create topics: {error!r}") from error
    for name, code, *rest in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise Unreachable(f"topic {name} was not created: {for_code(code).__name__} {rest[0] if rest else ''}")


async def _settings(client: AIOKafkaAdminClient, topics: list[Topic]) -> dict[str, _Settings] | None:
    """By topic; None from a broker that does not tell them (the embedded one)."""
    found: dict[str, _Settings] = {}
    if not topics:
        return found
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    try:
        responses = await client.describe_configs(resources)
    except IncompatibleBrokerVersion:
        return None
    for response in responses:
        for code, message, _type, name, entries in response.resources:
            if code:
                raise Unreachable(f"the broker does not tell the settings of {name}: {for_code(code).__name__} {message or ''}")
            own = {entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_TOPIC}
            found[name] = _Settings({entry[0]: entry[1] for entry in entries}, own)
    return found


async def _write(client: AIOKafkaAdminClient, topic: Topic, drift: Iterable[Drift], own: Mapping[str, str]) -> None:
    """Kafka replaces all settings of a topic at once: what it has besides is written again as it is."""
    changed = {d.what: d.wants for d in drift if not d.unrepaired}
    kept = {name: value for name, value in (dict(own) | changed).items() if UNCHANGED.get(name) != value}
    for response in await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, kept)]):
        for code, message, _type, name in response.resources:
            if code:
                raise Unreachable(f"the settings of {name} were not changed: {for_code(code).__name__} {message or ''}")
