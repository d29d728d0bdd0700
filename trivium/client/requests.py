"""Requests as both clients take them."""

import uuid
from typing import Any

from trivium.codec import request_to
from trivium.core.errors import BadRequest
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.request import Request
from trivium.v1 import request_pb2

Asked = Request | request_pb2.Request
"""What a caller hands in."""


def request(tenant: str, prompt: str, **fields: Any) -> request_pb2.Request:
    """A request with one user message; `fields` are those of trivium.v1.Request (endpoint, subject, timeout_ms ...)."""
    return request_pb2.Request(tenant=tenant, prompt=prompt, **fields)


def message_of(asked: Asked, default_tenant: str = "") -> request_pb2.Request:
    """A message of its own, with a tenant and an id. Raises BadRequest without a tenant."""
    message = request_pb2.Request()
    message.CopyFrom(request_to(asked) if isinstance(asked, Request) else asked)
    message.tenant = message.tenant or default_tenant
    message.id = message.id or uuid.uuid4().hex
    if not message.tenant:
        raise BadRequest(Reason(ReasonCode.MISSING_FIELD, "the tenant is missing", "tenant", "one of the policy's"))
    return message
