"""A vendor's export against the ledger: which lines agree, and what the others may come from."""

from pathlib import Path

import pytest

from trivium.cli.invoice import ours
from trivium.ledger.invoice import Amounts, BadInvoice, Bill, compared, read_invoice, same_model
from trivium.v1.services_pb2 import ReportLine

USAGE = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,"
    "web_search_count,inference_geo,speed\n"
)
COST = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\n"


def export(folder: Path, text: str) -> Path:
    path = folder / "export.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def tokens(plain: int, output: int, written: int = 0, read: int = 0) -> dict[str, int]:
    return {"input": plain, "cache_write": written, "cache_read": read, "output": output}


def test_anthropics_usage_export_is_summed_by_day_and_model(tmp_path: Path) -> None:
    bill = read_invoice(export(tmp_path, USAGE + (
        "2026-08-05,claude-haiku-4-5-20251001,a,Default,standard,≤ 200k,1000,10,5,70,300,0,global,\n"
        '2026-08-05T00:00:00Z,claude-haiku-4-5,b,"Sales, EU",standard,≤ 200k,"2,000",0,0,0,30,0,global,\n'
        "2026-08-06,claude-opus-4-5-20251101,a,Default,batch,≤ 200k,7,0,0,0,3,0,global,\n")), {})  # fmt: skip
    assert bill["2026-08-05", "claude-haiku-4-5"].tokens == tokens(3000, 330, 15, 70)
    assert bill["2026-08-06", "claude-opus-4-5"].batch
    assert bill["2026-08-05", "claude-haiku-4-5"].cost is None


def test_anthropics_cost_export_is_in_dollars_and_speaks_of_models_by_their_names(tmp_path: Path) -> None:
    bill = read_invoice(export(tmp_path, COST + (
        "2026-08-04,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.05,0.05,token\n"
        "2026-08-04,Claude Haiku 4.5,Default,k,message,≤ 200k,output,0.020001,0.02,token\n"
        "2026-08-04,Claude Haiku 4.5,Default,k,message,,credit,-0.01,0,credit\n")), {})  # fmt: skip
    assert bill == {("2026-08-04", "claude-haiku-4-5"): Amounts(cost=60_001)}


def test_another_vendors_columns_are_named(tmp_path: Path) -> None:
    path = export(tmp_path, "when,what,in,out,usd\n2026-01-02,m,5,7,$0.25\n")
    bill = read_invoice(path, {"day": "when", "model": "what", "input": "in", "output": "out", "cost": "usd"})
    assert bill == {("2026-01-02", "m"): Amounts(tokens(5, 7), 250_000)}


@pytest.mark.parametrize(
    ("text", "mapping", "said"),
    [
        ("a,b\n1,2\n", {}, "is not one of Anthropic's exports and lacks a column for day"),
        ("a,b\n1,2\n", {"day": "a", "model": "b"}, "lacks columns with tokens or cost"),
        ("a,b\n1,2\n", {"day": "c"}, "has no column 'c'"),
        ("a,b\n1,2\n", {"days": "a"}, "'days' is none of day, model"),
        (USAGE, {}, "has no lines below its header"),
        (USAGE + "08/05/2026,m,,,,,1,0,0,0,1,0,,\n", {}, "export.csv:2: usage_date_utc is '08/05/2026'; it must begin with a day"),
        (USAGE + "2026-08-05,,,,,,1,0,0,0,1,0,,\n", {}, "export.csv:2: the column model_version is empty"),
        (USAGE + "2026-08-05,m,,,,,-1,0,0,0,1,0,,\n", {}, "usage_input_tokens_no_cache is '-1'; it must be a whole number"),
        (COST + "2026-08-05,m,,,,,,much,,\n", {}, "cost_usd is 'much'; it must be US dollars"),
        (COST + "2026-08-05,m,,,,,,€12,,\n", {}, "cost_usd is '€12'; it must be US dollars"),
        ("d,m,usd,Billing Currency\n2026-08-05,m,1,USD\n2026-08-05,m,1,EUR\n", {"day": "d", "model": "m", "cost": "usd"},
         "export.csv:3: Billing Currency is 'EUR'; the ledger counts in US dollars, and there is no rate of exchange here"),
        (COST + "2026-08-05,m,,,,,,NaN,,\n", {}, "cost_usd is 'NaN'; it must be US dollars"),
    ],
)
def test_what_cannot_be_compared_is_told_with_its_place(tmp_path: Path, text: str, mapping: dict[str, str], said: str) -> None:
    with pytest.raises(BadInvoice) as error:
        read_invoice(export(tmp_path, text), mapping)
    assert said in str(error.value)


def test_one_model_has_one_name() -> None:
    assert {same_model(name) for name in ("Claude Haiku 4.5", "claude-haiku-4-5", "claude-haiku-4-5-20251001")} == {"claude-haiku-4-5"}


DAY = ("2026-08-05", "m")
HERE = Amounts(tokens(1_000, 100), 50_000)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (HERE, Amounts(tokens(1_001, 100), 50_001), ()),
        (HERE, Amounts(tokens(1_000, 100)), ()),
        (HERE, Amounts(tokens(1_000, 100), 60_000), ("the policy's prices",)),
        (Amounts(tokens(1_000, 100), 50_000, open_attempts=3), Amounts(tokens(1_300, 120), 60_000), ("ambiguous spend: 3 attempts",)),
        (Amounts(tokens(1_000, 100), 50_000, faults=2), Amounts(tokens(1_300, 100), 60_000), ("2 attempts ended in a fault",)),
        (HERE, Amounts(tokens(1_900, 150), 90_000), ("another caller of the same account",)),
        (HERE, Amounts(tokens(500, 50), 25_000), ("another account or workspace",)),
        (HERE, Amounts(tokens(1_000, 100), 25_000, batch=True), ("batch usage, at half price", "the policy's prices")),
    ],
)
def test_a_difference_says_what_it_may_come_from(ours: Amounts, theirs: Amounts, said: tuple[str, ...]) -> None:
    (one,) = compared({DAY: ours}, {DAY: theirs})
    assert len(one.reasons) == len(said)
    assert all(part in reason for part, reason in zip(said, one.reasons, strict=True))
    assert one.agrees == (not said)


def test_what_only_one_side_has_is_missing_on_the_other() -> None:
    theirs: Bill = {("2026-08-01", "m"): Amounts(cost=1), ("2026-08-03", "m"): HERE}
    mine: Bill = {("2026-08-02", "m"): HERE, ("2026-08-03", "m"): HERE, ("2026-08-09", "m"): HERE}
    found = {one.day: " ".join(one.reasons) for one in compared(mine, theirs)}
    assert "missing here" in found["2026-08-01"]
    assert "missing there" in found["2026-08-02"]
    assert found["2026-08-03"] == ""
    assert "2026-08-09" not in found


def test_ours_is_what_was_called_in_the_tier_that_the_invoice_is_about() -> None:
    def line(paid: str, model: str, **more: int) -> ReportLine:
        return ReportLine(group=["2026-08-05", model, paid], **more)

    lines = [
        line("cloud/small", "claude-haiku-4-5", input_tokens=100, cache_read_tokens=30, cache_write_tokens=10, output_tokens=7, cost=5),
        line("cloud/again", "claude-haiku-4-5-20251001", input_tokens=1, cost=1, open_attempts=1, faults=2),
        line("finetuned/own", "support-7b", input_tokens=9, cost=9),
        ReportLine(total=True, cost=15),
    ]  # fmt: skip
    expected = Amounts(tokens(61, 7, 10, 30), 6, open_attempts=1, faults=2)
    assert ours(lines, "cloud") == {("2026-08-05", "claude-haiku-4-5"): expected}
