"""Many ways of asking are one; who does what to whom is not."""

import pytest

from trivium.core.direction import order_reason
from trivium.core.frames import framed
from trivium.core.reading import Reader

READER = Reader()


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ("for what reason was my bike towed", "why was my bike towed"),
        ("what is the reason that my bike was towed", "why my bike was towed"),
        ("on which date does it end", "when asked_date does it end"),
        ("what is the closing date of the pool", "when is closing the pool"),
        ("how many weeks until it comes", "how long until it comes"),
        ("how many days of leave", "how many days of leave"),
        ("in what way is it split", "how is it split"),
        ("is it possible to swim", "can i swim"),
        ("is swimming here allowed", "can i is swimming here allowed"),
        ("do i have to swim", "must i swim"),
        ("my bike was towed", "my bike was towed"),
    ],
)
def test_ways_of_asking_have_a_common_form(asked: str, form: str) -> None:
    assert " ".join(framed(asked.split())) == form


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The dog chased the postman", "The postman chased the dog"),
        ("Does the new lock replace the old one?", "Does the old lock replace the new one?"),
        ("I owe the dentist money", "The dentist owes me money"),
        ("Can the nurse take the patient's bag?", "Can the patient take the nurse's bag?"),
        ("Is it cheaper to walk than to drive?", "Is it cheaper to drive than to walk?"),
        ("Should I pay before I sign?", "Should I sign before I pay?"),
        ("Can Tom see what Eva wrote?", "Can Eva see what Tom wrote?"),
    ],
)
def test_exchanged_parts_are_refused_with_the_reason(first: str, second: str) -> None:
    a, b = READER.read(first), READER.read(second)
    assert order_reason(a, b)
    assert order_reason(b, a)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The dog chased the postman", "The postman was chased by the dog"),
        ("Does the school inform the parents?", "Are the parents informed by the school?"),
        ("What happens if it rains?", "If it rains, what happens?"),
        ("Which vaccine do I need at 65?", "I am 65, which vaccine do I need?"),
        ("What is the clinic's address?", "What is the address of the clinic?"),
        ("Does the hotel allow pets?", "Are pets allowed at the hotel?"),
    ],
)
def test_the_same_parts_in_another_order_are_not(first: str, second: str) -> None:
    assert order_reason(READER.read(first), READER.read(second)) == ""
