"""Core values to protobuf and back: the only package that knows both."""

from trivium.codec.cloudevents import BINARY, CONTENT_TYPES, content_type_of, event_headers, form_of, open_event
from trivium.codec.compose import ledger_wire, work_wire
from trivium.codec.journey import (
    call_to_work,
    decision_from,
    decision_to,
    journey_from,
    journey_to,
    outcome_record,
    slip_to,
    spec_from,
    spec_to,
    target_from,
    target_to,
    work_from,
    work_to,
)
from trivium.codec.outcome import (
    answer_from,
    answer_to,
    decode_terminal,
    encode_terminal,
    outcome_from,
    outcome_to,
    reason_from,
    reason_to,
    terminal_from,
    terminal_to,
    usage_from,
    usage_to,
)
from trivium.codec.records import cache_entry, dead_letter, ledger_record, stray_record
from trivium.codec.request import (
    DecodedRequest,
    body_hash,
    decode_request,
    identity_from,
    identity_to,
    request_from,
    request_to,
)

__all__ = [
    "BINARY", "CONTENT_TYPES", "DecodedRequest", "answer_from", "answer_to", "body_hash", "cache_entry",
    "call_to_work", "content_type_of", "dead_letter", "decision_from", "decision_to", "decode_request",
    "decode_terminal", "encode_terminal", "event_headers", "form_of", "identity_from", "identity_to", "journey_from",
    "journey_to", "ledger_record", "ledger_wire", "open_event", "outcome_from", "outcome_record", "outcome_to",
    "reason_from", "reason_to", "request_from", "request_to", "slip_to", "spec_from", "spec_to", "stray_record",
    "target_from", "target_to", "terminal_from", "terminal_to", "usage_from", "usage_to", "work_from", "work_to",
    "work_wire",
]  # fmt: skip
