"""The records of trivium.budget."""

from google.protobuf.message import DecodeError

from trivium.core.budget import AccountRecord, Rules
from trivium.core.policy import Budget, Over, Period
from trivium.v1 import records_pb2 as pb

RULES_KEY = b"rules"


def rules_to(rules: Rules) -> pb.BudgetRecord:
    """As published by whoever loads a policy, under `RULES_KEY`."""
    return pb.BudgetRecord(
        rules=pb.BudgetRules(revision=rules.revision, rules=[_rule_to(rule) for rule in rules.budgets], at_ms=rules.at_ms)
    )


def account_key(record: AccountRecord) -> bytes:
    """Of the topic's record."""
    return f"{record.holder}|{record.budget}|{record.period}".encode()


def account_to(record: AccountRecord) -> pb.BudgetRecord:
    """One account's."""
    account = pb.BudgetAccount(
        holder=record.holder,
        budget=record.budget,
        period=record.period,
        have=record.have,
        upto=record.upto,
        spent=record.spent,
        closed=record.closed,
        valid_ms=record.valid_ms,
        at_ms=record.at_ms,
        by=record.by,
        number=record.number,
    )
    return pb.BudgetRecord(account=account)


def budget_record_from(value: bytes | None) -> Rules | AccountRecord | None:
    """None for what is neither: a tombstone, bytes that are no record, a kind of a newer writer. Rules with a word that is not known
    count as None too: half of a policy's budgets are no policy."""
    try:
        record = pb.BudgetRecord.FromString(value or b"")
    except DecodeError:
        return None
    match record.WhichOneof("kind"):
        case "rules":
            try:
                return Rules(record.rules.revision, tuple(map(_rule_from, record.rules.rules)), record.rules.at_ms)
            except ValueError:
                return None
        case "account":
            return _account_from(record.account)
        case _:
            return None


def _account_from(m: pb.BudgetAccount) -> AccountRecord:
    return AccountRecord(
        m.holder, m.budget, m.period, m.have, m.upto, m.spent, m.number, m.closed, m.valid_ms, m.at_ms, m.by
    )


def _rule_to(rule: Budget) -> pb.BudgetRule:
    return pb.BudgetRule(
        name=rule.name,
        period=rule.period.value,
        limit_micro_dollars=rule.limit_micro_dollars,
        hard=rule.hard,
        over=rule.over.value,
        tenant=rule.tenant,
        team=rule.team,
        application=rule.application,
        use_case=rule.use_case,
        end_user=rule.end_user,
        alerts=rule.alerts,
    )


def _rule_from(m: pb.BudgetRule) -> Budget:
    return Budget(
        name=m.name,
        period=Period(m.period),
        limit_micro_dollars=max(0, m.limit_micro_dollars),
        hard=m.hard,
        over=Over(m.over) if m.over else Over.REFUSE,
        tenant=m.tenant,
        team=m.team,
        application=m.application,
        use_case=m.use_case,
        end_user=m.end_user,
        alerts=tuple(m.alerts),
    )
