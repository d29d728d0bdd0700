"""The mark of a person whose data a record is about: by it an erasure finds the record, and the name does not stand there."""

from trivium.core import draw


def mark(tenant: str, subject: str) -> str:
    """32 hex digits; empty without a subject. Whoever can guess a subject can compute its mark: a pseudonym, no secret."""
    return draw.digest(("subject", tenant, subject)) if subject else ""
