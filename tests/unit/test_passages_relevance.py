"""Which hits are worth a reader's tokens."""

import pytest

from services.retrieval.relevance import DEFAULT_CUT, NAMED_SECTION, choose, judge
from services.retrieval.store import Hit
from services.retrieval.terms import lookup_query, lookup_text, named_sections, title_number


def hit(text: str, cosine: float = 0.3, *, path: tuple[str, ...] = (), at: int = 0, epoch: int = 1, tokens: int = 20, document: str = "d") -> Hit:
    return Hit(document, " > ".join(path), f"v{epoch}", at, text, lookup_text("", path, text), tokens, epoch, 0.03, cosine)


def test_relevance_is_the_mean_of_cosine_and_coverage() -> None:
    full, none = judge("How long do refunds take?", [hit("Refunds take long.", 0.4), hit("The whale swims.", 0.2)])
    assert full.relevance == pytest.approx((0.4 + 1.0) / 2)
    assert none.relevance == pytest.approx(0.1)


def test_a_word_that_few_hits_have_counts_more() -> None:
    hits = [hit("refund card"), hit("refund voucher"), hit("refund cash")]
    card, voucher, _cash = judge("refund card", hits)
    assert card.relevance > voucher.relevance + 0.25


def test_negative_cosine_is_no_relevance() -> None:
    assert judge("chess", [hit("whale", -0.5)])[0].relevance == 0.0


def test_a_named_section_is_relevant_whatever_it_says() -> None:
    hits = [hit("The whale swims.", -0.1, path=("3 Sea", "3.2 Whales")), hit("What a section says.", 0.5)]
    choice = choose("What does section 3.2 say?", hits, 3, 600, 0.0)
    assert choice.taken[0].hit.text == "The whale swims."
    assert choice.taken[0].relevance >= NAMED_SECTION


def test_a_number_that_is_no_section_forces_nothing() -> None:
    hits = [hit("The whale swims.", 0.0, path=("3.11 Whales",))]
    assert choose("Does it run on Python 3.11?", hits, 3, 600, 0.0).taken == ()


def test_what_is_far_below_the_best_is_left_out() -> None:
    hits = [hit("refund card days", 0.9), hit("refund", 0.35)]
    choice = choose("refund card days", hits, 3, 600, 0.0)
    assert [one.hit.text for one in choice.taken] == ["refund card days"]
    assert choice.left_out == 1


def test_a_passage_that_does_not_fit_the_budget_makes_room_for_one_that_does() -> None:
    hits = [hit("refund card", 0.9, tokens=500), hit("refund card", 0.8, tokens=200, document="e"), hit("refund card", 0.7, tokens=90, document="f")]
    choice = choose("refund card", hits, 3, 600, 0.0)
    assert [one.hit.document for one in choice.taken] == ["d", "f"]
    assert choice.left_out == 1


def test_zeros_are_defaults() -> None:
    hits = [hit("refund card", 0.9 - n / 100, document=f"d{n}") for n in range(6)]
    assert len(choose("refund card", hits, 0, 0, 0.0).taken) == 3
    weak = [hit("other words", 2 * DEFAULT_CUT - 0.01)]
    assert choose("refund card", weak, 0, 0, 0.0).taken == ()


def test_of_two_versions_only_the_later_counts() -> None:
    hits = [hit("refund card five", 0.9, epoch=1), hit("refund card seven", 0.5, epoch=2)]
    choice = choose("refund card", hits, 3, 600, 0.0)
    assert [one.hit.text for one in choice.taken] == ["refund card seven"]
    assert choice.left_out == 1


def test_no_hits_no_choice() -> None:
    assert choose("refund", [], 3, 600, 0.0).taken == ()


@pytest.mark.parametrize(
    ("title", "number"),
    [
        ("3.2 Limits", "3.2"), ("4. Rules", "4"), ("Chapter 4: Rules", "4"), ("\u00a7 12 Scope", "12"), ("A.1 Forms", "A.1"),
        ("Limits 3.2", ""), ("2024", "2024"), ("3D printing", ""), ("Appendix B", ""), ("10 ways", "10"),
    ],
)  # fmt: skip
def test_numbers_of_headings(title: str, number: str) -> None:
    assert title_number(title) == number


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("what does section 3.2 say?", ("3.2",)),
        ("Compare sections 1 and \u00a72.1", ("1", "2.1")),
        ("Sec. 4 please", ("4",)),
        ("See chapter 7.", ("7",)),
        ("What is 3.2?", ()),
        ("a section about refunds", ()),
    ],
)
def test_sections_that_a_question_names(question: str, numbers: tuple[str, ...]) -> None:
    assert named_sections(question) == numbers


def test_question_and_passage_meet_in_stemmed_words() -> None:
    asked = set(lookup_query("How are customers' refunds processed in 3.2?").split())
    stored = set(lookup_text("", ("3.2 Refund",), "We process the refund of a customer.").split())
    assert {"refund", "customer", "process", "section3x2"} <= asked & stored
