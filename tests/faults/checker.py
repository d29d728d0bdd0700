"""Whether a run kept what is promised. Pure: it reads the evidence and nothing else.

Each check gives a verdict: what was promised, how many things it looked at, and a sentence for each thing that was not so."""

import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streams.rebuild import GRACE_MS
from tests.faults.evidence import Commit, Evidence, Key, OutcomeRecord, ReplyRecord, Span
from tests.faults.marks import mark_of
from tests.faults.money import calls_match_starts, ledger_matches_outcomes, settled_match_outcomes
from tests.faults.verdict import Verdict
from tests.faults.windows import Windows
from trivium.kafka.topics import OUTCOMES, REQUESTS

NOTHING: Final = "nothing"
CALM_S: Final = 30
TRACES_SHARE: Final = 0.99
RETRIES_PER_FIRST: Final = 0.2
_FAILED: Final = ("failed", "expired", "refused")


def accepted(evidence: Evidence) -> Sequence[Key]:
    """Who must get a terminal: whoever was told so, and whatever the log has of ours."""
    told = {key for key, asked in evidence.asked.items() if asked.accepted}
    return sorted(told | {record.key for record in evidence.requests if record.key in evidence.asked})


def first_replies(evidence: Evidence) -> Mapping[Key, ReplyRecord]:
    """The terminal that counts."""
    found: dict[Key, ReplyRecord] = {}
    for reply in sorted(evidence.replies, key=lambda one: one.at_ms):
        found.setdefault(reply.key, reply)
    return found


def nothing_lost(evidence: Evidence) -> Verdict:
    """Every accepted identity has a terminal, and stands in the log."""
    replies, logged = {reply.key for reply in evidence.replies}, {record.key for record in evidence.requests}
    every = accepted(evidence)
    broken = [f"{key} has no terminal" for key in every if key not in replies]
    broken += [f"{key} was accepted and is not in {REQUESTS}" for key in every if key not in logged]
    return Verdict("every accepted identity has a terminal", len(every), broken)


def seen_once(evidence: Evidence) -> Verdict:
    """A caller is given exactly one terminal."""
    given = Counter(seen.key for seen in evidence.seen if seen.kind != NOTHING)
    every = accepted(evidence)
    broken = [f"the caller of {key} was given {given[key]} terminals" for key in every if given[key] != 1]
    return Verdict("its caller is given exactly one", len(every), broken)


def nobody_unknown(evidence: Evidence) -> Verdict:
    """No terminal for an identity that nobody asked."""
    broken = [f"a terminal for {reply.key}, which nobody asked" for reply in evidence.replies if reply.key not in evidence.asked]
    return Verdict("no terminal for an unknown identity", len(evidence.replies), broken)


def payloads_match(evidence: Evidence) -> Verdict:
    """Text and tenant of a request are the same wherever they turn up, and the caller is given what the log's first terminal says."""
    asked, broken, looked = evidence.asked, list[str](), 0
    for kind, records in (("request", evidence.requests), ("work", evidence.works), ("outcome", evidence.outcomes)):
        for record in records:
            looked += 1
            if record.key in asked and record.mark != asked[record.key].mark:
                broken.append(f"the {kind} of {record.key} has the text of {record.mark or 'nobody'}")
    first = first_replies(evidence)
    for reply in evidence.replies:
        mark, looked = mark_of(reply.text), looked + 1
        if mark and reply.key in asked and mark != asked[reply.key].mark:
            broken.append(f"the answer for {reply.key} was made for {mark}")
    for seen in evidence.seen:
        counts, looked = first.get(seen.key), looked + 1
        if seen.kind != NOTHING and counts is not None and (seen.kind, seen.text, seen.cost) != (counts.kind, counts.text, counts.cost):
            broken.append(f"{seen.key}: the caller was given {seen.kind}, the log's first terminal is {counts.kind}")
    return Verdict("payload and tenant match", looked, broken)


def tenants_apart(evidence: Evidence) -> Verdict:
    """Nothing of one tenant in another's topic or cache."""
    topics: dict[str, set[str]] = defaultdict(set)
    for reply in evidence.replies:
        topics[reply.topic].add(reply.key.partition("/")[0])
    broken = [f"{topic} has terminals of {', '.join(sorted(tenants))}" for topic, tenants in topics.items() if len(tenants) > 1]
    broken += [f"the cache has an answer for {entry.mark} under {entry.tenant}" for entry in evidence.cache
               if entry.mark and entry.mark.partition("/")[0] != entry.tenant]  # fmt: skip
    return Verdict("nothing crosses tenants", len(evidence.replies) + len(evidence.cache), broken)


def commits_hold(evidence: Evidence) -> Verdict:
    """When an offset is committed, the effects of all before it are in the log: each of its own topic and partition."""
    resolved = _resolved(evidence)
    broken, looked = [], 0
    by_place: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for commit in evidence.commits:
        by_place[commit.topic, commit.partition].append((commit.at_ms, commit.offset))
    for place, commits in by_place.items():
        offsets, at = sorted(resolved.get(place, {}).items()), 0
        latest = (0, -1)
        for seen_ms, committed in sorted(commits):
            while at < len(offsets) and offsets[at][0] < committed:
                latest = max(latest, (offsets[at][1], offsets[at][0]))
                at += 1
            looked += 1
            if latest[0] > seen_ms:
                broken.append(f"{place[0]}/{place[1]}: {committed} was committed at {seen_ms}, offset {latest[1]} had its effect at {_when(latest[0])}")
                break
    return Verdict("commits never pass an unresolved offset", looked, broken)


_NEVER: Final = 2**62


def _when(at_ms: int) -> str:
    return "no time" if at_ms == _NEVER else str(at_ms)


def _resolved(evidence: Evidence) -> Mapping[tuple[str, int], Mapping[int, int]]:
    """(Topic, partition) -> offset -> when its effect was in the log; _NEVER when it never was."""
    work_ms: dict[tuple[Key, int], int] = {}
    for work in evidence.works:
        place = (work.key, work.attempt)
        work_ms[place] = min(work.at_ms, work_ms.get(place, _NEVER))
    last_attempt: dict[Key, int] = {}
    for (key, attempt) in work_ms:
        last_attempt[key] = max(attempt, last_attempt.get(key, 0))
    end_ms: dict[Key, int] = {}
    for key, at_ms in ((end.key, end.at_ms) for ends in (evidence.replies, evidence.dead) for end in ends):
        end_ms[key] = min(at_ms, end_ms.get(key, _NEVER))
    outcome_ms: dict[tuple[Key, int], int] = {}
    for outcome in evidence.outcomes:
        place = (outcome.key, outcome.attempt)
        outcome_ms[place] = min(outcome.at_ms, outcome_ms.get(place, _NEVER))

    def after(key: Key, attempt: int) -> int:
        later = (work_ms.get((key, n), _NEVER) for n in range(attempt + 1, last_attempt.get(key, 0) + 1))
        return min(end_ms.get(key, _NEVER), *later, _NEVER)

    found: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    for record in evidence.requests:
        if record.key in evidence.asked:
            found[REQUESTS, record.partition][record.offset] = after(record.key, 0)
    begins_again = _begins_again(evidence)
    for outcome in evidence.outcomes:
        needs_none = outcome.at_ms > outcome.deadline_ms + evidence.session_timeout_ms + GRACE_MS and begins_again(outcome)
        found[OUTCOMES, outcome.partition][outcome.offset] = outcome.at_ms if needs_none else after(outcome.key, outcome.attempt)
    for work in evidence.works:
        found[work.topic, work.partition][work.offset] = outcome_ms.get((work.key, work.attempt), _NEVER)
    return found


def _begins_again(evidence: Evidence) -> Callable[[OutcomeRecord], bool]:
    """Whether the request of an outcome was not yet committed when the outcome was: it is read again and begun anew. So an outcome that
    was written too late to be waited for needs no effect."""
    requests = {record.key: record for record in reversed(evidence.requests)}
    seen: dict[tuple[str, int], list[Commit]] = defaultdict(list)
    for commit in sorted(evidence.commits, key=lambda one: (one.offset, one.at_ms)):
        seen[commit.topic, commit.partition].append(commit)

    def passed_ms(topic: str, partition: int, offset: int) -> int:
        commits = seen[topic, partition]
        later = commits[bisect_right(commits, offset, key=lambda one: one.offset) :]
        return min((one.at_ms for one in later), default=_NEVER)

    def begins_again(outcome: OutcomeRecord) -> bool:
        request = requests.get(outcome.key)
        return request is not None and passed_ms(REQUESTS, request.partition, request.offset) > passed_ms(OUTCOMES, outcome.partition, outcome.offset)

    return begins_again


def in_time(evidence: Evidence) -> Verdict:
    """By the deadline and 2 s; after something died, by the deadline, the session timeout and 5 s."""
    replies, broken, windows = first_replies(evidence), list[str](), Windows(evidence)
    arrived: dict[Key, int] = {}
    for record in evidence.requests:
        arrived[record.key] = min(record.at_ms, arrived.get(record.key, _NEVER))
    for key in accepted(evidence):
        if key in arrived and key in replies:
            deadline = arrived[key] + evidence.asked[key].timeout_ms
            bound = windows.deadline_bound(arrived[key], deadline)
            if replies[key].at_ms > bound:
                broken.append(f"{key}: its terminal came {replies[key].at_ms - deadline} ms after its deadline, {bound - deadline} were allowed")
    return Verdict("terminal in time", len(replies), broken, by_clock=True)


def retries_bounded(evidence: Evidence) -> Verdict:
    """Retries, which are attempts at the target of the one before, at most 0.2 for each first attempt, outside of kill windows."""
    firsts, retries = retries_of(evidence)
    share = retries / firsts if firsts else 0.0
    broken = [f"{retries} retries for {firsts} first attempts"] if share > RETRIES_PER_FIRST else []
    return Verdict("retries at most 0.2 per first attempt", firsts, broken)


def retries_of(evidence: Evidence) -> tuple[int, int]:
    """First attempts and retries of what ended outside of kill windows."""
    firsts = retries = 0
    windows = Windows(evidence)
    for record in evidence.ledger:
        if record.role != "stray" and record.attempts and not windows.disturbed(record.at_ms):
            targets = [attempt.target for attempt in record.attempts]
            firsts += 1
            retries += sum(one == other for one, other in itertools.pairwise(targets))
    return firsts, retries


def dead_are_told(evidence: Evidence) -> Verdict:
    """Whoever is put aside is told so."""
    failed = {reply.key for reply in evidence.replies if reply.kind in _FAILED}
    broken = [f"a dead letter ({letter.reason}) of {letter.key or 'nobody'} and no failed terminal" for letter in evidence.dead if letter.key not in failed]
    return Verdict("every dead letter has its failed terminal", len(evidence.dead), broken)


def traces_connect(evidence: Evidence) -> Verdict:
    """One connected trace for 99 of 100."""
    whole, every = connected(evidence)
    broken = [f"{whole} of {every} traces are connected"] if every and whole < TRACES_SHARE * every else []
    return Verdict("one connected trace for 99 %", every, broken, by_clock=True)


def connected(evidence: Evidence) -> tuple[int, int]:
    """Traces that hold together, of all."""
    replies = first_replies(evidence)
    every = [replies[key].trace for key in accepted(evidence) if key in replies]
    return sum(_whole(evidence.spans.get(trace, ())) for trace in every), len(every)


def _whole(spans: Sequence[Span]) -> bool:
    ids = {span.id for span in spans}
    roots = sum(not span.parent for span in spans)
    return roots == 1 and all(not span.parent or span.parent in ids for span in spans)


def calm_again(evidence: Evidence) -> Verdict:
    """Lag and what is under way are 0 within 30 s of the last fault."""
    calm = evidence.calm
    took_s = (calm.no_lag_ms - calm.last_fault_ms) / 1000
    broken = ["lag never came to 0"] if not calm.no_lag_ms else [f"lag was 0 after {took_s:.0f} s"] if took_s > CALM_S else []
    return Verdict("lag and in-flight 0 within 30 s of the last fault", 1, broken, by_clock=True)


CHECKS: Final[Sequence[Callable[[Evidence], Verdict]]] = (
    nothing_lost, seen_once, nobody_unknown, payloads_match, tenants_apart, commits_hold, in_time, retries_bounded, dead_are_told,
    calls_match_starts, settled_match_outcomes, ledger_matches_outcomes, traces_connect, calm_again,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """All verdicts."""

    verdicts: Sequence[Verdict]

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return all(verdict.held for verdict in self.verdicts)

    @property
    def held_but_for_the_clock(self) -> bool:
        """Whether every promise was kept that does not depend on how fast the machine is."""
        return all(verdict.held for verdict in self.verdicts if not verdict.by_clock)


def check(evidence: Evidence) -> Checked:
    """Everything."""
    return Checked(tuple(one(evidence) for one in CHECKS))
