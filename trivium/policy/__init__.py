"""The policy file: reading, checking and reloading it. The value it becomes is trivium.core.policy.Policy."""

from trivium.policy.file import PolicyFile
from trivium.policy.load import load, parse

__all__ = ["PolicyFile", "load", "parse"]
