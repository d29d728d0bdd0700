"""What instances say about themselves every second, and what everybody else makes of it."""

from trivium.pulse.view import PulseView
from trivium.pulse.writer import PulseWriter

__all__ = ["PulseView", "PulseWriter"]
