"""`trivium erase`: one person's data, found across the log and removed where it can be."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grpc

from trivium.cli.erasure import Found, Person, Search, forget_cached, forget_in_the_ledger
from trivium.cli.screen import console, json_option, kafka_option, print_json, print_table, run, settings
from trivium.core.errors import Unreachable
from trivium.kafka.security import secured
from trivium.kafka.topics import CACHE, DAY_MS, DOCUMENTS, PULSE, Topic, all_topics
from trivium.policy import load
from trivium.rpc.channels import channel
from trivium.rpc.tls import read_dial
from trivium.settings import GatewaySettings, KafkaSettings, ProcessSettings, ToolSettings
from trivium.v1 import services_pb2
from trivium.v1.services_pb2_grpc import RetrievalStub

FORGET_S = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What a topic holds of the person, and what becomes of it."""

    topic: str
    records: int
    becomes: str
    gone_by_ms: int
    """When the broker has removed it at the latest; 0: it stays until it is removed."""


@click.command(epilog="Example: trivium erase --tenant acme --subject customer-4711 --documents docs/customers/4711/ --apply")
@click.option("--subject", required=True, help="Whose data: the `subject` of the requests about them.")
@click.option("--end-user", default="", help="The pseudonym under which the same person asks, when there is one.")
@click.option("--documents", default="", metavar="CORPUS/PREFIX", help="Documents about this person alone: forgotten in Milvus too.")
@click.option("--apply", is_flag=True, help="Remove what can be removed. Without it, only say what there is.")
@click.option("--tenant", help="Whose subject it is; default TRIVIUM_TENANT or acme.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Whose tenants' reply topics are looked through.")
@click.option("--retrieval", metavar="HOST:PORT", help="Retrieval service; default TRIVIUM_RETRIEVAL.")
@kafka_option
@json_option
def erase(subject: str, end_user: str, documents: str, apply: bool, tenant: str | None, policy_path: Path | None,
          retrieval: str | None, kafka: str | None, as_json: bool) -> None:  # fmt: skip
    """Find one person's data in every topic; with --apply remove cached answers and documents, and blank the ledger's store.

    Kafka removes no single record of a topic that is not compacted: what is there goes by retention, and the last date
    is shown. docs/operations.md says what is beyond this command: traces, backups, replies that products have read."""
    if documents and not documents.partition("/")[2]:
        raise click.BadParameter(f"{documents!r} names a whole corpus; say corpus/prefix", param_hint="--documents")
    person = Person(tenant or settings(ToolSettings).tenant, subject, end_user, documents)
    at = secured(settings(KafkaSettings, kafka=kafka))
    tenants = load(policy_path or Path(settings(ProcessSettings).policy)).tenants.values()
    topics = {t.name: t for t in all_topics((name for one in tenants for name in one.reply_topics), at.partitions) if t.name != PULSE}
    address = settings(GatewaySettings, retrieval=retrieval).retrieval
    search = Search(person)
    rows = run(_erase(at, search, topics, address, apply))
    if as_json:
        print_json({"tenant": person.tenant, "subject": subject, "applied": apply, "requests": search.requests,
                    "ledger_store": {"identities": len(search.hashes), "ordered": apply},
                    "topics": [{"topic": r.topic, "records": r.records, "becomes": r.becomes, "gone_by_ms": r.gone_by_ms} for r in rows]})  # fmt: skip
        return
    print_table(f"{subject} of {person.tenant}: {search.requests} requests known by their identity",
                ["topic", "records", "gone by", "what becomes of them"],
                [(r.topic, r.records, _date(r.gone_by_ms), r.becomes) for r in rows])  # fmt: skip
    who = f"{len(search.hashes):,} identities" + (f" and what {end_user} asked besides" if end_user else "")
    click.echo(f"The ledger's store: {who} {'are' if apply else 'would be'} blanked as soon as it reads the order; what they cost stays.")
    if not apply:
        click.echo("Nothing was removed: add --apply.")


async def _erase(kafka: KafkaSettings, search: Search, topics: Mapping[str, Topic], retrieval: str, apply: bool) -> list[Row]:
    say = console(to_stderr=True)
    found = await search.through(kafka, topics, lambda name: say.print(f"reading {name}", style="dim"))
    forgotten_ms = int(time.time() * 1000) if apply else 0
    if apply:
        await forget_in_the_ledger(kafka, search, forgotten_ms)
        for one in found:
            if one.topic == CACHE:
                await forget_cached(kafka, search.person, one, forgotten_ms)
            elif one.topic == DOCUMENTS and one.records:
                await _forget_documents(search.person, retrieval)
    return [_row(one, topics[one.topic], forgotten_ms) for one in found if one.records or one.topic in (CACHE, DOCUMENTS)]


async def _forget_documents(person: Person, retrieval: str) -> None:
    corpus, _, prefix = person.documents.partition("/")
    request = services_pb2.ForgetRequest(tenant=person.tenant, corpus=corpus, all_but=True, prefix=prefix)
    async with channel(retrieval, read_dial(os.environ)) as open_channel:
        stub: Any = RetrievalStub(open_channel)  # type: ignore[no-untyped-call]
        try:
            await stub.Forget(request, timeout=FORGET_S)
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"the retrieval service at {retrieval}: {error.details() or error.code().name}") from error


def _row(found: Found, topic: Topic, forgotten_ms: int) -> Row:
    gone_by_ms = found.gone_by_ms(topic, forgotten_ms) if found.records else 0
    return Row(topic.name, found.records, _becomes(topic, bool(found.records), bool(forgotten_ms)), gone_by_ms)


def _becomes(topic: Topic, there: bool, forgotten: bool) -> str:
    if topic.name == CACHE:
        done = "forgotten by every router and gateway, then compacted away" if forgotten else "would be forgotten"
        return done if there else "nothing"
    if topic.name == DOCUMENTS:
        done = "removed from Milvus, then compacted away" if forgotten else "would be removed from Milvus"
        return done if there else "nothing; --documents says which are theirs"
    return f"kept for {topic.retention_ms // DAY_MS} days, then removed with their segment"


def _date(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000)) if at_ms else "-"
