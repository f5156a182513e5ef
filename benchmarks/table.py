"""Pure: from figures to text, for the terminal during a run and in Markdown at the end."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.figures import Result, Spread, Target

Row = tuple[str, ...]


def number(value: float) -> str:
    """Return three significant digits, or all digits before the point, never with an exponent."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    if abs(value) < 0.01:
        return f"{value:.4f}"
    return f"{value:#.3g}".rstrip(".")


def spread(values: Spread) -> str:
    """Return the median and, in brackets, the extremes."""
    return f"{number(values.median)} ({number(values.low)}-{number(values.high)})"


def verdict(result: Result, target: Target) -> str:
    """Return in a word whether the target holds, by the median."""
    return "holds" if target.holds(result.reached(target).median) else "MISSED"


def bound(target: Target, unit: str) -> str:
    """Return the bound of the target."""
    about = unit if target.against is None else "x"
    return f"{'at least' if target.at_least else 'at most'} {target.bound:g} {about}"


def subject(target: Target) -> str:
    """Return the measure that the target is for."""
    return target.of if target.against is None else f"{target.of} / {target.against}"


def text(result: Result) -> str:
    """Return one result for the terminal."""
    suite = result.suite
    lines = [f"{suite.title}  [{suite.unit}, {_runs(result)} runs]"]
    lines += _aligned((name, spread(result.spread(name))) for name in result.values)
    lines += _aligned(_target_row(result, target) for target in suite.targets)
    return "\n".join(lines)


def markdown(results: Sequence[Result], about: str, failed: Sequence[str] = ()) -> str:
    """Return all results, with the targets first, below a line about the machine."""
    targets = [(result.suite.title, *_target_row(result, one)) for result in results for one in result.suite.targets]
    measures = [(result.suite.title, *row) for result in results for row in _measure_rows(result)]
    missed = sum(row[-1] == "MISSED" for row in targets)
    return "\n".join(
        [
            "# Benchmarks",
            "",
            about,
            "",
            *([f"FAILED, and so without a result: {'; '.join(failed)}.", ""] if failed else []),
            f"{len(targets) - missed} of {len(targets)} targets hold. A ratio is taken within each run. The table shows"
            " the median, which decides,\nand the extremes of all runs.",
            "",
            *_table(("suite", "held to a target", "reached", "target", ""), _without_repeats(targets)),
            "",
            "## All figures",
            "",
            *_table(("suite", "measured", "median (min-max)", "unit", "runs"), _without_repeats(measures)),
            "",
        ]
    )


def _runs(result: Result) -> int:
    return max(len(values) for values in result.values.values())


def _target_row(result: Result, target: Target) -> Row:
    reached = spread(result.reached(target))
    return subject(target), reached, bound(target, result.suite.unit), verdict(result, target)


def _measure_rows(result: Result) -> Iterator[Row]:
    for name, values in result.values.items():
        yield name, spread(result.spread(name)), result.suite.unit, str(len(values))


def _aligned(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the rows in columns."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _without_repeats(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows, with the first cell only where it changes."""
    last = None
    for first, *rest in rows:
        yield ("" if first == last else first, *rest)
        last = first


def _table(head: Row, rows: Iterable[Row]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
