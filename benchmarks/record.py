"""Results as JSON, with their machine, so that they can be drawn again."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Result, Suite, Target


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of the results."""

    cpu: str
    cores: int
    kernel: str
    python: str
    postgresql: str
    date: str

    @classmethod
    def this(cls, postgresql: str) -> "Machine":
        """Return this machine, today."""
        return cls(
            cpu=_cpu(),
            cores=os.cpu_count() or 1,
            kernel=platform.release().partition("-")[0],
            python=platform.python_version(),
            postgresql=postgresql,
            date=datetime.now(UTC).date().isoformat(),
        )

    def sentence(self) -> str:
        """Describe it in a sentence."""
        return (
            f"{self.cpu}, {self.cores} cores; Linux {self.kernel}, Python {self.python},"
            f" PostgreSQL {self.postgresql} with fsync on; {self.date}."
        )


@dataclass(frozen=True, slots=True)
class Record:
    """The results of one run of the benchmarks."""

    machine: Machine
    results: Sequence[Result]
    failed: Sequence[str] = ()
    """The suites that failed and so have no result."""

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        content = {
            "machine": asdict(self.machine),
            "suites": [_to_json(result) for result in self.results],
            "failed": self.failed,
        }
        file.write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, file: Path) -> "Record":
        """Read it back. Its suites can't be run."""
        content = json.loads(file.read_text())
        return cls(Machine(**content["machine"]), [_from_json(suite) for suite in content["suites"]], content["failed"])


def _to_json(result: Result) -> dict[str, object]:
    suite = result.suite
    return {
        "title": suite.title,
        "unit": suite.unit,
        "values": {name: [float(f"{value:.6g}") for value in values] for name, values in result.values.items()},
        "targets": [asdict(target) for target in suite.targets],
    }


def _from_json(content: Mapping[str, Any]) -> Result:
    targets = [Target(**target) for target in content["targets"]]
    return Result(Suite(content["title"], content["unit"], {}, targets), content["values"])


def _cpu() -> str:
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cpuinfo() -> Iterator[str]:
    with Path("/proc/cpuinfo").open() as lines:
        yield from lines
