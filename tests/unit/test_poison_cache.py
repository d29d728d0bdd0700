"""Malformed cache entries and documents: none stops the cache, none spoils a look-up of its neighbours."""

import random
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.faults.poison.cases import odd, record
from tests.unit.test_cache_view import DOCS, EMBEDDER, NOW, QUESTION, World
from trivium.cache.view import STALE_MS
from trivium.core.outcome import Answer, Citation
from trivium.core.slip import CacheHit
from trivium.kafka.record import Delivered
from trivium.v1 import records_pb2 as pb

CASES = 1_500


@pytest.mark.parametrize("seed", [4])
def test_no_malformed_entry_or_document_stops_the_cache_or_spoils_its_neighbours(seed: int) -> None:
    world, draw = World(most=10_000), random.Random(seed)
    world.document("guide.md", "v1")
    world.keep(DOCS, Answer("See the guide.", sources=(Citation("guide.md", "Refunds", "v1"),)), arrived=NOW + STALE_MS + 2_000)
    world.now += 3_000
    sound = world.keep(replace(DOCS, question="Where is my order?"), Answer("On its way.")).SerializeToString()
    asked = [replace(DOCS, question=question) for question in ("Where is my order now?", "x", "acme", "Why not?", QUESTION)]
    for number in range(CASES // 3):
        value, _ = record(draw, pb.CacheEntry, sound)
        entry = odd(draw, pb.CacheEntry)
        assert isinstance(entry, pb.CacheEntry)
        entry.scope, entry.fingerprint, entry.expires_ms = DOCS.hash, EMBEDDER.fingerprint, draw.choice((0, NOW * 2))
        entry.ClearField("drop")
        entry.embedding = draw.choice((b"\xff" * 4 * EMBEDDER.dimensions, draw.randbytes(4 * EMBEDDER.dimensions), b"\0" * 4 * EMBEDDER.dimensions))
        entry.question = draw.choice((entry.question, asked[number % 4].question))
        entry.corpus, entry.corpus_epoch = draw.choice(("docs", entry.corpus)), draw.choice((0, entry.corpus_epoch))
        document = odd(draw, pb.DocumentRecord)
        assert isinstance(document, pb.DocumentRecord)
        document.tenant, document.corpus, document.fingerprint = "acme", "docs", EMBEDDER.fingerprint
        document.document, document.epoch = draw.choice(("other.md", "x")), NOW - number
        # As the tail does: what a view raises is logged, and the view goes on.
        for take, key, one in (
            (world.view.take_entry, b"k%d" % number, value), (world.view.take_entry, b"e%d" % number, entry.SerializeToString()),
            (world.view.take_document, b"d", document.SerializeToString()),
        ):  # fmt: skip
            with suppress(Exception):
                take(Delivered("t", 0, number, world.now, key, one, ()))
        world.ask(asked[number % 5])
    found = world.ask(DOCS)
    assert isinstance(found, CacheHit)
    assert found.answer.text == "See the guide."
