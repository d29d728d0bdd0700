"""Who may call now: a bounded number of slots, shared among task types so that a slow one never takes them all.

Inside a task type interactive work goes first, and tenants take turns. A task type has `cap` slots of its own. Beyond them it borrows idle ones, but always leaves some (an eighth of all)
for the others; spare work (over quota, batch) runs on borrowed slots only. Everything is O(task types that wait).
"""

from collections import deque
from collections.abc import Callable


class Ticket:
    """A wish for one slot. `grant` is called once, when it has come true; give it back with `Slots.release`."""

    __slots__ = ("cap", "grant", "granted", "spare", "task", "tenant", "urgent")

    def __init__(
        self, task: str, cap: int, spare: bool, grant: Callable[[], None], urgent: bool = False, tenant: str = ""
    ) -> None:
        self.task = task
        self.cap = max(1, cap)
        self.spare = spare
        self.grant = grant
        self.granted = False
        self.urgent = urgent
        self.tenant = tenant


class _Turns:
    """Tickets of several tenants, each tenant's in their order; the tenants take turns."""

    __slots__ = ("_count", "_of_tenant")

    def __init__(self) -> None:
        self._of_tenant: dict[str, deque[Ticket]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def first(self) -> Ticket:
        return next(iter(self._of_tenant.values()))[0]

    def ahead(self, tenant: str) -> int:
        """How many go before a new one of this tenant."""
        own = len(self._of_tenant.get(tenant, ()))
        return own + sum(min(len(q), own + 1) for name, q in self._of_tenant.items() if name != tenant)

    def append(self, ticket: Ticket) -> None:
        queue = self._of_tenant.get(ticket.tenant)
        if queue is None:
            queue = self._of_tenant[ticket.tenant] = deque()
        queue.append(ticket)
        self._count += 1

    def popleft(self) -> Ticket:
        tenant = next(iter(self._of_tenant))
        queue = self._of_tenant.pop(tenant)
        if len(queue) > 1:
            self._of_tenant[tenant] = queue
        self._count -= 1
        return queue.popleft()

    def remove(self, ticket: Ticket) -> bool:
        queue = self._of_tenant.get(ticket.tenant)
        if queue is None or ticket not in queue:
            return False
        queue.remove(ticket)
        self._count -= 1
        if not queue:
            del self._of_tenant[ticket.tenant]
        return True


class _Line:
    """The tickets of one task type: urgent ones first."""

    __slots__ = ("urgent", "usual")

    def __init__(self) -> None:
        self.urgent = _Turns()
        self.usual = _Turns()

    def __len__(self) -> int:
        return len(self.urgent) + len(self.usual)

    @property
    def first(self) -> Ticket:
        return (self.urgent or self.usual).first

    def add(self, ticket: Ticket) -> None:
        (self.urgent if ticket.urgent else self.usual).append(ticket)

    def pop(self) -> Ticket:
        return (self.urgent or self.usual).popleft()

    def remove(self, ticket: Ticket) -> bool:
        return (self.urgent if ticket.urgent else self.usual).remove(ticket)


class Slots:
    """Hands out at most `total` slots at once. Not for use from several threads."""

    def __init__(self, total: int) -> None:
        self.total = max(1, total)
        self._reserve = self.total // 8
        self._main: dict[str, _Line] = {}
        self._spare: dict[str, _Line] = {}
        self._of_task: dict[str, int] = {}
        self._handing_out = False
        self.running = 0
        """Slots in use."""

    @property
    def waiting(self) -> int:
        """Tickets that wait."""
        return sum(map(len, self._main.values())) + sum(map(len, self._spare.values()))

    @property
    def idle(self) -> bool:
        """A spare ticket would be granted at once."""
        return self.running < self.total - self._reserve and not self._main

    def ahead(self, task: str, spare: bool, urgent: bool, tenant: str = "") -> int:
        """How many tickets that wait would be served before a new one; spare ones come after all."""
        if not self._main and not self._spare:
            return 0
        if spare:
            return self.waiting
        line = self._main.get(task)
        if line is None:
            return 0
        return line.urgent.ahead(tenant) if urgent else len(line.urgent) + line.usual.ahead(tenant)

    def at_once(self, task: str, cap: int, spare: bool) -> int:
        """How many of them are served at a time: those of its own, or as many as it has at the moment."""
        if spare:
            return max(1, self.total - self._reserve)
        return min(self.total, max(cap, self._of_task.get(task, 0), 1))

    def ask(self, ticket: Ticket) -> None:
        """Queue up; the grant may come before this returns."""
        lane = self._spare if ticket.spare else self._main
        line = lane.get(ticket.task)
        if line is None:
            line = lane[ticket.task] = _Line()
        line.add(ticket)
        self._hand_out()

    def withdraw(self, ticket: Ticket) -> None:
        """Leave the queue, or give the slot back when it was granted already."""
        if ticket.granted:
            self.release(ticket)
            return
        lane = self._spare if ticket.spare else self._main
        line = lane.get(ticket.task)
        if line is not None and line.remove(ticket) and not len(line):
            del lane[ticket.task]

    def release(self, ticket: Ticket) -> None:
        """The call is over."""
        left = self._of_task[ticket.task] - 1
        if left:
            self._of_task[ticket.task] = left
        else:
            del self._of_task[ticket.task]
        self.running -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        # A grant may end at once and release its slot: the loop below goes on with it, instead of another inside it.
        if self._handing_out:
            return
        self._handing_out = True
        try:
            while self.running < self.total and (ticket := self._next()) is not None:
                self.running += 1
                self._of_task[ticket.task] = self._of_task.get(ticket.task, 0) + 1
                ticket.granted = True
                ticket.grant()
        finally:
            self._handing_out = False

    def _next(self) -> Ticket | None:
        for task, line in self._main.items():
            if self._of_task.get(task, 0) < line.first.cap:
                return self._pop(self._main, task)
        if self.running >= self.total - self._reserve:
            return None
        for lane in (self._main, self._spare):
            for task in lane:
                return self._pop(lane, task)
        return None

    def _pop(self, lane: dict[str, _Line], task: str) -> Ticket:
        """Take the first ticket; the task goes behind the others, so that they take turns."""
        line = lane.pop(task)
        ticket = line.pop()
        if len(line):
            lane[task] = line
        return ticket
