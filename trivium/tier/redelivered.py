"""Work that comes again although it was started: whether it may be called once more."""

from trivium.core.outcome import FaultKind, Outcome, Reason, ReasonCode
from trivium.core.policy import OnAmbiguous
from trivium.tier.caller import Caller
from trivium.tier.job import Job
from trivium.tier.meter import now_ms, uncalled
from trivium.tier.records import MAX_STARTS, Writer


def given_up(job: Job, starts: int, caller: Caller, writer: Writer) -> Outcome | None:
    """The outcome of work that was started `starts` times and never settled; None when the policy lets it be called once more.
    What killed its worker three times also gets a dead letter, which goes with the outcome."""
    work = job.work
    if starts >= MAX_STARTS:
        said = f"attempt {work.attempt} was started {starts} times and never ended"
        record, at_ms = job.claims[0].record, now_ms()
        reason = Reason(ReasonCode.STARTED_TOO_OFTEN, said, hint="look for what kills the worker, then replay")
        caller.metrics.deadletter(reason.code.value)
        job.aside = writer.dead_letter(record, reason, at_ms, work.request.identity)
        outcome = caller.own(uncalled(work, FaultKind.STARTED_TOO_OFTEN, said))
    elif work.target.on_ambiguous is OnAmbiguous.FAIL:
        said = "it was started before a crash and may have been paid; the policy says not to call again"
        outcome = caller.own(uncalled(work, FaultKind.AMBIGUOUS, said))
    else:
        caller.metrics.ambiguous(work.target.name, "called")
        return None
    caller.metrics.ambiguous(work.target.name, "failed")
    job.execution = starts
    return outcome
