"""Break-even from the ledger, and a prompt slimmed against real tiers."""

import json
from pathlib import Path

import pytest

from tests.integration.mesh.running import RunningMesh
from trivium.policy import load

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = Path("examples/support/policy.yaml")
HELD_OUT = Path("examples/support/held_out/product_question.jsonl")
ABOUT = ("cache", "restricted", "verifier", "embedder", "end user")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Some of the shipped ones, about the documents that are in the corpus."""
    rows = [line for line in HELD_OUT.read_text().splitlines() if any(word in json.loads(line)["text"].lower() for word in ABOUT)]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(rows[:20]))
    return path


async def test_a_prompt_is_slimmed_and_the_result_is_a_fragment_of_the_policy(mesh: RunningMesh, questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "slim.yaml"
    said = await mesh.trivium("prompts", "slim", "product_question", "--questions", questions, "--margin", "0.45", "--out", out, "--json")
    assert said.status == 0, said.err + said.out
    (figures,) = said.lines
    assert (figures["passed"], figures["target"], figures["tested"]) == (True, "retrieval/docs", 10)
    assert figures["context_saved"][0] > 0
    assert figures["difference"][0] > -0.45
    assert load(POLICY, [out]).tasks["product_question"].spec != load(POLICY).tasks["product_question"].spec


async def test_break_even_from_the_ledger(mesh: RunningMesh) -> None:
    terminal = await mesh.by_kafka(prompt="What is never written to the cache?", endpoint="/ask-docs", cache="bypass")
    assert terminal.target == "retrieval/docs"
    said = await mesh.trivium("breakeven", "--task", "product_question", "--volume", "1000", "--json")
    assert said.status == 0, said.err
    (figures,) = said.lines
    assert 0 < figures["retrieval"] < figures["endpoint"]
    assert figures["break_even"] > 1000
