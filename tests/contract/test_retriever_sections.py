"""A question that names a section finds it among many, with BM25 and by vectors alone, on Milvus Lite and on a server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from services.retrieval.embedding import Embedding, Local
from services.retrieval.library import Library, State
from services.retrieval.milvus import Milvus, Place
from services.retrieval.store import Mode, Name
from trivium.embed.static import StaticEmbedder

SUBJECTS = ("travel", "parking", "training", "laptops", "catering", "visitors", "badges", "holidays", "parcels", "cleaning")


def rules(company: str) -> bytes:
    """Ten chapters of four sections that hardly differ in words."""
    lines = [f"# Handbook of {company}"]
    for chapter, subject in enumerate(SUBJECTS, 1):
        lines.append(f"## {chapter} {subject.title()}")
        for section in range(1, 5):
            lines.append(f"### {chapter}.{section} Rule\n\nThe {company} office allows {subject} under rule {chapter * 10 + section}.")
    lines.append("## Appendix A\n\n### A.1 Forms\n\nAll forms are blue.")
    return "\n\n".join(lines).encode()


@pytest.fixture(scope="module")
def embedding() -> Embedding:
    return Local(StaticEmbedder.load())


@pytest.fixture(scope="module")
def dense_collection(milvus: str) -> Iterator[str]:
    name = f"trivium_test_dense_{uuid.uuid4().hex[:12]}"
    yield name
    asyncio.run(_drop(milvus, name))


async def _drop(uri: str, collection: str) -> None:
    store = Milvus(Place(uri, lanes=1), 1)
    await store.connect()
    await store.drop(collection)
    await store.close()


@pytest.fixture(params=["the server's own", "dense"])
async def library(
    request: pytest.FixtureRequest, milvus: str, milvus_collection: str, dense_collection: str, embedding: Embedding
) -> AsyncIterator[Library]:
    store = Milvus(Place(milvus, lanes=2), embedding.dimensions)
    await store.connect()
    if request.param == "dense":
        store.mode = Mode.DENSE
    await store.open(dense_collection if request.param == "dense" else milvus_collection)
    yield Library(store, embedding)
    await store.close()


async def found(library: Library, tenant: str, question: str, limit: int = 3) -> list[str]:
    passages = (await library.retrieve(tenant, "rules", question, limit, 600, 0.0)).passages
    return [f"{one.document}: {one.section.rsplit(' > ', 1)[-1]}" for one in passages]


async def test_the_named_section_is_found_among_forty_alike(library: Library) -> None:
    tenant = f"tenant-{uuid.uuid4()}"
    await library.ingest(Name(tenant, "rules", "north.md"), "markdown", rules("North"))
    assert (await found(library, tenant, "What does section 7.3 say?"))[0] == "north.md: 7.3 Rule"
    assert (await found(library, tenant, "please quote § 10.4 to me"))[0] == "north.md: 10.4 Rule"
    assert (await found(library, tenant, "what is in appendix a.1"))[0] == "north.md: A.1 Forms"
    assert await found(library, tenant, "Summarise chapter 4", 4) == [f"north.md: 4.{n} Rule" for n in range(1, 5)]
    assert sorted((await found(library, tenant, "How do section 2.1 and section 9.2 differ?"))[:2]) == [
        "north.md: 2.1 Rule", "north.md: 9.2 Rule",
    ]  # fmt: skip


async def test_of_many_documents_the_one_that_is_named_too(library: Library) -> None:
    tenant = f"tenant-{uuid.uuid4()}"
    for company in ("North", "South", "West"):
        done = await library.ingest(Name(tenant, "rules", f"{company.lower()}.md"), "markdown", rules(company))
        assert done.state is State.ADDED
    assert (await found(library, tenant, "What does section 3.2 of the South handbook say?"))[0] == "south.md: 3.2 Rule"
    assert set(await found(library, tenant, "What does section 5.1 say?")) == {f"{at}.md: 5.1 Rule" for at in ("north", "south", "west")}


async def test_a_section_that_is_not_there_is_not_invented(library: Library) -> None:
    tenant = f"tenant-{uuid.uuid4()}"
    await library.ingest(Name(tenant, "rules", "north.md"), "markdown", rules("North"))
    assert await found(library, tenant, "What does section 44.9 say?") == []
