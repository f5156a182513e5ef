"""From figures to pictures. Needs matplotlib, which is in the dependency group `bench`."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import Result, Spread, Target
from benchmarks.table import number, subject

_INK: Final = "#1f2328"
_FAINT: Final = "#6e7781"
_RULE: Final = "#e4e8ec"
_GOOD: Final = "#2da44e"
_BAD: Final = "#cf222e"
_LINES: Final = ("#6e7781", "#bf8700", "#2da44e", "#0969da")
"""Colours of the curves over the number of clients. Those of mailroom come last."""

_STYLE: Final[Any] = {"font.size": 10, "text.color": _INK, "xtick.color": _FAINT, "ytick.color": _FAINT}
_DPI: Final = 170
_WIDTH, _ROW, _TOP, _BOTTOM = 10.0, 0.265, 1.45, 0.55  # inches
_CHART: Final = (5.3, 8.35)  # inches: where the bars are
_WORST, _BEST = -2.3, 4.3
"""Powers of two at which the bars end. A longer bar ends in an arrow."""
_LETTERS: Final = 70
_TARGETS_LEGEND: Final = "Dotted: the target. Bar: from there to the median. Thin line: all runs."
_SIGN_UPS_LEGEND: Final = "Transactions that sign one account up. Line: the median. Band: all runs."
_SIGN_UPS: Final = re.compile(r"Sign-ups .*, (\d+) clients?$")


@dataclass(frozen=True, slots=True)
class _Bar:
    """One target, and the value that was reached."""

    target: Target
    unit: str
    reached: Spread

    @property
    def colour(self) -> str:
        """Green if the target holds."""
        return _GOOD if self.target.holds(self.reached.median) else _BAD

    @property
    def label(self) -> str:
        """The measure and its target."""
        text = subject(self.target) + (f" ({self.unit})" if self.target.against is None else "")
        return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"

    def score(self, value: float) -> float:
        """Return by how many powers of two a value is better than the target, limited to the axis."""
        better, worse = (value, self.target.bound) if self.target.at_least else (self.target.bound, value)
        if min(better, worse) <= 0:
            return _BEST if better > 0 else _WORST
        return min(max(math.log2(better / worse), _WORST), _BEST)

    @property
    def times(self) -> str:
        """The text after a ratio."""
        return "" if self.target.against is None else " x"


def draw_targets(results: Sequence[Result], about: str, file: Path) -> None:
    """Draw a bar for each target, from the target to what was reached."""
    rows = list(_rows(results))
    height = _TOP + _BOTTOM + _ROW * len(rows)
    with mpl.rc_context(_STYLE):
        figure = _figure(height, "What mailroom is held to", _TARGETS_LEGEND, about)
        left, right = _CHART
        box = (left / _WIDTH, _BOTTOM / height, (right - left) / _WIDTH, 1 - (_TOP + _BOTTOM) / height)
        axes = figure.add_axes(box)
        _scale(axes, len(rows))
        for place, row in enumerate(rows):
            if isinstance(row, _Bar):
                _bar(axes, place, row)
            else:
                patch = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # where the text covers the bars
                _write(axes, 0.2, place + 0.1, row, weight="bold", zorder=5, bbox=patch)
        figure.savefig(file)


def draw_sign_ups(results: Sequence[Result], about: str, file: Path) -> None:
    """Draw the rate of sign-ups over the number of clients, if it was measured."""
    found = {int(match[1]): one for one in results if (match := _SIGN_UPS.match(one.suite.title))}
    if len(found) < 2:
        return
    clients = sorted(found)
    names = [name for name in found[clients[0]].values if all(name in one.values for one in found.values())]
    with mpl.rc_context(_STYLE):
        figure = _figure(4.6, "Sign-ups a second", _SIGN_UPS_LEGEND, about)
        axes = figure.add_axes((0.075, 0.19, 0.6, 0.57))
        for name, colour in zip(names, _LINES, strict=False):
            _curve(axes, name, colour, [found[one].spread(name) for one in clients])
        _clients(axes, clients)
        figure.savefig(file)


def _figure(height: float, title: str, legend: str, about: str) -> Figure:
    """Return a figure with a title above and the machine below."""
    figure = Figure((_WIDTH, height), dpi=_DPI, facecolor="white")
    figure.text(0.02, 1 - 0.42 / height, title, size=17, weight="bold", va="center")
    figure.text(0.02, 1 - 0.74 / height, legend, size=10.5, color=_FAINT, va="center")
    figure.text(0.02, 0.2 / height, about, size=8, color=_FAINT, va="center")
    return figure


def _rows(results: Sequence[Result]) -> Iterator[str | _Bar]:
    """Yield a heading for each suite that has targets, and its bars."""
    for result in results:
        if result.suite.targets:
            yield result.suite.title
        for target in result.suite.targets:
            yield _Bar(target, result.suite.unit, result.reached(target))


def _scale(axes: Axes, rows: int) -> None:
    """Set up the axes: powers of two to the right, rows from above."""
    axes.set_xlim(_WORST, _BEST)
    axes.set_ylim(rows - 0.4, -0.6)
    powers = range(math.ceil(_WORST), math.floor(_BEST) + 1)
    names = {0: "target"}
    axes.set_xticks(powers, [names.get(power, f"{2.0**power:g}x") for power in powers])
    axes.tick_params(bottom=False, top=False, left=False, labelleft=False, labelbottom=False, labeltop=True)
    axes.grid(axis="x", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axvline(0, color=_INK, linewidth=1.2, linestyle=":", zorder=4)
    for power, text, colour, side in ((_WORST, "← worse", _BAD, "left"), (_BEST, "better →", _GOOD, "right")):
        axes.text(power, -2.2, text, color=colour, va="center", ha=side, size=9.5, weight="bold")
    axes.spines[:].set_visible(False)


def _bar(axes: Axes, place: int, bar: _Bar) -> None:
    score = bar.score(bar.reached.median)
    axes.barh(place, score, height=0.6, color=bar.colour, alpha=0.8, zorder=2)
    ends = [bar.score(bar.reached.low), bar.score(bar.reached.high)]
    axes.plot(ends, [place, place], color=_INK, linewidth=1.2, solid_capstyle="butt", zorder=3)
    if score in (_WORST, _BEST):
        axes.plot(score, place, marker=">" if score > 0 else "<", color=bar.colour, markersize=8, clip_on=False)
    _write(axes, 0.4, place, bar.label, size=9.5)
    _write(
        axes, 9.1, place, number(bar.reached.median) + bar.times, size=9.5, weight="bold", color=bar.colour, ha="right"
    )
    sign = "≥" if bar.target.at_least else "≤"
    _write(axes, 9.8, place, f"{sign} {bar.target.bound:g}{bar.times}", size=9.5, color=_FAINT, ha="right")


def _write(axes: Axes, inches: float, place: float, text: str, **style: Any) -> None:
    """Write beside a row, this many inches from the left edge of the figure."""
    left, right = _CHART
    axes.text((inches - left) / (right - left), place, text, va="center", transform=axes.get_yaxis_transform(), **style)


def _curve(axes: Axes, name: str, colour: str, spreads: Sequence[Spread]) -> None:
    """Draw one line, its name at its end."""
    places = range(len(spreads))
    medians = [one.median for one in spreads]
    axes.fill_between(places, [one.low for one in spreads], [one.high for one in spreads], color=colour, alpha=0.18)
    axes.plot(places, medians, color=colour, linewidth=2.2, marker="o", markersize=5)
    axes.annotate(
        f"{name}  {number(medians[-1])}",
        (places[-1], medians[-1]),
        xytext=(10, 0),
        textcoords="offset points",
        color=colour,
        va="center",
        weight="bold",
        size=9.5,
        annotation_clip=False,
    )


def _clients(axes: Axes, clients: Sequence[int]) -> None:
    """Set up the axes of the curves."""
    axes.set_xticks(range(len(clients)), [f"{one} client{'s' if one > 1 else ''}" for one in clients])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params(length=0)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
