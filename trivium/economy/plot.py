"""Cost over volume, as letters on a grid for a terminal and as SVG for a page. Both are drawn from the same points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from trivium.economy.breakeven import Verdict
from trivium.economy.money import MICRO, Amount, sign_of

POINTS: Final = 61
WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 150, 44, 52
COLOURS: Final = ("#1b6ca8", "#c8553d", "#3a7d44", "#7a5195")
TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One road: its name and what a month costs at each volume, in units of money."""

    name: str
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. Volumes go from none to twice what matters."""

    title: str
    currency: str
    volumes: tuple[int, ...]
    lines: tuple[Line, ...]
    break_even: int | None
    volume: int

    @property
    def top(self) -> float:
        return max(max(line.costs) for line in self.lines) or 1.0


def picture(verdict: Verdict) -> Picture:
    """The points of a comparison."""
    edge = 2 * max(verdict.volume, min(verdict.break_even or 0, 20 * verdict.volume), POINTS)
    volumes = tuple(edge * i // (POINTS - 1) for i in range(POINTS))
    roads = (verdict.endpoint, *verdict.others)
    lines = tuple(Line(road.name, tuple(_units(road.cost(v)) for v in volumes)) for road in roads)
    return Picture(verdict.task, verdict.endpoint.per_month.currency, volumes, lines, verdict.break_even, verdict.volume)


def terminal(drawn: Picture, width: int = 61, height: int = 15) -> str:
    """Each road by its first letter, `+` where two meet; `|` marks the break-even."""
    grid = [[" "] * width for _ in range(height)]
    edge = drawn.volumes[-1]
    if drawn.break_even is not None and drawn.break_even <= edge:
        for row in grid:
            row[_cell(drawn.break_even, edge, width)] = "|"
    for line in drawn.lines:
        mark = line.name[:1].upper()
        for volume, cost in zip(drawn.volumes, line.costs, strict=True):
            x, y = _cell(volume, edge, width), height - 1 - _cell(cost, drawn.top, height)
            grid[y][x] = mark if grid[y][x] in (" ", "|", mark) else "+"
    label = f"{_short(drawn.top, drawn.currency):>10} "
    body = [(label if not i else " " * 11) + "┤" + "".join(row).rstrip() for i, row in enumerate(grid)]
    foot = " " * 11 + "└" + "─" * width
    scale = " " * 12 + "0" + f"{edge:,} requests a month".rjust(width - 1)
    names = ", ".join(f"{line.name[:1].upper()} {line.name}" for line in drawn.lines)
    return "\n".join([*body, foot, scale, " " * 12 + f"{names}, | break-even"])


def svg(pictures: Sequence[Picture]) -> str:
    """One chart below the other, each with axes, names and its break-even."""
    charts = [f'<g transform="translate(0 {i * HEIGHT})">{_chart(one)}</g>' for i, one in enumerate(pictures)]
    high = HEIGHT * len(pictures)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{high}" viewBox="0 0 {WIDTH} {high}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>' + "".join(charts) + "</svg>\n"
    )


def _chart(drawn: Picture) -> str:
    parts = [_text(LEFT, 24, f"{drawn.title}: cost of a month", size=15), *_axes(drawn)]
    for i, line in enumerate(drawn.lines):
        colour = COLOURS[i % len(COLOURS)]
        points = " ".join(f"{_x(drawn, v):.1f},{_y(drawn, c):.1f}" for v, c in zip(drawn.volumes, line.costs, strict=True))
        parts.append(f'<polyline points={quoteattr(points)} fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(WIDTH - RIGHT + 12, TOP + 16 + 20 * i, line.name, colour=colour))
    for at, words, colour in ((drawn.break_even, "break-even", "#222"), (drawn.volume, "volume", "#888")):
        if at is not None and at <= drawn.volumes[-1]:
            x = f"{_x(drawn, at):.1f}"
            parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{colour}" stroke-dasharray="4 3"/>')
            parts.append(_text(float(x) + 4, TOP + (12 if words == "break-even" else 28), f"{words} {at:,}", colour=colour))
    return "".join(parts)


def _axes(drawn: Picture) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP} V{bottom} H{right}" fill="none" stroke="#444"/>']
    for i in range(TICKS + 1):
        cost, volume = drawn.top * i / TICKS, drawn.volumes[-1] * i // TICKS
        parts.append(_text(LEFT - 8, _y(drawn, cost) + 4, _short(cost, drawn.currency), anchor="end"))
        parts.append(_text(_x(drawn, volume), bottom + 18, f"{volume:,}", anchor="middle"))
    parts.append(_text((LEFT + right) / 2, bottom + 38, "requests a month", anchor="middle"))
    return parts


def _text(x: float, y: float, words: str, size: int = 12, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _x(drawn: Picture, volume: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * volume / drawn.volumes[-1]


def _y(drawn: Picture, cost: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * cost / drawn.top


def _cell(value: float, most: float, cells: int) -> int:
    return min(cells - 1, int(value / most * (cells - 1) + 0.5))


def _short(units: float, currency: str) -> str:
    return f"{sign_of(currency)}{units:,.0f}" if units >= 10 else f"{sign_of(currency)}{units:.3g}"


def _units(amount: Amount) -> float:
    return amount.rounded / MICRO
