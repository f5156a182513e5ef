"""`python -m benchmarks`: run the suites one after another, then write the table and the plot."""

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks import table
from benchmarks.figures import Result, Suite, run
from benchmarks.record import Machine, Record
from benchmarks.server import Server, running_server

_SUBJECTS: Final = (
    *("drain", "latency", "signup", "pipeline", "sender", "growth", "cost", "idle"),
    *("order", "rate", "outstanding"),
)
_FOLDER: Final = Path(__file__).parents[1] / "docs"


class Runner:
    """Runs suites and keeps their results. A suite that fails is reported, and the others still run."""

    def __init__(self, server: Server, runs: int) -> None:
        self._server = server
        self._runs = runs
        self.results: list[Result] = []
        self.failed: list[str] = []

    def subject(self, name: str) -> None:
        """Run all suites of one subject."""
        try:
            with closing(self._suites(name)) as suites:
                for suite in suites:
                    self._suite(suite)
        except Exception:
            self._fail(name)

    def _suites(self, name: str) -> Generator[Suite]:
        yield from importlib.import_module(f"benchmarks.{name}").suites(self._server)

    def _suite(self, suite: Suite) -> None:
        started = time.monotonic()
        try:
            result = run(suite, self._runs)
        except Exception:
            self._fail(suite.title)
            return
        self.results.append(result)
        print(f"{table.text(result)}\n    ({time.monotonic() - started:.0f} s)\n", flush=True)

    def _fail(self, what: str) -> None:
        self.failed.append(what)
        print(f"FAILED: {what}\n{traceback.format_exc()}", file=sys.stderr, flush=True)


def main() -> int:
    """Return the exit status: 1 if a suite failed. A missed target is a result and not a failure."""
    options = _parser().parse_args()
    if options.replot:
        _publish(Record.read(options.output / "results.json"), options.output)
        return 0
    started = time.monotonic()
    with running_server() as server:
        server.recycle_wal()
        runner = Runner(server, options.runs)
        machine = Machine.this(server.version())
        for name in options.only:
            runner.subject(name)
            # Already now, because the rest takes a while and may be stopped.
            options.output.mkdir(parents=True, exist_ok=True)
            Record(machine, runner.results, runner.failed).write(options.output / "results.json")
        _publish(Record(machine, runner.results, runner.failed), options.output)
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if runner.failed else 0


def _publish(record: Record, folder: Path) -> None:
    """Write the results, the table and the plots to the folder, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "results.json")
    about = record.machine.sentence()
    text = table.markdown(record.results, about, record.failed)
    (folder / "results.md").write_text(text)
    try:
        from benchmarks import plot  # noqa: PLC0415 - matplotlib may be missing
    except ImportError as error:
        print(f"no plot: {error}; pip install --group bench", file=sys.stderr)
    else:
        plot.draw_targets(record.results, about, folder / "benchmarks.png")
        plot.draw_sign_ups(record.results, about, folder / "sign-ups.png")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each suite that does not say (5)")
    parser.add_argument("--only", type=_subjects, default=_SUBJECTS, metavar="A,B", help=f"of {', '.join(_SUBJECTS)}")
    parser.add_argument("--output", type=Path, default=_FOLDER, metavar="FOLDER", help="for table and plots (docs)")
    parser.add_argument("--replot", action="store_true", help="draw again from results.json in the folder")
    return parser


def _subjects(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := set(names) - set(_SUBJECTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
