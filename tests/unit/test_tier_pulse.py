"""What the pulses of instances say about targets."""

import pytest

from trivium.core.slip import Health
from trivium.kafka.record import Delivered
from trivium.pulse import PulseView
from trivium.v1 import records_pb2

NOW = 1_000_000


def view() -> PulseView:
    return PulseView("nowhere:1", session_timeout_ms=10_000)


def pulse(
    view: PulseView,
    instance: str,
    breaker: str = "closed",
    at_ms: int = NOW,
    draining: bool = False,
    wait_ms: int = 0,
    p95_ms: int = 0,
    left: bool = False,
) -> None:
    target = records_pb2.TargetPulse(target="cloud/small", breaker=breaker, queue_wait_ms=wait_ms, p95_ms=p95_ms)
    message = records_pb2.Pulse(instance=instance, service="cloud", targets=[target], draining=draining, left=left)
    view.take(Delivered("trivium.pulse", 0, 0, at_ms, instance.encode(), message.SerializeToString(), ()))


def test_what_was_never_heard_of_is_absent() -> None:
    facts = view().facts(NOW)
    assert "cloud/small" not in facts
    assert facts.get("cloud/small") is None


@pytest.mark.parametrize(
    ("breakers", "health"),
    [
        (["closed"], Health.UP),
        (["half_open"], Health.UP),
        (["open"], Health.OPEN),
        (["open", "closed"], Health.UP),
        (["open", "open"], Health.OPEN),
    ],
)
def test_a_target_is_up_when_an_instance_can_call_it(breakers: list[str], health: Health) -> None:
    seen = view()
    for number, breaker in enumerate(breakers):
        pulse(seen, f"cloud-{number}", breaker)
    assert seen.facts(NOW)["cloud/small"].health is health


def test_a_tier_whose_instances_all_finish_what_they_have_is_leaving_until_the_last_has_left() -> None:
    seen = view()
    pulse(seen, "cloud-1", draining=True)
    assert seen.facts(NOW)["cloud/small"].health is Health.LEAVING
    assert seen.facts(NOW + 150)["cloud/frontier"].health is Health.LEAVING
    pulse(seen, "cloud-1", draining=True, left=True)
    assert seen.facts(NOW + 300)["cloud/small"].health is Health.SILENT
    pulse(seen, "cloud-2")
    assert seen.facts(NOW + 450)["cloud/small"].health is Health.UP


def test_a_tier_whose_instances_are_all_silent_or_have_left_is_silent() -> None:
    seen = view()
    pulse(seen, "cloud-1")
    pulse(seen, "cloud-2")
    assert seen.facts(NOW + 9_999)["cloud/small"].health is Health.UP
    pulse(seen, "cloud-2", at_ms=NOW + 9_000, draining=True, left=True)
    later = seen.facts(NOW + 10_200)
    assert later["cloud/small"].health is Health.SILENT
    assert later["cloud/frontier"].health is Health.SILENT
    assert later.get("finetuned/tickets") is None


def test_a_target_that_a_living_tier_has_not_met_yet_is_up() -> None:
    seen = view()
    pulse(seen, "cloud-1", "open")
    assert seen.facts(NOW)["cloud/frontier"].health is Health.UP
    pulse(seen, "cloud-1", "open", at_ms=NOW - 20_000)
    message = records_pb2.Pulse(instance="cloud-2", service="cloud")
    seen.take(Delivered("trivium.pulse", 0, 1, NOW, b"cloud-2", message.SerializeToString(), ()))
    assert seen.facts(NOW + 150)["cloud/small"].health is Health.UP


def test_the_shortest_queue_and_the_worst_latency_of_the_able_count() -> None:
    seen = view()
    pulse(seen, "cloud-1", wait_ms=900, p95_ms=100)
    pulse(seen, "cloud-2", wait_ms=20, p95_ms=300)
    pulse(seen, "cloud-3", breaker="open", wait_ms=0, p95_ms=9_000)
    facts = seen.facts(NOW)["cloud/small"]
    assert (facts.queue_wait_ms, facts.p95_ms) == (20, 300)


def test_facts_are_computed_at_most_every_100_ms() -> None:
    seen = view()
    pulse(seen, "cloud-1")
    first = seen.facts(NOW)
    pulse(seen, "cloud-1", "open")
    assert seen.facts(NOW + 99) is first
    assert seen.facts(NOW - 5_000) is first
    newer = seen.facts(NOW + 100)
    assert newer["cloud/small"].health is Health.OPEN
    assert seen.facts(NOW - 60_000) is not newer


def test_what_is_no_pulse_is_passed_over() -> None:
    seen = view()
    seen.take(Delivered("trivium.pulse", 0, 0, NOW, b"x", b"\xff\xff", ()))
    seen.take(Delivered("trivium.pulse", 0, 1, NOW, b"x", None, ()))
    assert dict(seen.instances(NOW)) == {}
