"""What an instance knows of its targets: breaker, pacing, latency, queue wait."""

from trivium.core.breaker import State
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome
from trivium.core.request import Identity
from trivium.tier.targets import TargetBoard

NOW = 1_000_000


class Gauge:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def breaker(self, target: str, state: str) -> None:
        self.told.append((target, state))


def outcome(result: Answer | Fault, took_ms: int = 100) -> Outcome:
    return Outcome(Identity("acme", "1"), 1, "cloud/small", result, started_ms=NOW - took_ms, ended_ms=NOW)


def run(board: TargetBoard, result: Answer | Fault, took_ms: int = 100) -> None:
    board.began("cloud/small")
    board.ended("cloud/small", outcome(result, took_ms), NOW)


def test_five_faults_of_the_target_open_its_breaker() -> None:
    gauge = Gauge()
    board = TargetBoard("i", gauge)
    for _ in range(5):
        assert board.blocked("cloud/small", NOW) is None
        run(board, Fault(FaultKind.UNAVAILABLE, "gone"))
    fault = board.blocked("cloud/small", NOW)
    assert fault is not None
    assert fault.kind is FaultKind.UNAVAILABLE
    assert fault.retry_after_ms > 0
    assert gauge.told == [("cloud/small", "closed"), ("cloud/small", "open")]
    assert board.blocked("cloud/frontier", NOW) is None


def test_faults_of_the_request_do_not_open_it() -> None:
    board = TargetBoard("i", Gauge())
    for kind in (FaultKind.REJECTED, FaultKind.INVALID, FaultKind.CANCELLED, FaultKind.TOO_LARGE):
        for _ in range(10):
            run(board, Fault(kind, "no"))
    assert board.states() == {"cloud/small": State.CLOSED}


def test_a_vendor_that_asks_to_wait_is_left_alone_for_so_long() -> None:
    board = TargetBoard("i", Gauge())
    run(board, Fault(FaultKind.RATE_LIMITED, "slow down", retry_after_ms=2_000))
    fault = board.blocked("cloud/small", NOW + 500)
    assert fault is not None
    assert (fault.kind, fault.retry_after_ms) == (FaultKind.RATE_LIMITED, 1_500)
    assert board.blocked("cloud/small", NOW + 2_000) is None


def test_reports_tell_latency_and_the_longest_wait() -> None:
    board = TargetBoard("i", Gauge())
    for took_ms in range(1, 101):
        run(board, Answer("a"), took_ms)
    board.queued("cloud/small", NOW - 700)
    [report] = board.reports(NOW)
    assert (report.p50_ms, report.p95_ms, report.queue_wait_ms, report.in_flight) == (51, 96, 700, 0)
    board.unqueued("cloud/small", 700, NOW)
    [later] = board.reports(NOW + 61_000)
    assert (later.p50_ms, later.p95_ms, later.queue_wait_ms) == (0, 0, 0)


def test_those_who_wait_for_a_vendor_get_a_turn_each() -> None:
    board = TargetBoard("i", Gauge())
    run(board, Fault(FaultKind.RATE_LIMITED, "slow down", retry_after_ms=2_000))
    pauses = [board.pause_ms("cloud/small", NOW + 500) for _ in range(3)]
    assert pauses[0] > 1_500
    assert pauses == sorted(set(pauses))
    assert board.pause_ms("cloud/small", NOW + 2_000) == 0


def test_a_rate_limit_without_a_pause_is_paced_too_and_opens_no_breaker() -> None:
    board, at_ms, calls = TargetBoard("i", Gauge()), NOW, 0
    while at_ms < NOW + 60_000:
        if board.blocked("cloud/small", at_ms) is None:
            calls += 1
            board.began("cloud/small")
            board.ended("cloud/small", outcome(Fault(FaultKind.RATE_LIMITED, "slow down")), at_ms)
        at_ms += 100
    # At 0, 1, 3, 7, 15 and 31 s.
    assert calls == 6
    assert board.states() == {"cloud/small": State.CLOSED}
    [report] = board.reports(NOW + 60_000)
    assert report.queue_wait_ms == 3_000


def test_of_several_instances_one_probes_and_its_result_counts_for_all() -> None:
    first, second = TargetBoard("a", Gauge()), TargetBoard("b", Gauge())
    for board in (first, second):
        for _ in range(5):
            run(board, Fault(FaultKind.UNAVAILABLE, "gone"))
    at_ms = NOW + 34_000
    second.heard("cloud/small", "a", next(first.reports(at_ms)).breaker, at_ms)
    assert second.blocked("cloud/small", at_ms) is not None
    assert first.blocked("cloud/small", at_ms) is None
    first.began("cloud/small")
    first.ended("cloud/small", outcome(Answer("well")), at_ms + 50)
    second.heard("cloud/small", "a", next(first.reports(at_ms + 50)).breaker, at_ms + 60)
    assert second.blocked("cloud/small", at_ms + 60) is None
    assert second.states() == {"cloud/small": State.CLOSED}


def test_two_faults_are_enough_while_another_instance_is_open() -> None:
    board = TargetBoard("b", Gauge())
    run(board, Answer("well"))
    board.heard("cloud/small", "a", State.OPEN, NOW)
    board.heard("cloud/frontier", "a", State.OPEN, NOW)
    for _ in range(2):
        run(board, Fault(FaultKind.UNAVAILABLE, "gone"))
    assert board.states() == {"cloud/small": State.OPEN}
