"""How long a decision takes: `begin` to the first step, under a policy of 50 task types and 20 rules.

    python -m benchmarks.decision [--json] [--rounds N]

Every kind of request is decided in rounds of 500; a kind's figure is the median over its rounds, `decision_us` the mean
over the kinds, the way a mixed stream meets them. Classifier and cache are left out (they have benchmarks of their own):
the classifier answers at once, and nothing is cached but in the row that says so.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.report import finish, print_table
from trivium.core.decision import Classification
from trivium.core.journey import advance, begin
from trivium.core.outcome import Answer, CacheNote, Outcome
from trivium.core.policy import Policy
from trivium.core.request import Identity, Message, Request, Role, Sensitivity
from trivium.core.slip import Arrival, CacheHit, Call, Facts, TargetFacts
from trivium.policy import parse

TASKS = 50
RULES = 20
CALLS = 500
NOW = 1_760_000_000_000
PROMPT = "Hello, my last invoice shows two charges for the same month. Can you tell me why, and refund one of them?"
FACTS = {name: TargetFacts(queue_wait_ms=5, p95_ms=400) for name in ("finetuned/own", "retrieval/docs", "cloud/small")}


def policy_text() -> str:
    """A policy file of the size that the figure is promised for."""
    tasks = "\n".join(
        f"  task_{number}:\n    can_wait: true\n    corpus: docs\n    cache: true\n"
        f"    system: |\n      Task: task_{number}\n      {'Answer briefly and politely. ' * 8}\n"
        "    route: [{target: finetuned/own, bar: 0.7}, {target: retrieval/docs, bar: 0.4}, cloud/small]"
        for number in range(TASKS)
    )
    rules = "\n".join(
        f"  - name: rule-{number}\n    when: {{user_tier: tier-{number}, tokens: {{lt: 4000}}, stakes: [normal, high]}}\n"
        "    route: [cloud/small, finetuned/own]"
        for number in range(RULES)
    )
    return f"""\
revision: 1
targets:
  finetuned/own: {{tier: finetuned, model: own, prices: {{input: 0.05, output: 0.1}}}}
  retrieval/docs: {{tier: retrieval, generator: finetuned/own}}
  cloud/small: {{tier: cloud, model: small, context_window: 200000, prices: {{input: 1, output: 5}}}}
tenants:
  acme: {{reply_topics: [trivium.responses], corpora: [docs]}}
endpoints: {{/task: task_7, /auto: auto}}
tasks:
{tasks}
novel: {{route: [cloud/small]}}
rules:
{rules}
"""


def a_request(**fields: object) -> Request:
    plain = Request(Identity("acme", "request-1"), (Message(Role.USER, PROMPT),), endpoint="/task")
    return replace(plain, **fields)  # type: ignore[arg-type]


def kinds(policy: Policy) -> dict[str, Callable[[], object]]:
    """One call of each kind."""
    facts = Facts(NOW, FACTS)
    arrival = Arrival(body_hash="0" * 32, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
    said = Classification("task_7", 0.9, 0.3)
    known = Facts(NOW, FACTS, classify=lambda _text: said)
    note = CacheNote("exact", 1.0, 1.0, Identity("acme", "request-0"), PROMPT, NOW)
    full = Facts(NOW, FACTS, lookup=lambda _scope: CacheHit(Answer("Because."), note))
    requests = {
        "task's own route": (a_request(), facts),
        "last rule of 20": (a_request(user_tier=f"tier-{RULES - 1}"), facts),
        "auto": (a_request(endpoint="/auto"), known),
        "restricted": (a_request(sensitivity=Sensitivity.RESTRICTED), facts),
        "cache hit": (a_request(), full),
    }
    return {
        name: lambda request=request, at=at: begin(request, policy, at, arrival)  # type: ignore[misc]
        for name, (request, at) in requests.items()
    }


def an_advance(policy: Policy) -> Callable[[], object]:
    """An escalation: the answer is below its bar, and the next target is called."""
    step = begin(a_request(), policy, Facts(NOW, FACTS), Arrival())
    assert isinstance(step, Call)
    weak = Outcome(
        step.work.request.identity, 1, step.work.target.name, Answer("Perhaps.", confidence=0.5), ended_ms=NOW + 90
    )
    later = Facts(NOW + 100, FACTS)
    return lambda: advance(step.journey, weak, policy, later)


def measured(call: Callable[[], object], rounds: int) -> float:
    """Microseconds of this process a call, whoever else is on the machine: the median over rounds."""
    found = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(CALLS):
            call()
        found.append((time.process_time() - started) / CALLS * 1e6)
    return statistics.median(found)


def main() -> None:
    """Prints the table, or one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of 500 calls for each kind (default 30)")
    arguments = parser.parse_args()
    policy = parse(policy_text().encode(), Path("policy.yaml"))
    rows = {name: measured(call, arguments.rounds) for name, call in kinds(policy).items()}
    escalation = measured(an_advance(policy), arguments.rounds)
    print_table(
        f"begin to first step, {len(policy.tasks)} task types and {len(policy.rules)} rules",
        [
            {"request": name, "us": round(value, 1)}
            for name, value in [*rows.items(), ("(advance: an escalation)", escalation)]
        ],
    )
    figures = {"decision_us": round(statistics.mean(rows.values()), 1), "advance_us": round(escalation, 1)}
    finish(figures, arguments.json)


if __name__ == "__main__":
    main()
