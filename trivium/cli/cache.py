"""`trivium cache drop`: entries that must not be used any more."""

import time

import click

from trivium.cli.screen import json_option, kafka_option, print_json, run, settings
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import CACHE, HEADER_SCHEMA
from trivium.settings import KafkaSettings, ToolSettings
from trivium.v1.records_pb2 import CacheDrop, CacheEntry


@click.group()
def cache() -> None:
    """The semantic cache: a view of the topic trivium.cache."""


@cache.command(epilog="Example: trivium cache drop --task product_question --tenant acme")
@click.option("--tag", default="", help="Entries with this tag.")
@click.option("--task", "task_type", default="", help="Entries of this task type.")
@click.option("--document", default="", help="Entries whose answer was built from this document.")
@click.option("--corpus", default="", help="Entries that depend on this corpus.")
@click.option("--all", "everything", is_flag=True, help="Every entry of the tenant.")
@click.option("--tenant", help="Whose entries; default TRIVIUM_TENANT or acme.")
@kafka_option
@json_option
def drop(tag: str, task_type: str, document: str, corpus: str, everything: bool, tenant: str | None, kafka: str | None,
         as_json: bool) -> None:  # fmt: skip
    """Forget entries that were made before now, in every router and gateway."""
    if not (tag or task_type or document or corpus or everything):
        raise click.UsageError("say which: --tag, --task, --document, --corpus, or --all")
    whose = tenant or settings(ToolSettings).tenant
    order = CacheDrop(tenant=whose, tag=tag, task_type=task_type, document=document, corpus=corpus,
                      before_ms=int(time.time() * 1000))  # fmt: skip
    at = settings(KafkaSettings, kafka=kafka)
    run(_publish(at, order))
    if as_json:
        print_json({"dropped_before_ms": order.before_ms, "tenant": whose})
    else:
        click.echo(f"every router and gateway drops what matches and was made before now (tenant {whose})")


async def _publish(kafka: KafkaSettings, order: CacheDrop) -> None:
    """One order a partition: each is ordered against the entries beside it."""
    headers = ((HEADER_SCHEMA, b"trivium.v1.CacheEntry"),)
    value = CacheEntry(drop=order).SerializeToString()
    async with Producer(kafka.bootstrap) as producer:
        for partition in range(kafka.partitions):
            key = f"drop/{order.before_ms}/{partition}".encode()
            await producer.publish(Record(CACHE, key, value, headers, partition), 10_000)
