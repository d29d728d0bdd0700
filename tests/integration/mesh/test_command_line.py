"""The command line through its public door, before a running mesh."""

import asyncio
import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.integration.mesh.running import TIMEOUT_S, RunningMesh, asking, command, new_id
from trivium.cli.app import trivium
from trivium.core.request import Identity

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = Path("examples/support")
POLICY, TASKS, PAIRS = EXAMPLE / "policy.yaml", EXAMPLE / "tasks.jsonl", EXAMPLE / "pairs.jsonl"
PUBLIC = (
    ("ask",), ("publish",), ("ingest",), ("policy", "check"), ("why",), ("trace",), ("ledger",), ("topics",),
    ("deadletter", "list"), ("deadletter", "show"), ("deadletter", "replay"), ("cache", "drop"), ("erase",), ("train-classifier",), ("train-cache",),
    ("demo",), ("up",), ("breakeven",), ("prompts", "slim"),
)  # fmt: skip


@pytest.mark.parametrize("words", PUBLIC, ids=" ".join)
async def test_every_command_has_help_with_an_example_and_json(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(trivium, [*words, "--help"])
    assert said.exit_code == 0
    assert f"Example: trivium {' '.join(words)} " in " ".join(said.output.split())
    assert "--json" in said.output


async def test_the_program_lists_its_commands() -> None:
    said = await command("--help")
    assert {words[0] for words in PUBLIC} <= set(said.out.split())


async def test_what_is_typed_wrong_is_one_sentence_and_status_2() -> None:
    wrong = (("asc", "x"), ("ledger", "--by", "teem"), ("cache", "drop"))
    for words, said in zip(wrong, await asyncio.gather(*(command(*words) for words in wrong)), strict=True):
        assert (said.status, said.out) == (2, ""), words
        assert "Error: " in said.err
        assert "Traceback" not in said.err


# --- publish and ask -------------------------------------------------------------------------------------------------


async def test_a_csv_of_ones_own_is_answered_row_by_row(mesh: RunningMesh, tmp_path: Path) -> None:
    rows = tmp_path / "tickets.csv"
    rows.write_text('ticket,message,mood\nT-1,"I love it, thanks!",x\nT-2,"This is a scandal, I am furious!",x\nT-3,,x\nT-4,a,b,c\n')
    out = tmp_path / "out.csv"
    said = await mesh.trivium("publish", rows, "--map", "prompt=message", "--set", "endpoint=/sentiment", "-o", out, "--json")
    assert said.status == 1, said.err
    (sums,) = said.lines
    assert (sums["rows"], sums["terminals"]) == (4, {"answered": 2, "not asked": 2})
    found = {int(row["row"]): row for row in csv.DictReader(out.read_text().splitlines())}
    assert (found[1]["answer"], found[2]["answer"]) == ("positive", "negative")
    assert (found[1]["target"], found[1]["task_type"]) == ("finetuned/support", "sentiment")
    assert "'message'" in found[3]["message"]
    assert found[4]["message"] == "more cells than the header has columns"


async def test_a_jsonl_of_ones_own_is_answered_and_its_bad_rows_say_why(mesh: RunningMesh, tmp_path: Path) -> None:
    name = new_id()
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join([
        json.dumps({"id": name, "text": "I am so happy!", "endpoint": "/sentiment", "team": "desk", "tags": ["a"]}),
        json.dumps({"text": "x", "endpoint": "/nowhere"}),
        "{not json", "[1]", "",
        json.dumps({"text": "x", "timeout_ms": "soon"}),
    ]))  # fmt: skip
    out = tmp_path / "out.jsonl"
    said = await mesh.trivium("publish", rows, "--map", "prompt=text", "-o", out)
    assert said.status == 1
    assert "5 rows" in said.out
    found = {line["row"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert (found[1]["id"], found[1]["terminal"], found[1]["answer"]) == (name, "answered", "positive")
    assert (found[2]["terminal"], found[2]["reason"]) == ("refused", "unknown_endpoint")
    assert found[3]["message"].startswith("not JSON")
    assert found[4]["message"] == "a JSON list instead of an object"
    assert "timeout_ms" in found[6]["message"]
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps({"prompt": "I am so happy!", "endpoint": "/sentiment"}))
    said = await mesh.trivium("publish", good)
    assert said.status == 0
    assert "1 answered" in said.out


async def test_ask_streams_an_answer_and_says_where_it_came_from(mesh: RunningMesh) -> None:
    people, machines, refused = await asyncio.gather(
        mesh.trivium("ask", "I am so happy!", "--endpoint", "/sentiment"),
        mesh.trivium("ask", "Are restricted requests written to the cache?", "--endpoint", "/policy-question", "--json"),
        mesh.trivium("ask", "x", "--endpoint", "/nowhere"),
    )
    assert people.status == 0
    assert people.out.startswith("positive\n")
    assert "trivium why ask-" in people.out
    (terminal,) = machines.lines
    assert (machines.status, terminal["tier"]) == (0, "retrieval")
    assert terminal["answer"]["citations"][0]["document"]
    assert refused.status == 1
    assert "unknown_endpoint" in refused.out


# --- ingest ----------------------------------------------------------------------------------------------------------


async def test_a_second_ingest_touches_only_what_changed_and_forgets_what_went(mesh: RunningMesh, tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "holidays.md").write_text("# Holidays\n\n## Summer\n\nThe office in Porto closes for the first two weeks of August.\n")
    (folder / "parking.txt").write_text("Parking costs four euros a day and is paid at the desk.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 this is no PDF at all")
    order = ("ingest", folder, "--tenant", "globex", "--corpus", "docs", "--json")
    first = await mesh.trivium(*order)
    assert first.status == 1
    states = {Path(d["document"]).name: d for d in first.lines[0]["documents"]}
    assert {name: d["state"] for name, d in states.items()} == {"holidays.md": "added", "parking.txt": "added", "broken.pdf": "failed"}
    assert "PDF" in states["broken.pdf"]["message"]
    (folder / "broken.pdf").unlink()
    again = await mesh.trivium(*order)
    assert again.status == 0
    assert {d["state"] for d in again.lines[0]["documents"]} == {"unchanged"}
    question = {"tenant": "globex", "endpoint": "/policy-question", "prompt": "What does parking cost a day?"}
    answer = (await mesh.by_grpc(**question)).answer
    assert answer is not None
    assert "four euros" in answer.text
    (folder / "parking.txt").unlink()
    (folder / "holidays.md").write_text("# Holidays\n\n## Summer\n\nThe office in Porto never closes.\n")
    third = await mesh.trivium(*order)
    assert [d["state"] for d in third.lines[0]["documents"]] == ["changed"]
    assert [Path(name).name for name in third.lines[0]["forgotten"]] == ["parking.txt"]
    gone = (await mesh.by_grpc(**question, cache="bypass")).answer
    assert gone is None or "four euros" not in gone.text


async def test_documents_about_one_person_are_erased_and_others_stay(mesh: RunningMesh, tmp_path: Path) -> None:
    folder = tmp_path / "customers"
    for who in ("4711", "0815"):
        (folder / who).mkdir(parents=True)
        (folder / who / "contract.md").write_text(f"# Contract of {who}\n\nCustomer {who} pays by invoice within thirty days.\n")
    assert (await mesh.trivium("ingest", folder, "--tenant", "globex", "--corpus", "docs")).status == 0
    order = ("erase", "--tenant", "globex", "--subject", "4711", "--documents", "docs/customers/4711/", "--json")
    said = await mesh.trivium(*order)
    assert said.status == 0, said.err
    (before,) = said.lines
    assert [row["records"] for row in before["topics"] if row["topic"] == "trivium.documents"] == [1]
    assert (await mesh.trivium(*order, "--apply")).status == 0
    again = await mesh.trivium("ingest", folder, "--tenant", "globex", "--corpus", "docs", "--json")
    assert {d["document"]: d["state"] for d in again.lines[0]["documents"]} == {
        "customers/0815/contract.md": "unchanged", "customers/4711/contract.md": "added"}  # fmt: skip


async def test_an_ingest_that_cannot_be_done_says_why(mesh: RunningMesh, tmp_path: Path) -> None:
    said = await mesh.trivium("ingest", tmp_path / "nowhere")
    assert said.status == 2
    assert "nowhere" in said.err
    assert "Traceback" not in said.err


# --- looking back ----------------------------------------------------------------------------------------------------


async def test_why_trace_and_ledger_explain_a_request_that_fell_back(mesh: RunningMesh) -> None:
    name, team = new_id(), new_id()
    await mesh.control("model", fault="unavailable", count=1, match=name)
    terminal = await mesh.by_grpc(id=name, prompt=f"{name}: I am happy.", endpoint="/sentiment", team=team, cache="bypass")
    assert terminal.tier == "cloud"
    words = await mesh.trivium("why", name)
    assert words.status == 0, words.err
    assert "finetuned/support" in words.out
    assert "Smallest change: " in words.out
    (told,) = (await mesh.trivium("why", name, "--json")).lines
    assert told["request"] == f"acme/{name}"
    assert told["smallest_change"]
    (sums,) = (await mesh.trivium("ledger", "--by", "team,target,door", "--json")).lines_of(team=team)
    assert (sums["target"], sums["door"], sums["requests"], sums["attempts"]) == ("cloud/small", "grpc", 1, 2)
    assert sums["cost_micro_dollars"] == terminal.cost_micro_dollars > 0
    table = await mesh.trivium("ledger", "--by", "tier,task", "--since", "1h")
    assert table.status == 0
    assert "sentiment" in table.out


async def test_a_trace_is_one_tree_without_a_missing_parent(mesh: RunningMesh) -> None:
    name = new_id()
    await mesh.by_kafka(id=name, prompt="Are restricted requests written to the cache?", endpoint="/policy-question", cache="bypass")
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            said = await mesh.trivium("trace", name, "--json")
            spans = said.lines if said.status == 0 else []
            services = {span["service"] for span in spans}
            orphans = {span["parent"] for span in spans} - {span["span"] for span in spans} - {""}
            if {"trivium-router", "trivium-retrieval", "trivium-finetuned"} <= services and not orphans:
                break
    assert sum(not span["parent"] for span in spans) == 1
    tree = await mesh.trivium("trace", name)
    assert f"{len(spans)} spans" in tree.out
    assert "its parent is missing" not in tree.out


async def test_who_is_not_in_the_log_is_told_so(mesh: RunningMesh) -> None:
    for words in (("why", "nobody"), ("trace", "nobody")):
        said = await mesh.trivium(*words)
        assert said.status == 2
        assert "'nobody'" in said.err
        assert said.err.count("\n") == 1


# --- dead letters, cache, topics -------------------------------------------------------------------------------------


async def test_a_dead_letter_is_listed_and_replayed_under_a_new_number(mesh: RunningMesh) -> None:
    name = new_id()
    refused = await mesh.by_kafka(id=name, prompt="x", endpoint="/sentiment", stakes="huge")
    assert refused.kind.value == "refused"
    letters = (await mesh.trivium("deadletter", "list", "--reason", "unknown_word", "--json")).lines_of(request=f"acme/{name}")
    (letter,) = letters
    assert (letter["field"], letter["topic"]) == ("stakes", "trivium.requests")
    assert letter["hint"]
    (whole,) = (await mesh.trivium("deadletter", "show", letter["id"], "--json")).lines
    assert (whole["key"], whole["headers"]["content-type"]) == (f"acme/{name}", "application/protobuf")
    assert (whole["readable_as"]["prompt"], whole["readable_as"]["stakes"]) == ("x", "huge")
    nobody = await mesh.trivium("deadletter", "show", "trivium.requests-0-99999")
    assert (nobody.status, nobody.err.count("\n")) == (2, 1)
    dry = await mesh.trivium("deadletter", "replay", "--id", letter["id"], "--dry-run")
    assert (dry.status, "Would be asked again" in dry.out) == (0, True)
    (row,) = (await mesh.trivium("deadletter", "replay", "--id", letter["id"], "--json")).lines
    number = int(row["state"].removeprefix("replay "))
    again = await mesh.letters.until(lambda m: (m.identity.id, m.identity.replay) == (name, number))
    assert again.reason.code == "unknown_word"
    people = await mesh.trivium("deadletter", "list")
    assert people.status == 0
    assert "dead letters" in people.out


async def test_a_dropped_task_is_asked_of_a_model_again(mesh: RunningMesh) -> None:
    request = {"endpoint": "/language", "prompt": f"Bonjour tout le monde, {new_id()}"}
    async with asyncio.timeout(TIMEOUT_S):
        while (await mesh.by_grpc(**request)).cache is None or (await mesh.by_kafka(**request)).cache is None:
            continue
        said = await mesh.trivium("cache", "drop", "--task", "language", "--json")
        assert said.status == 0
        assert said.lines[0]["tenant"] == "acme"
        while (await mesh.by_grpc(**request)).cache is not None:
            continue


async def test_the_topics_of_a_running_mesh_are_verified(mesh: RunningMesh) -> None:
    said = await mesh.trivium("topics", "--json")
    assert said.status == 0, said.out
    states = {line["topic"]: line["state"] for line in said.lines}
    assert states["trivium.requests"] == "right"
    assert "trivium.work.cloud.restricted" not in states
    other = await mesh.trivium("topics", "--json", TRIVIUM_PARTITIONS="5")
    assert other.status == 1


# --- files -----------------------------------------------------------------------------------------------------------


async def test_a_policy_is_checked_with_line_and_field(tmp_path: Path) -> None:
    good = await command("policy", "check", POLICY, "--json")
    assert (good.status, good.lines[0]["ok"]) == (0, True)
    text = POLICY.read_text()
    bad = tmp_path / "policy.yaml"
    bad.write_text(text.replace("  /sentiment: sentiment", "  /sentiment: sentimnet").replace("max_timeout_ms:", "max_timeout_msec:"))
    lines = bad.read_text().splitlines()
    said = await command("policy", "check", bad)
    assert said.status == 1
    for word in ("sentimnet", "max_timeout_msec"):
        number = next(i for i, line in enumerate(lines, 1) if word in line)
        assert any(f":{number}:" in line and word in line for line in said.out.splitlines()), said.out
    (told,) = (await command("policy", "check", bad, "--json")).lines
    assert told["ok"] is False
    assert len(told["problems"]) == 2
    for name, content in (("broken.yaml", "a: [1,\nb: {"), ("list.yaml", "- 1"), ("none.yaml", None)):
        if content is not None:
            (tmp_path / name).write_text(content)
        told_here = CliRunner().invoke(trivium, ["policy", "check", str(tmp_path / name)], standalone_mode=False)
        assert told_here.return_value == 1
        assert name in told_here.output


async def test_a_classifier_and_a_verifier_of_ones_own(tmp_path: Path) -> None:
    tasks, pairs = tmp_path / "tasks.jsonl", tmp_path / "pairs.jsonl"
    by_label: dict[str, list[str]] = defaultdict(list)
    for line in TASKS.read_text().splitlines():
        by_label[json.loads(line)["label"]].append(line)
    tasks.write_text("\n".join(line for lines in by_label.values() for line in lines[:10]))
    pairs.write_text("\n".join(PAIRS.read_text().splitlines()[::20]))
    one = await command("train-classifier", tasks, "-o", tmp_path / "c.json", "--json")
    other = await command("train-cache", pairs, "-o", tmp_path / "v.json", "--json")
    assert one.status == other.status == 0, one.err + other.err
    assert 0.5 < one.lines[0]["accuracy"] <= 1
    assert other.lines[0]["hits"]["of"] > 0
    assert json.loads((tmp_path / "c.json").read_text())
    assert json.loads((tmp_path / "v.json").read_text())
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "label": "b"}\nnot json\n')
    said = await command("train-classifier", tmp_path / "bad.jsonl")
    assert said.status == 2
    assert "Traceback" not in said.err
    assert "bad.jsonl" in said.err


async def test_a_replayed_request_is_answered_when_its_fault_is_gone(mesh: RunningMesh) -> None:
    # The reply of a replay comes under its own number, to the topic that the request named.
    name = new_id()
    await mesh.by_kafka(id=name, prompt="I am so happy!", endpoint="/sentiment")
    asked = asking("I am so sad.", id=name, endpoint="/sentiment")
    await mesh.kafka.send_raw(asked.SerializeToString(), key=f"acme/{name}".encode())
    letter = await mesh.letters.until(lambda m: m.identity.id == name)
    (row,) = (await mesh.trivium("deadletter", "replay", "--id", letter.id, "--json")).lines
    number = int(row["state"].removeprefix("replay "))
    async with asyncio.timeout(TIMEOUT_S):
        terminal = await mesh.grpc.wait(Identity("acme", name, number))
    assert (terminal.kind.value, terminal.identity.replay) == ("answered", number)
    told = await mesh.trivium("why", name)
    assert f"asked again out of the dead letters: acme/{name} {letter.id}" in told.out
