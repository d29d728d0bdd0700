"""`trivium prompts slim` against a tier of a few lines, over gRPC."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from trivium.cli import tier_calls
from trivium.cli.app import trivium
from trivium.codec import outcome_to, work_from
from trivium.core.errors import TriviumError
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, Usage
from trivium.core.slip import Work
from trivium.policy import load
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2_grpc

POLICY = Path(__file__).parents[2] / "examples/support/policy.yaml"
QUESTIONS = [f"Where is parcel {i}?" for i in range(120)]


class Tier(services_pb2_grpc.TierServicer):
    """Answers `shipping`; needs the word `team` in its instructions. Fails as it is told."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.faults: list[FaultKind] = []
        self.always: FaultKind | None = None
        self.address = ""

    def Generate(self, request: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        work = work_from(request)
        self.works.append(work)
        kind = self.always or (self.faults.pop() if self.faults else None)
        text = "shipping" if "team" in work.task.system else "?"
        result = Fault(kind, "as told") if kind else Answer(text)
        usage = Usage(len(work.task.system) // 4, 2)
        return outcome_to(Outcome(work.request.identity, 1, work.target.name, result, usage, 5, 0, 0))


@pytest.fixture
def tier() -> Iterator[Tier]:
    servicer, server = Tier(), grpc.server(ThreadPoolExecutor(4))
    services_pb2_grpc.add_TierServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    servicer.address = f"127.0.0.1:{port}"
    yield servicer
    server.stop(None).wait()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": "shipping"}) + "\n" for text in QUESTIONS))
    return path


def run(*words: str) -> Result:
    return CliRunner().invoke(trivium, ["prompts", "slim", *words], standalone_mode=False)


def asked(tier: Any, questions: Path, *more: str) -> Result:
    return run("classify_ticket", "--questions", str(questions), "--policy", str(POLICY), "--endpoint", tier.address, *more)


def test_a_fragment_is_written_that_the_policy_takes(tier: Tier, questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "slim.yaml"
    done = asked(tier, questions, "--out", str(out), "--json")
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (done.return_value, figures["passed"], figures["tested"]) == (0, True, 60)
    assert figures["tokens_saved"][0] > 0.1
    assert figures["difference"][0] == 0
    slim = load(POLICY, [out]).tasks["classify_ticket"].spec.system
    assert ("Answer with the label alone" in slim, "team" in slim) == (False, True)
    assert figures["spent_micro_dollars"] == 5 * len(tier.works)
    assert {work.request.use_case for work in tier.works} == {"prompts-slim"}
    assert load(POLICY).tasks["classify_ticket"].spec.system != slim


def test_the_report_says_what_was_saved_and_that_nothing_is_in_force(tier: Tier, questions: Path) -> None:
    said = asked(tier, questions).stdout
    for words in ("Tried on 60 questions", "right answers", "of the tokens; not worse than today by more than 5 points", "not in force", "tasks:"):
        assert words in said


def test_passing_faults_are_asked_again(tier: Tier, questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_calls, "WAIT_S", 0.001)
    tier.faults = [FaultKind.OVERLOADED, FaultKind.UNAVAILABLE, FaultKind.RATE_LIMITED]
    assert asked(tier, questions, "--json").return_value == 0


def test_a_tier_that_does_not_answer_is_no_measurement(tier: Tier, questions: Path) -> None:
    tier.always = FaultKind.FORBIDDEN
    error = asked(tier, questions).exception
    assert isinstance(error, tier_calls.NotAnswered)
    assert "finetuned/tickets did not answer 'Where is parcel" in str(error)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("clasify",), "the policy has no task type 'clasify'; did you mean classify_ticket?"),
        (("classify_ticket", "--target", "cloud/big"), "--target: the policy has no target 'cloud/big'"),
        (("classify_ticket", "--tenant", "nobody"), "--tenant: the policy has no tenant 'nobody'"),
        (("classify_ticket", "--margin", "0.01"), "has 120 questions: too few to see a loss of 1.0%"),
        (("classify_ticket", "--limit", "-3"), "--limit: is -3, a price cannot be negative"),
        (("classify_ticket", "--keep", "team", "--keep", "label"), "has nothing that could be dropped"),
        (("classify_ticket", "--endpoint", "127.0.0.1:9"), "the tier at 127.0.0.1:9"),
    ],
)
def test_what_cannot_be_measured_is_told(questions: Path, words: tuple[str, ...], told: str) -> None:
    error = run(*words, "--questions", str(questions), "--policy", str(POLICY)).exception
    assert isinstance(error, TriviumError)
    assert told in str(error)


def test_a_form_needs_expected_labels(tier: Tier, tmp_path: Path) -> None:
    path = tmp_path / "bare.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in QUESTIONS))
    error = asked(tier, path, "--structured").exception
    assert isinstance(error, TriviumError)
    assert "--structured: every question must expect a label" in str(error)
