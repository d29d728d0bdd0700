"""What of the cache may serve: one test for each rule, without a broker."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trivium.cache.lookup import shipped_verifier
from trivium.cache.view import STALE_MS, CacheOptions, CacheView
from trivium.core import scope as scopes
from trivium.core.decision import Decision, Source
from trivium.core.outcome import Answer, Citation, Terminal, TerminalKind
from trivium.core.policy import CacheRule, Leg, Target, TaskSpec, TaskType, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import CacheHit, CacheMiss, CacheScope, ContentType, End
from trivium.embed.static import StaticEmbedder
from trivium.kafka.record import Delivered
from trivium.kafka.topics import CACHE, DOCUMENTS
from trivium.telemetry.metrics import Metrics
from trivium.v1 import records_pb2 as pb

NOW = 1_800_000_000_000
EMBEDDER = StaticEmbedder.load()
VERIFIER = shipped_verifier()
QUESTION = "How do I get a refund?"
SCOPE = CacheScope("s1", QUESTION, True, True, True, 60)
DOCS = replace(SCOPE, corpus="docs")


class World:
    """A view whose topics are in the test's hand: `behind_ms` is how far the documents are behind."""

    def __init__(self, most: int = 100) -> None:
        self.now = NOW
        self.behind_ms = 0
        self.metrics = Metrics()
        options = CacheOptions("nowhere:1", most_entries=most)
        self.view = CacheView(options, EMBEDDER, VERIFIER, metrics=self.metrics, clock=lambda: self.now)
        self.view._entries_tail.lag_ms = lambda now_ms: 0  # type: ignore[method-assign]
        self.view._documents_tail.lag_ms = lambda now_ms: self.behind_ms  # type: ignore[method-assign]

    def keep(self, scope: CacheScope = SCOPE, answer: Answer | None = None, tenant: str = "acme", arrived: int = 0,
             **changes: Any) -> pb.CacheEntry:  # fmt: skip
        """Write the answer of a request and let the view read it."""
        arrived = arrived or self.now
        identity = Identity(tenant, f"made-{scope.question}")
        terminal = Terminal(identity, TerminalKind.ANSWERED, answer or Answer("Within 30 days."), task_type="draft",
                            arrived_ms=arrived, ended_ms=self.now)  # fmt: skip
        request = Request(identity, (Message(Role.USER, scope.question),), tags=("prices",))
        end = End(terminal, Decision(1, "f", Source.DEFAULT, "draft"), request, "r", ContentType.PROTOBUF, scope)
        entry = self.view.entry(end)
        assert entry is not None
        for name, value in changes.items():
            setattr(entry, name, value)
        self.read(entry)
        return entry

    def read(self, entry: pb.CacheEntry, key: str = "") -> None:
        key = key or f"{entry.scope}/{entry.id}"
        self.view.take_entry(Delivered(CACHE, 0, 0, self.now, key.encode(), entry.SerializeToString(), ()))

    def document(self, name: str, version: str, news: str = "", fingerprint: str = "", **fields: Any) -> None:
        """A change of a document, a second after the one before."""
        self.now += 1000
        record = pb.DocumentRecord(tenant="acme", corpus="docs", document=name, version=version, state="present",
                                   epoch=self.now, fingerprint=fingerprint or EMBEDDER.fingerprint)  # fmt: skip
        if news:
            record.new_passages.append(EMBEDDER.embed(news).astype("<f4").tobytes())
        for field, value in fields.items():
            setattr(record, field, value)
        self.view.take_document(Delivered(DOCUMENTS, 0, 0, self.now, b"k", record.SerializeToString(), ()))

    def ask(self, scope: CacheScope = SCOPE) -> CacheHit | CacheMiss:
        return self.view.lookup(scope, self.now)

    def why(self, scope: CacheScope = DOCS) -> str:
        """Why the one candidate was refused."""
        found = self.ask(scope)
        assert isinstance(found, CacheMiss), "it served"
        return found.refused[0].why

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("trivium_cache_lookups_total", {"result": result}) or 0.0


@pytest.fixture
def world() -> World:
    return World()


def sourced(version: str = "v1") -> Answer:
    return Answer("See the guide.", sources=(Citation("guide.md", "Refunds", version),))


def settled(world: World) -> int:
    """Arrival of a request that surely saw every change so far."""
    world.now += STALE_MS
    return world.now


# --- hits ------------------------------------------------------------------------------------------------------------


def test_an_equal_question_is_an_exact_hit_that_says_where_it_came_from(world: World) -> None:
    world.keep()
    found = world.ask(replace(SCOPE, question="  hello, how do I get a REFUND? thanks!"))
    assert isinstance(found, CacheHit)
    assert found.answer.text == "Within 30 days."
    assert (found.note.kind, found.note.similarity, found.note.score) == ("exact", 1.0, 1.0)
    assert found.note.made_for == Identity("acme", f"made-{QUESTION}")
    assert (found.note.question, found.note.made_ms) == (QUESTION, NOW)
    assert world.counted("exact") == 1


def test_a_paraphrase_is_a_semantic_hit(world: World) -> None:
    world.keep()
    found = world.ask(replace(SCOPE, question="How can I get a refund?"))
    assert isinstance(found, CacheHit)
    assert found.note.kind == "semantic"
    assert 0.4 < found.note.similarity < 1.0
    assert 0.0 < found.note.score <= 1.0


def test_a_near_question_with_another_answer_is_refused_with_the_reason(world: World) -> None:
    world.keep(replace(SCOPE, question="How do I enable two-factor login?"))
    found = world.ask(replace(SCOPE, question="How do I disable two-factor login?"))
    assert isinstance(found, CacheMiss)
    assert found.refused[0].question == "How do I enable two-factor login?"
    assert found.refused[0].why
    assert world.counted("refused") == 1


def test_semantic_look_up_can_be_off_for_a_task(world: World) -> None:
    world.keep()
    assert isinstance(world.ask(replace(SCOPE, question="How can I get a refund?", semantic=False)), CacheMiss)
    assert isinstance(world.ask(replace(SCOPE, semantic=False)), CacheHit)


# --- ends ------------------------------------------------------------------------------------------------------------


def test_entries_expire(world: World) -> None:
    world.keep()
    world.now = NOW + 59_999
    assert isinstance(world.ask(), CacheHit)
    world.now = NOW + 60_000
    assert world.ask() == CacheMiss()
    world.now += 1_000
    world.ask()
    assert world.view.entries == 0, "and are forgotten within a second"


@pytest.mark.parametrize("semantic", [True, False])
def test_what_is_written_again_and_again_takes_no_more_room(world: World, semantic: bool) -> None:
    for _ in range(1_500):
        world.keep(replace(SCOPE, semantic=semantic))
    assert world.view.entries == 1
    assert len(world.view._expiring) + len(world.view._lookup.index._expiring) < 1_100
    world.now += 61_000
    assert world.ask(replace(SCOPE, semantic=semantic)) == CacheMiss()
    assert world.view.entries == 0


def test_an_empty_value_forgets(world: World) -> None:
    entry = world.keep()
    world.view.take_entry(Delivered(CACHE, 0, 1, NOW, f"{entry.scope}/{entry.id}".encode(), None, ()))
    assert world.ask() == CacheMiss()


def test_the_oldest_entries_go_when_there_are_too_many() -> None:
    world = World(most=3)
    for number in range(5):
        world.keep(replace(SCOPE, question=f"question {number}?"))
    assert world.view.entries == 3
    assert isinstance(world.ask(replace(SCOPE, question="question 1?")), CacheMiss)
    assert isinstance(world.ask(replace(SCOPE, question="question 2?")), CacheHit)
    assert world.metrics.registry.get_sample_value("trivium_cache_entries") == 3


def test_undecodable_records_are_passed_over(world: World) -> None:
    world.view.take_entry(Delivered(CACHE, 0, 0, NOW, b"k", b"\xff\xff", ()))
    world.view.take_document(Delivered(DOCUMENTS, 0, 0, NOW, b"k", b"\xff\xff", ()))
    world.keep()
    assert isinstance(world.ask(), CacheHit)


@pytest.mark.parametrize("named", [
    {}, {"tag": "prices"}, {"task_type": "draft"}, {"document": "guide.md"}, {"corpus": "docs"}, {"scope": "s1"},
    {"tag": "prices", "task_type": "draft"},
])  # fmt: skip
def test_a_drop_order_ends_what_it_names(world: World, named: dict[str, str]) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    assert isinstance(world.ask(DOCS), CacheHit)
    world.read(pb.CacheEntry(drop=pb.CacheDrop(tenant="acme", before_ms=world.now + 1, **named)), "drop")
    assert world.ask(DOCS) == CacheMiss()


@pytest.mark.parametrize("other", [
    {"tenant": "globex"}, {"tag": "other"}, {"task_type": "other"}, {"document": "other"}, {"corpus": "other"},
    {"scope": "other"}, {"tag": "prices", "task_type": "other"}, {"before_ms": NOW},
])  # fmt: skip
def test_a_drop_order_leaves_what_it_does_not_name(world: World, other: dict[str, str | int]) -> None:
    world.keep()
    drop = pb.CacheDrop(**{"tenant": "acme", "before_ms": NOW + 1, **other})  # type: ignore[arg-type]
    world.read(pb.CacheEntry(drop=drop), "drop")
    assert isinstance(world.ask(), CacheHit)


def test_a_drop_order_counts_for_older_entries_that_come_after_it(world: World) -> None:
    world.read(pb.CacheEntry(drop=pb.CacheDrop(tenant="acme", tag="prices", before_ms=NOW)), "drop")
    world.keep(made_ms=NOW - 1)
    assert world.ask() == CacheMiss()
    world.keep(made_ms=NOW)
    assert isinstance(world.ask(), CacheHit)


# --- embedders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"fingerprint": "another:256"}, {"embedding": b"short"}])
def test_an_entry_of_another_embedder_serves_by_its_exact_question_only(world: World, changes: dict[str, Any]) -> None:
    world.keep(**changes)
    assert isinstance(world.ask(), CacheHit)
    assert isinstance(world.ask(replace(SCOPE, question="How can I get a refund?")), CacheMiss)


# --- documents -------------------------------------------------------------------------------------------------------


def test_an_answer_from_documents_serves_while_they_stand(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    assert isinstance(world.ask(DOCS), CacheHit)


def test_a_changed_source_ends_it(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    world.document("guide.md", "v2")
    assert world.why() == "guide.md has changed since"


def test_a_forgotten_source_ends_it(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    world.document("guide.md", "", state="forgotten")
    assert world.why() == "guide.md is not known any more"


def test_a_source_that_nobody_knows_refuses(world: World) -> None:
    world.keep(DOCS, sourced(), arrived=settled(world))
    assert world.why() == "guide.md is not known any more"


def test_an_older_announcement_of_a_document_changes_nothing(world: World) -> None:
    world.document("guide.md", "v1")
    world.document("guide.md", "v2")
    world.keep(DOCS, sourced("v2"), arrived=settled(world))
    world.document("guide.md", "v1", epoch=world.now - 3_500)
    assert isinstance(world.ask(DOCS), CacheHit)


def test_nothing_found_stands_only_while_the_corpus_does(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, Answer("The documents do not say.", not_found=True), arrived=settled(world))
    assert isinstance(world.ask(DOCS), CacheHit)
    world.document("other.md", "v1")
    assert world.why() == "nothing was found then, and docs has changed since"


def test_an_answer_made_while_the_corpus_changed_counts_as_made_before_it(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, Answer("The documents do not say.", not_found=True), arrived=world.now + STALE_MS - 1)
    assert "has changed since" in world.why()


def test_a_new_passage_near_the_question_ends_it(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    world.document("far.md", "v1", news="Kubernetes pods are scheduled onto nodes by the scheduler.")
    assert isinstance(world.ask(DOCS), CacheHit)
    world.document("near.md", "v1", news="How to get a refund: refunds are paid out within 14 days from now on.")
    assert world.why() == "a new passage in docs is near"
    assert world.why() == "a new passage in docs is near", "also when asked again"


def test_a_new_passage_before_the_entry_is_part_of_it(world: World) -> None:
    world.document("near.md", "v1", news="How to get a refund: refunds are paid out within 14 days from now on.")
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    assert isinstance(world.ask(DOCS), CacheHit)


def test_a_new_passage_that_cannot_be_compared_counts_as_near(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    world.document("far.md", "v1", news="Kubernetes pods are scheduled.", fingerprint="another:256")
    assert world.why() == "a new passage in docs is near"


def test_document_derived_answers_wait_for_the_documents(world: World) -> None:
    world.document("guide.md", "v1")
    world.keep(DOCS, sourced(), arrived=settled(world))
    world.behind_ms = STALE_MS + 1
    assert "not read to their end" in world.why()
    world.behind_ms = STALE_MS
    assert isinstance(world.ask(DOCS), CacheHit)


def test_answers_without_documents_do_not_wait_for_them(world: World) -> None:
    world.keep()
    world.behind_ms = 1_000_000
    assert isinstance(world.ask(), CacheHit)


def test_sources_without_a_corpus_are_not_kept(world: World) -> None:
    identity = Identity("acme", "r")
    terminal = Terminal(identity, TerminalKind.ANSWERED, sourced(), arrived_ms=NOW, ended_ms=NOW)
    end = End(
        terminal, Decision(1, "f", Source.DEFAULT, "draft"), Request(identity, ()), "r", ContentType.PROTOBUF, SCOPE
    )
    assert world.view.entry(end) is None
    assert world.view.entry(replace(end, write=None)) is None


def test_the_epoch_of_a_corpus_is_its_last_change(world: World) -> None:
    assert world.view.epoch("acme", "docs") == 0
    world.document("guide.md", "v1")
    assert world.view.epoch("acme", "docs") == world.now
    assert world.view.epoch("globex", "docs") == 0


def test_nothing_serves_before_the_entries_were_read() -> None:
    view = CacheView(CacheOptions("nowhere:1"), EMBEDDER, VERIFIER, clock=lambda: NOW)
    world = World()
    entry = world.keep()
    view.take_entry(Delivered(CACHE, 0, 0, NOW, b"k", entry.SerializeToString(), ()))
    assert view.entries == 1
    assert view.lookup(SCOPE, NOW) == CacheMiss()
    assert asyncio.run(view.wait_caught_up(1)) is False


# --- who -------------------------------------------------------------------------------------------------------------

WORDS = ("refund", "plan", "invoice", "login", "export", "team", "price", "cancel")
TARGET = Target("finetuned/a", Tier.FINETUNED, "m")
TASK = TaskType(TaskSpec("account"), (Leg(TARGET),), cache=CacheRule(by_subject=True))


def scope_of(tenant: str, subject: str, question: str) -> CacheScope:
    request = Request(Identity(tenant, "r"), (Message(Role.USER, question),), subject=subject)
    found = scopes.scope_of(request, TASK.spec, TASK, TASK.route)
    assert isinstance(found, CacheScope)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_nobody_is_answered_with_what_was_said_to_another(seed: int) -> None:
    """Entries of many tenants and subjects with the same questions: a hit is always one's own."""
    draw, world = random.Random(seed), World(most=10_000)
    people = [(tenant, subject) for tenant in ("acme", "globex", "acme/x") for subject in ("ann", "bob", "x/ann")]
    for _ in range(60):
        tenant, subject = draw.choice(people)
        question = f"How do I {draw.choice(WORDS)} my {draw.choice(WORDS)}?"
        world.keep(scope_of(tenant, subject, question), Answer(f"{tenant}|{subject}"), tenant)
    hits = 0
    for _ in range(200):
        tenant, subject = draw.choice(people)
        found = world.ask(scope_of(tenant, subject, f"How can I {draw.choice(WORDS)} my {draw.choice(WORDS)}?"))
        if isinstance(found, CacheHit):
            hits += 1
            assert found.answer.text == f"{tenant}|{subject}"
            assert found.note.made_for.tenant == tenant
    assert hits, "no question was answered: the test says nothing"


def test_vectors_are_kept_only_where_passages_are_compared(world: World) -> None:
    entry = world.keep(replace(SCOPE, semantic=False))
    assert entry.embedding == b""
    assert entry.fingerprint == ""
    entry = world.keep()
    assert np.frombuffer(entry.embedding, "<f4").shape == (EMBEDDER.dimensions,)
