"""Whether what was paid is what was written down: vendors' calls against starts, settled attempts against outcomes, outcomes
against the ledger. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from tests.faults.evidence import AttemptRecord, Call, Evidence, Key
from tests.faults.verdict import Verdict

VENDORS: Final = {"finetuned": "tgi", "cloud": "claude"}
"""Tier -> whom it calls."""
UNRECORDED_MS: Final = 1_000
"""A call by gRPC does not wait for its start to be in the log: a tier that is killed so soon after it may leave none."""

Pile = tuple[str, str]
"""(vendor, mark): what a call can be found by."""


def _starts(evidence: Evidence) -> Mapping[Pile, list[AttemptRecord]]:
    found: dict[Pile, list[AttemptRecord]] = defaultdict(list)
    for record in evidence.attempts:
        if record.state == "started" and record.tier in VENDORS and record.key in evidence.asked:
            found[VENDORS[record.tier], evidence.asked[record.key].mark].append(record)
    return found


def _calls(evidence: Evidence) -> Mapping[Pile, list[Call]]:
    found: dict[Pile, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        found[call.vendor, call.mark].append(call)
    return found


def calls_match_starts(evidence: Evidence) -> Verdict:
    """No call without its start, no answer without its call, and a start without a call only where a fault or a death explains it."""
    starts, calls, broken = _starts(evidence), _calls(evidence), list[str]()
    settled = {_execution(record): record for record in evidence.attempts if record.state == "settled"}
    for pile in starts.keys() | calls.keys():
        begun, made = starts.get(pile, []), calls.get(pile, [])
        answered = sum((end := settled.get(_execution(one))) is not None and not end.fault for one in begun)
        where = f"{pile[0]} for {pile[1] or 'nobody'}"
        if len(made) > len(begun) and len(made) - len(begun) > _dying(evidence, made):
            broken.append(f"{where}: {len(made)} calls, {len(begun)} starts")
        if len(made) < answered:
            broken.append(f"{where}: {answered} answers, {len(made)} calls")
    return Verdict("vendor calls logged = attempts started", len(evidence.calls), broken)


def _execution(record: AttemptRecord) -> tuple[object, ...]:
    return record.tier, record.key, record.attempt, record.target, record.execution, record.instance, record.door, record.begun_ms


def _dying(evidence: Evidence, made: list[Call]) -> int:
    """Calls that came just before a tier was killed."""
    killed = [event.at_ms for event in evidence.events if event.what in ("kill", "crash") and event.victim.startswith(("finetuned", "cloud"))]
    return sum(any(0 <= at_ms - call.at_ms <= UNRECORDED_MS for at_ms in killed) for call in made)


def unrecorded(evidence: Evidence) -> int:
    """Calls without a start, at a tier that died in that moment."""
    starts, calls = _starts(evidence), _calls(evidence)
    return sum(max(0, len(made) - len(starts.get(pile, ()))) for pile, made in calls.items())


def paid_twice(evidence: Evidence) -> int:
    """Calls beyond the first of their attempt."""
    calls, starts = _calls(evidence), _starts(evidence)
    return sum(max(0, len(calls.get(pile, ())) - len(_attempts(begun))) for pile, begun in starts.items())


def _attempts(begun: list[AttemptRecord]) -> set[tuple[object, ...]]:
    # A generator's call is told by its moment: its parent's attempt may be started again, and then it is a new call.
    return {(one.key, one.attempt, one.target, one.door, one.begun_ms if one.door != "kafka" else 0) for one in begun}


def ambiguous(evidence: Evidence) -> int:
    """Starts beyond the first of their attempt, whoever wrote them; and attempts that the policy gave up instead. What is paid twice
    is among them: each call has its start."""
    starts = Counter((record.key, record.attempt, record.tier) for record in evidence.attempts if record.state == "started" and record.door == "kafka")
    given_up = {(one.key, one.attempt) for one in evidence.outcomes if one.fault in ("ambiguous", "started_too_often")}
    return sum(count - 1 for count in starts.values()) + len(given_up)


def settled_match_outcomes(evidence: Evidence) -> Verdict:
    """What an attempt was settled at is what its outcome cost, to the micro-dollar."""
    outcomes: dict[tuple[Key, int, str], set[int]] = defaultdict(set)
    for outcome in evidence.outcomes:
        outcomes[outcome.key, outcome.attempt, outcome.instance].add(outcome.cost)
    broken, looked = [], 0
    for record in evidence.attempts:
        if record.state == "settled" and record.door == "kafka":
            looked += 1
            costs = outcomes.get((record.key, record.attempt, record.instance), set())
            if record.cost not in costs:
                broken.append(f"{record.key} attempt {record.attempt} was settled at {record.cost}, its outcomes cost {sorted(costs)}")
    return Verdict("settled attempts = outcomes, to the micro-dollar", looked, broken)


def ledger_matches_outcomes(evidence: Evidence) -> Verdict:
    """What the ledger says of an identity, each terminal and each stray counted once, is what its outcomes cost."""
    spent: dict[Key, int] = defaultdict(int)
    for key, _, _, cost in {(one.key, one.attempt, one.body, one.cost) for one in evidence.outcomes}:
        spent[key] += cost
    terminal, strays = dict[Key, int](), dict[Key, int]()
    for record in evidence.ledger:
        if record.role != "stray":
            terminal[record.key] = record.cost
    for key, _, _, cost in {(one.key, one.attempts[0].number, one.body, one.cost) for one in evidence.ledger if one.role == "stray"}:
        strays[key] = strays.get(key, 0) + cost
    broken = [
        f"{key}: outcomes cost {spent.get(key, 0)}, the ledger says {terminal.get(key, 0)} + {strays.get(key, 0)}"
        for key in sorted(spent.keys() | terminal.keys() | strays.keys())
        if key in evidence.asked and spent.get(key, 0) != terminal.get(key, 0) + strays.get(key, 0)
    ]
    return Verdict("ledger = attempts, to the micro-dollar", len(spent), broken)


def written_twice(evidence: Evidence) -> int:
    """Ledger records beyond the first of their terminal."""
    counts = Counter(record.key for record in evidence.ledger if record.role != "stray")
    return sum(count - 1 for count in counts.values())
