"""The figures of a run. Pure."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tests.faults.checker import accepted, connected, first_replies, nothing_lost, retries_of
from tests.faults.evidence import Evidence
from tests.faults.money import ambiguous, paid_twice, unrecorded, written_twice
from trivium.crash import Point

SLOW_MS: Final = 2_000
"""A request that took longer was waiting for somebody who had died, unless its vendor was slow."""
KILLS: Final = ("kill", "crash")


def figures(evidence: Evidence) -> Mapping[str, object]:
    """What the last line says."""
    whole, every = connected(evidence)
    firsts, retries = retries_of(evidence)
    twice, calls = paid_twice(evidence), len(evidence.calls)
    recoveries = recovery_s(evidence)
    given = Counter(seen.key for seen in evidence.seen if seen.kind != "nothing")
    kinds = Counter(reply.kind for reply in first_replies(evidence).values())
    return {
        "seed": evidence.seed,
        "kills": sum(event.what in KILLS for event in evidence.events),
        "crash_points": len({event.point for event in evidence.events if event.what == "crash"}),
        "crash_points_of": len(Point),
        "zombies": sum(event.what == "sigstop" for event in evidence.events),
        "requests": len(accepted(evidence)),
        "terminals": dict(kinds),
        "lost": len(nothing_lost(evidence).broken),
        "duplicates_seen": sum(count > 1 for count in given.values()),
        "duplicates_in_log": len(evidence.replies) - len({reply.key for reply in evidence.replies}),
        "ledger_written_twice": written_twice(evidence),
        "calls": calls,
        "paid_twice": twice,
        "paid_twice_share": round(twice / calls, 6) if calls else 0.0,
        "ambiguous": ambiguous(evidence),
        "calls_unrecorded": unrecorded(evidence),
        "recovered_kills": len(recoveries),
        "recovery_p50_s": _percentile(recoveries, 0.5),
        "recovery_p95_s": _percentile(recoveries, 0.95),
        "retries_per_first": round(retries / firsts, 4) if firsts else 0.0,
        "dead_letters": len(evidence.dead),
        "traces_connected": round(whole / every, 4) if every else 0.0,
        "calm_after_s": round((evidence.calm.no_lag_ms - evidence.calm.last_fault_ms) / 1000, 1),
    }


def recovery_s(evidence: Evidence) -> Sequence[float]:
    """For each kill: until the last request that it held up had its terminal. Held up: it was under way at the kill, or came within
    the session timeout after it; it took longer than 2 s; and its vendor did not fail it. A kill that another of the same service
    followed before that is counted with that one."""
    kills = sorted((event.at_ms, event.victim.partition("-")[0]) for event in evidence.events if event.what in KILLS)
    spoiled = {call.mark for call in evidence.calls if call.fault}
    replies = first_replies(evidence)
    lives = ((record.at_ms, replies[record.key].at_ms) for record in evidence.requests
             if record.key in replies and record.key in evidence.asked and evidence.asked[record.key].mark not in spoiled)  # fmt: skip
    slow = [(began, ended) for began, ended in lives if ended - began > SLOW_MS]
    found = []
    for kill, service in kills:
        following = min((at_ms for at_ms, other in kills if at_ms > kill and other == service), default=kill + 10**9)
        until = min(kill + evidence.session_timeout_ms, following)
        last = max((ended for began, ended in slow if began <= until and ended > kill), default=kill)
        if last <= following:
            found.append((last - kill) / 1000)
    return found


def _percentile(values: Sequence[float], share: float) -> float:
    if len(values) < 2:
        return round(max(values, default=0.0), 2)
    return round(statistics.quantiles(values, n=100, method="inclusive")[int(share * 100) - 1], 2)
