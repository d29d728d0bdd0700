"""Topics on a real broker: created as they must be, and compared with what is there."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAlreadyExistsError, for_code

from trivium.core.errors import Unreachable
from trivium.kafka.topics import Topic

TIMEOUT_S = 10.0
UNTOLD = "this broker does not tell retention, compaction and timestamps"


@dataclass(frozen=True, slots=True)
class TopicState:
    """How a topic stands: `missing`, `created`, `right`, or `drift` with what is unlike the design."""

    topic: Topic
    state: str
    drift: tuple[str, ...] = ()


def configuration(topic: Topic) -> dict[str, str]:
    """The topic's own settings on the broker. LogAppendTime, because the broker's clock is the journey's."""
    return {
        "cleanup.policy": topic.keep.value,
        "retention.ms": str(topic.retention_ms),
        "message.timestamp.type": "LogAppendTime",
    }


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises Unreachable within 10 s."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(TIMEOUT_S * 1000))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await client.start()
    except (KafkaError, OSError, TimeoutError) as error:
        await client.close()
        raise Unreachable(f"no Kafka broker answers at {bootstrap}: {error!r}") from error
    try:
        yield client
    finally:
        await client.close()


async def ensure(bootstrap: str, topics: Iterable[Topic], replication: int, create: bool) -> list[TopicState]:
    """Creates what is missing (when `create`) and says how each topic stands. Nothing that exists is changed."""
    wanted = list(topics)
    async with admin(bootstrap) as client:
        there = await _partitions(client)
        missing = [topic for topic in wanted if topic.name not in there]
        if create and missing:
            await _create(client, missing, replication)
        known = [topic for topic in wanted if topic.name in there]
        configs = await _configs(client, known)
    states = [TopicState(t, "created" if create else "missing") for t in missing]
    states += [_compare(t, there[t.name], None if configs is None else configs.get(t.name, {})) for t in known]
    return sorted(states, key=lambda state: wanted.index(state.topic))


async def _partitions(client: AIOKafkaAdminClient) -> dict[str, int]:
    described = await client.describe_topics()
    return {t["topic"]: len(t["partitions"]) for t in described if not t.get("error_code")}


async def _create(client: AIOKafkaAdminClient, topics: list[Topic], replication: int) -> None:
    new = [NewTopic(t.name, t.partitions, replication, topic_configs=configuration(t)) for t in topics]
    try:
        response = await client.create_topics(new)
    except TopicAlreadyExistsError:
        return
    except KafkaError as error:
        raise Unreachable(f"the broker does not create topics: {error!r}") from error
    for name, code, *rest in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise Unreachable(f"topic {name} was not created: {for_code(code).__name__} {rest[0] if rest else ''}")


async def _configs(client: AIOKafkaAdminClient, topics: list[Topic]) -> dict[str, dict[str, str]] | None:
    """By topic; None from a broker that does not tell them (the embedded one)."""
    found: dict[str, dict[str, str]] = {}
    if not topics:
        return found
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    try:
        responses = await client.describe_configs(resources)
    except IncompatibleBrokerVersion:
        return None
    for response in responses:
        for _code, _message, _type, name, entries in response.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _compare(topic: Topic, partitions: int, found: Mapping[str, str] | None) -> TopicState:
    drift = [] if partitions == topic.partitions else [f"{partitions} partitions instead of {topic.partitions}"]
    if found is None:
        return TopicState(topic, "drift" if drift else "right", (*drift, UNTOLD))
    for name, value in configuration(topic).items():
        has = found.get(name)
        if has is not None and set(has.split(",")) != set(value.split(",")):
            drift.append(f"{name} is {has} instead of {value}")
    return TopicState(topic, "drift" if drift else "right", tuple(drift))
