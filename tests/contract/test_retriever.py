"""What every store of documents must do, on Milvus Lite and, with --milvus=URI, on a server.

Tests share one collection and never a tenant: that they do not disturb one another is part of the contract.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from services.retrieval.announcer import Change
from services.retrieval.embedding import Embedding, Local
from services.retrieval.library import Library, State, version_of
from services.retrieval.milvus import Milvus, Place, mode_of
from services.retrieval.opening import collection_of, move_all
from services.retrieval.store import Mode, Name, Row
from trivium.core.errors import BadRequest, Unreachable, VendorFault
from trivium.core.outcome import Fault, FaultKind, ReasonCode
from trivium.embed.static import StaticEmbedder
from trivium.ports import Retrieved, Vector

RETURNS = b"""# Returns

## 1 Deadline

An unused item can be sent back within thirty days of delivery.

## 2 Money back

### 2.1 Cards

The refund arrives on the card after five working days.

### 2.2 Vouchers

A voucher is credited to the account at once.
"""

HOSTILE = [
    'a" or tenant != "',
    "it's \\ \\\" \\u0041",
    "line' OR '1'='1",
    "\u6570\u636e \u00fc\u00df \U0001f600 \u202e",
    "100% like_this {x} $[0] --",
]


class Recorder:
    """Keeps what was announced; refuses when told to."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.down = False

    async def announce(self, change: Change) -> None:
        if self.down:
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, "the log is away"))
        self.changes.append(change)


class Hashed:
    """An embedder of another make: three dimensions of nothing much."""

    fingerprint = "hashed:3"
    dimensions = 3

    async def embed_many(self, texts: Sequence[str]) -> Vector:
        raw = np.array([[len(text), text.count("e") + 1, text.count("a") + 1] for text in texts], dtype=np.float32)
        unit: Vector = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        return unit


@pytest.fixture(scope="module")
def embedding() -> Embedding:
    return Local(StaticEmbedder.load())


@pytest.fixture
async def store(milvus: str, milvus_collection: str, embedding: Embedding) -> AsyncIterator[Milvus]:
    opened = Milvus(Place(milvus, lanes=2), embedding.dimensions)
    await opened.connect()
    await opened.open(milvus_collection)
    yield opened
    await opened.close()


@pytest.fixture
def log() -> Recorder:
    return Recorder()


@pytest.fixture
def library(store: Milvus, embedding: Embedding, log: Recorder) -> Library:
    return Library(store, embedding, log)


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4()}"


async def ask(library: Library, tenant: str, question: str, corpus: str = "help", limit: int = 3, budget: int = 600) -> Retrieved:
    return await library.retrieve(tenant, corpus, question, limit, budget, 0.0)


async def test_a_passage_is_found_with_its_section_and_version(library: Library, store: Milvus, tenant: str) -> None:
    done = await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    found = await ask(library, tenant, "When does the refund reach my card?")
    best = found.passages[0]
    assert (done.state, done.version, done.passages) == (State.ADDED, version_of("markdown", RETURNS), 3)
    assert (best.document, best.section, best.version) == ("returns.md", "2 Money back > 2.1 Cards", done.version)
    assert best.text == "The refund arrives on the card after five working days."
    assert found.mode == store.mode.value
    assert found.embedding_tokens > 0


@pytest.mark.parametrize(
    ("question", "section"),
    [
        ("What does section 2.2 say?", "2 Money back > 2.2 Vouchers"),
        ("please summarise chapter 1", "1 Deadline"),
        ("What is in \u00a7 2.1", "2 Money back > 2.1 Cards"),
        ("What does the part about vouchers say?", "2 Money back > 2.2 Vouchers"),
    ],
)
async def test_a_question_that_names_a_section_finds_it(library: Library, tenant: str, question: str, section: str) -> None:
    await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    assert (await ask(library, tenant, question)).passages[0].section == section


async def test_the_number_of_a_section_finds_those_below_it_in_reading_order(library: Library, tenant: str) -> None:
    await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    found = await ask(library, tenant, "what does section 2 say?")
    assert [one.section for one in found.passages] == ["2 Money back > 2.1 Cards", "2 Money back > 2.2 Vouchers"]


async def test_nothing_relevant_is_nothing_found(library: Library, tenant: str) -> None:
    await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    found = await ask(library, tenant, "Who won the world championship in chess?")
    assert found.passages == ()
    assert found.left_out == 3


async def test_limit_and_budget_are_kept_and_what_is_left_out_is_counted(library: Library, tenant: str) -> None:
    text = "\n\n".join(f"## Delivery {n}\n\nDelivery by carrier {n} takes some days and costs little." for n in range(8))
    await library.ingest(Name(tenant, "help", "delivery.md"), "markdown", text.encode())
    two = await ask(library, tenant, "How long does delivery by carrier take?", limit=2)
    small = await ask(library, tenant, "How long does delivery by carrier take?", limit=8, budget=45)
    assert (len(two.passages), two.left_out) == (2, 6)
    assert sum(one.tokens for one in small.passages) <= 45
    assert len(small.passages) + small.left_out == 8
    assert len(small.passages) < 8


async def test_the_callers_own_cut_is_kept(library: Library, tenant: str) -> None:
    await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    strict = await library.retrieve(tenant, "help", "When does the refund reach my card?", 3, 600, 0.99)
    assert strict.passages == ()


# --- isolation -----------------------------------------------------------------------------------------------------


async def test_tenants_with_the_same_names_see_only_their_own(library: Library) -> None:
    names = [Name(f"{uuid.uuid4()}", "help", "secret.md") for _ in range(2)]
    for number, name in enumerate(names):
        await library.ingest(name, "text", f"The secret code of this company is code{number}.".encode())
    for number, name in enumerate(names):
        found = await ask(library, name.tenant, "What is the secret code of the company?")
        assert [one.text for one in found.passages] == [f"The secret code of this company is code{number}."]
    assert await library.forget(names[0].tenant, "help", [], True, "") == ("secret.md",)
    assert len((await ask(library, names[1].tenant, "What is the secret code?")).passages) == 1


async def test_corpora_of_a_tenant_are_apart(library: Library, tenant: str) -> None:
    await library.ingest(Name(tenant, "a", "x.md"), "text", b"The gate opens at nine in the morning.")
    await library.ingest(Name(tenant, "b", "x.md"), "text", b"The gate opens at ten in the evening.")
    found = await ask(library, tenant, "When does the gate open?", corpus="b")
    assert [one.text for one in found.passages] == ["The gate opens at ten in the evening."]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_names_are_names(library: Library, tenant: str, hostile: str) -> None:
    other = Name(tenant, "help", "kept.md")
    await library.ingest(other, "text", b"The kept document tells of the lighthouse.")
    evil = Name(f"{tenant}{hostile}", hostile, hostile)
    assert (await library.ingest(evil, "text", b"The evil document tells of the lighthouse.")).state is State.ADDED
    assert (await library.ingest(evil, "text", b"The evil document tells of the lighthouse.")).state is State.UNCHANGED
    found = await ask(library, evil.tenant, "What tells of the lighthouse?", corpus=hostile)
    assert [one.document for one in found.passages] == [hostile]
    assert await library.forget(evil.tenant, hostile, [], True, hostile[:3]) == (hostile,)
    assert [one.document for one in (await ask(library, tenant, "the lighthouse?")).passages] == ["kept.md"]


@pytest.mark.parametrize("name", [Name("", "c", "d"), Name("t", "c\n", "d"), Name("t", "c", "x" * 2_000), Name("t", "\x00", "d")])
async def test_impossible_names_are_refused_in_words(library: Library, name: Name) -> None:
    done = await library.ingest(name, "text", b"Something.")
    assert done.state is State.FAILED
    assert any(word in done.message for word in ("empty", "longer", "control"))


async def test_an_unknown_corpus_says_whose_and_what_to_do(library: Library, tenant: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await ask(library, tenant, "anything there?", corpus="nowhere")
    assert refused.value.reason.code is ReasonCode.UNKNOWN_CORPUS
    assert "'nowhere'" in refused.value.reason.message
    assert "trivium ingest" in refused.value.reason.hint


# --- versions ------------------------------------------------------------------------------------------------------


async def test_a_second_ingest_touches_nothing(library: Library, store: Milvus, log: Recorder, tenant: str) -> None:
    name = Name(tenant, "help", "returns.md")
    await library.ingest(name, "markdown", RETURNS)
    before = await store.versions(name)
    done = await library.ingest(name, "markdown", RETURNS)
    assert (done.state, done.passages) == (State.UNCHANGED, 3)
    assert await store.versions(name) == before
    assert len(log.changes) == 1


async def test_a_changed_document_is_replaced_and_only_its_new_passages_are_told(
    library: Library, store: Milvus, log: Recorder, tenant: str
) -> None:
    name = Name(tenant, "help", "returns.md")
    await library.ingest(name, "markdown", RETURNS)
    done = await library.ingest(name, "markdown", RETURNS.replace(b"five working", b"seven working"))
    assert done.state is State.CHANGED
    assert [stored.version for stored in await store.versions(name)] == [done.version]
    assert "seven working days" in (await ask(library, tenant, "When does the refund reach my card?")).passages[0].text
    first, second = log.changes
    assert (len(first.new_passages), len(second.new_passages)) == (3, 1)
    assert (second.version, second.passages) == (done.version, 3)
    assert second.epoch > first.epoch


async def test_at_every_moment_of_a_replacement_exactly_one_version_is_found(
    library: Library, store: Milvus, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = Name(tenant, "help", "hours.md")
    await library.ingest(name, "text", b"The shop opens at nine.")
    seen: list[list[str]] = []
    put, remove = store.put, store.remove

    async def look() -> None:
        seen.append([one.text for one in (await ask(library, tenant, "When does the shop open?")).passages])

    async def watched_put(rows: Sequence[Row]) -> None:
        await look()
        await put(rows)
        await look()

    async def watched_remove(of: Name, keep: str = "") -> None:
        await look()
        await remove(of, keep)
        await look()

    monkeypatch.setattr(store, "put", watched_put)
    monkeypatch.setattr(store, "remove", watched_remove)
    await library.ingest(name, "text", b"The shop opens at ten.")
    old, new = ["The shop opens at nine."], ["The shop opens at ten."]
    assert seen == [old, new, new, new]


async def test_half_an_ingest_is_finished_by_the_next(library: Library, store: Milvus, embedding: Embedding, tenant: str) -> None:
    name, version = Name(tenant, "help", "returns.md"), version_of("markdown", RETURNS)
    vector = (await embedding.embed_many(["x"]))[0]
    await store.put([Row(name, version, 0, 3, "", "half", "half", 1, 1, vector)])
    done = await library.ingest(name, "markdown", RETURNS)
    assert done.state is State.CHANGED
    assert [(one.passages, one.whole) for one in await store.versions(name)] == [(3, True)]


async def test_a_change_that_the_log_does_not_take_is_not_made(library: Library, log: Recorder, tenant: str) -> None:
    name = Name(tenant, "help", "hours.md")
    await library.ingest(name, "text", b"The shop opens at nine.")
    log.down = True
    done = await library.ingest(name, "text", b"The shop opens at ten.")
    assert (done.state, done.message) == (State.FAILED, "the log is away")
    assert (await ask(library, tenant, "When does the shop open?")).passages[0].text == "The shop opens at nine."


async def test_removed_documents_are_forgotten_and_told(library: Library, log: Recorder, tenant: str) -> None:
    for document in ("docs/a.md", "docs/b.md", "other/c.md"):
        await library.ingest(Name(tenant, "help", document), "text", f"About {document}, the whale swims.".encode())
    assert await library.forget(tenant, "help", ["docs/a.md"], True, "docs/") == ("docs/b.md",)
    assert await library.forget(tenant, "help", ["docs/a.md"], True, "docs/") == ()
    assert (log.changes[-1].name.document, log.changes[-1].version) == ("docs/b.md", "")
    found = {one.document for one in (await ask(library, tenant, "Where does the whale swim?")).passages}
    assert found == {"docs/a.md", "other/c.md"}
    assert await library.forget(tenant, "help", ["other/c.md", "never.md"], False, "") == ("other/c.md",)


async def test_a_document_of_more_passages_than_a_page_of_a_listing(library: Library, store: Milvus, tenant: str) -> None:
    text = "\n\n".join(f"# Part {n}\n\nShort." for n in range(1_050))
    name = Name(tenant, "help", "long.md")
    done = await library.ingest(name, "markdown", text.encode())
    assert done.passages == 1_050
    assert [(one.passages, one.whole) for one in await store.versions(name)] == [(1_050, True)]
    assert (await library.ingest(name, "markdown", b"# One\n\nOnly one.")).state is State.CHANGED
    assert [one.passages for one in await store.versions(name)] == [1]


async def test_after_a_restart_everything_is_there_and_is_announced_again(
    library: Library, embedding: Embedding, milvus: str, milvus_collection: str, tenant: str
) -> None:
    done = await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    again, log = Milvus(Place(milvus, lanes=2), embedding.dimensions), Recorder()
    await again.connect()
    await again.open(milvus_collection)
    restarted = Library(again, embedding, log)
    assert await restarted.announce_all() >= 1
    mine = [change for change in log.changes if change.name.tenant == tenant]
    assert [(change.version, change.passages, change.new_passages) for change in mine] == [(done.version, 3, ())]
    assert len((await ask(restarted, tenant, "When does the refund reach my card?")).passages) == 1
    await again.close()


# --- what it stands on ---------------------------------------------------------------------------------------------


async def test_another_embedder_takes_the_documents_over(milvus: str, embedding: Embedding, tenant: str) -> None:
    prefix = f"trivium_move_{uuid.uuid4().hex[:8]}_"
    old, new = Milvus(Place(milvus, lanes=2), embedding.dimensions), Milvus(Place(milvus, lanes=2), Hashed.dimensions)
    for each, name in ((old, "old"), (new, "new")):
        await each.connect()
        await each.open(prefix + name)
    await Library(old, embedding).ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    await move_all(new, Hashed(), prefix)
    assert await new.collections(prefix) == (prefix + "new",)
    moved = Library(new, Hashed())
    assert "2.1 Cards" in (await ask(moved, tenant, "When does the refund reach my card?")).passages[0].section
    assert (await moved.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)).state is State.UNCHANGED
    await new.drop(prefix + "new")
    await old.close()
    await new.close()


async def test_without_bm25_vectors_alone_find_passages(milvus: str, embedding: Embedding, tenant: str) -> None:
    old = Milvus(Place(milvus, lanes=2), embedding.dimensions)
    await old.connect()
    old.mode = Mode.DENSE
    name = f"trivium_dense_{uuid.uuid4().hex[:8]}"
    await old.open(name)
    library = Library(old, embedding)
    await library.ingest(Name(tenant, "help", "returns.md"), "markdown", RETURNS)
    found = await ask(library, tenant, "When does the refund reach my card?")
    assert (found.mode, found.passages[0].section) == ("dense", "2 Money back > 2.1 Cards")
    await old.drop(name)
    await old.close()


async def test_a_collection_of_another_shape_is_refused(store: Milvus, milvus: str, milvus_collection: str) -> None:
    other = Milvus(Place(milvus, lanes=1), 7)
    await other.connect()
    with pytest.raises(Unreachable, match="256 dimensions, not 7"):
        await other.open(milvus_collection)
    await other.close()


async def test_a_server_that_is_not_there_is_one_sentence(free_port: int) -> None:
    store = Milvus(Place(f"http://127.0.0.1:{free_port}", lanes=1), 3)
    with pytest.raises(Unreachable, match="no Milvus answers at"):
        await store.connect()
    await store.close()


async def test_searches_beside_an_ingest_always_find(library: Library, tenant: str) -> None:
    name = Name(tenant, "help", "tide.md")
    await library.ingest(name, "text", b"The tide of version 0 rises at noon.")

    async def rewrite() -> None:
        for version in range(1, 6):
            await library.ingest(name, "text", f"The tide of version {version} rises at noon.".encode())

    async def search() -> list[int]:
        return [len((await ask(library, tenant, "When does the tide rise?")).passages) for _ in range(12)]

    _, *counts = await asyncio.gather(rewrite(), search(), search())
    assert counts == [[1] * 12, [1] * 12]


@pytest.mark.parametrize(
    ("version", "mode"),
    [("v2.6.1", Mode.HYBRID), ("2.5.0-rc1", Mode.HYBRID), ("milvus_lite-3.2.2", Mode.HYBRID), ("v2.3.5-lite", Mode.DENSE), ("2.4.9", Mode.DENSE)],
)
def test_what_a_server_can_do_is_in_its_version(version: str, mode: Mode) -> None:
    assert mode_of(version) is mode


def test_a_collection_belongs_to_one_embedder_and_mode() -> None:
    names = {collection_of(print_, mode) for print_ in ("a:1", "b:1") for mode in Mode}
    assert len(names) == 2 * len(Mode)
