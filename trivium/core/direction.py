"""Whether two questions give the same parts to the same participants: "from A to B" is not "from B to A", "the cat bit the
dog" is not "the dog bit the cat", and "B is replaced by A" is "A replaces B"."""

from typing import Final

from trivium.core.question import Text

SAME_EVENT: Final = 0.7
"""Share of common concepts from which two texts are about one event, so that the order of those who take part counts."""
_FIRST: Final = frozenset({"i", "we", "me", "us"})


def order_reason(a: Text, b: Text) -> str:
    """In words, who plays another part in the other text; "" when nobody does."""
    if a.sequence == b.sequence and a.roles == b.roles:
        return ""
    reason = _moved(a, b)
    if reason:
        return reason
    shared, every = len(set(a.concepts).intersection(b.concepts)), len({*a.concepts, *b.concepts})
    if shared < SAME_EVENT * every or shared < 2:
        return ""
    return _cast_reason(a, b) or _person_reason(a, b) or _swap_reason(a, b)


def _moved(a: Text, b: Text) -> str:
    """Source and target, owner and owned, before and after: two that exchanged their parts, or one that turned round."""
    roles_a, roles_b = dict(a.roles), dict(b.roles)
    moved = [who for who, role in roles_a.items() if role != roles_b.get(who, role)]
    if not moved:
        return ""
    pairs = {(_part(roles_a[who]), _part(roles_b[who])) for who in moved}
    exchanged = a.passive == b.passive and any((two, one) in pairs for one, two in pairs if one != two)
    for who in moved:
        if {roles_a[who], roles_b[who]} == {"source", "target"} or exchanged:
            return f"{who!r} is {roles_a[who] or 'subject'} in one and {roles_b[who] or 'subject'} in the other"
    owned = [who for who in moved if {roles_a[who], roles_b[who]} == {"", "owner"}]
    if owned and a.actors != b.actors and set(a.concepts) == set(b.concepts):
        return f"{owned[0]!r} acts in one and owns in the other"
    return ""


def _part(role: str) -> str:
    """ "the parent's name" and "the name of the parent" give one part."""
    return "owner" if role == "of" else role


def _cast_reason(a: Text, b: Text) -> str:
    """Two that act on one another in the other order, once what is said in the passive was turned round."""
    clauses_a, clauses_b = dict(reversed(a.cast)), dict(reversed(b.cast))
    common = [who for who in clauses_a if who in clauses_b]
    if len(common) < 2:
        return ""
    place_a = {who: index for index, who in enumerate(reversed(clauses_a))}
    place_b = {who: index for index, who in enumerate(reversed(clauses_b))}
    for first in common:
        for second in common:
            if clauses_a[first] != clauses_a[second] or clauses_b[first] != clauses_b[second]:
                continue
            if place_a[first] < place_a[second] and place_b[first] > place_b[second]:
                return f"{first!r} and {second!r} changed places"
    return ""


def _person_reason(a: Text, b: Text) -> str:
    """ "I owe him" against "he owes me"."""
    if set(a.concepts) != set(b.concepts) or len(a.concepts) < 2 or a.passive or b.passive:
        return ""
    if 2 * len(set(a.words).intersection(b.words)) < len({*a.words, *b.words}):
        return ""
    for one, other in ((a, b), (b, a)):
        if _person(one) == {"acts"} and _person(other) == {"suffers"}:
            return "the other order: who acts in one is acted upon in the other"
    return ""


def _person(text: Text) -> set[str]:
    """What the first person does: acts, suffers, or both."""
    return {"acts" if who in ("i", "we") else "suffers" for who, role in text.roles if who in _FIRST and not role}


def _swap_reason(a: Text, b: Text) -> str:
    if a.passive != b.passive or len(a.sequence) != len(b.sequence):
        return ""
    if sorted(a.sequence) != sorted(b.sequence):
        return ""
    if _swapped(a, b) or (set(a.words) == set(b.words) and not _rotated(a.sequence, b.sequence)):
        return "the same words in another order"
    return ""


def _rotated(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """What came last comes first: "If it rains, is it open" is "Is it open if it rains"."""
    return any(a[at:] + a[:at] == b for at in range(len(a)))


def _swapped(a: Text, b: Text) -> bool:
    """Two participants changed places and nothing else did; neighbours do so freely unless they are "I" and "you"."""
    differing = [index for index, word in enumerate(a.sequence) if word != b.sequence[index]]
    if len(differing) != 2:
        return False
    first, second = differing
    return second - first > 1 or {a.sequence[first], a.sequence[second]} == {"i", "u"}
