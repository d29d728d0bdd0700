"""What `trivium report` prints below and beside its columns: what is open, what patience saved."""

import pytest

from trivium.cli.report_tables import TABLES, notes, print_report
from trivium.v1.services_pb2 import ReportLine


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"open_attempts": 2, "open_cost": 1_500}, "They cost $0.001500 at most, as it was reserved."),
        ({"open_attempts": 2, "open_unbounded": 2}, "What they cost at most is not known: no budget held."),
        ({"open_attempts": 3, "open_cost": 7, "open_unbounded": 1}, "Those under a budget cost $0.000007 at most, as it was reserved; of 1 it is not known."),
    ],
)
def test_what_never_settled_is_told_in_dollars_as_far_as_it_is_known(line: dict[str, int], said: str) -> None:
    (note,) = notes(ReportLine(total=True, **line), 1)
    assert note.startswith(f"{line['open_attempts']} attempts were begun and have not settled")
    assert note.endswith(said)


def test_tables_that_have_nothing_to_say_are_left_out_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    plain = [ReportLine(group=["cloud"], requests=1, cost=5), ReportLine(total=True, requests=1, cost=5)]
    print_report(["tier"], plain, "all")
    said = capsys.readouterr().out
    assert [title in said for title, _ in TABLES.values()] == [True, True, True, True, True, False, False]
    waited = {"patient": 4, "missed": 1, "batched": 3, "batch_saved": 90, "cost": 90}
    print_report(["tier"], [ReportLine(group=["cloud"], **waited), ReportLine(total=True, **waited)], "all")
    said = capsys.readouterr().out
    assert "What patience saved" in said
    assert "$0.000180" in said, "without it twice as much"
    assert "Begun and never settled" not in said
