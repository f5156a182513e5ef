"""The cost of the two programs while idle, their memory under load, and their start."""

import contextlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.drain import waiting
from benchmarks.endpoint import running_endpoint
from benchmarks.figures import Samples, Suite, Target
from benchmarks.programs import Running, environment, running_pipeline
from benchmarks.server import Server

_PROGRAMS: Final = ("mailroom-collect", "mailroom-send")
_IDLE_SECONDS: Final = 60.0
_SIDE_BY_SIDE: Final = 5
"""Idle pipelines that are watched in the same minute. They hardly disturb each other."""
_WARM_UP: Final = 100
_QUIET_SECONDS: Final = 5.0
"""Seconds until the work after the last mail has ended."""

_WAITING: Final = 1_000_000
_EARLY, _LATE = 20_000, 120_000
"""Mails sent when memory is read."""

_STARTS: Final = 9
_CLICK: Final = "python -c 'import click'"


def suites(server: Server) -> Iterator[Suite]:
    """Yield the suites of this subject."""
    idle = Samples(partial(_idle, server))
    cpu, wakeups = _names("CPU"), _names("voluntary context switches")
    about = f"Idle for {_IDLE_SECONDS:.0f} s, after a few mails"
    yield Suite(f"{about}: CPU", "% of a core", idle.measures(*cpu), _most(cpu, 0.1, 0.1), _SIDE_BY_SIDE)
    yield Suite(f"{about}: wake-ups", "/s", idle.measures(*wakeups), _most(wakeups, 1, 1), _SIDE_BY_SIDE)
    full = Samples(partial(_memory, server))
    peak, growth = _names("peak"), _names("growth")
    about = f"{_WAITING:,} tokens waiting"
    yield Suite(f"Memory after {_LATE:,} mails, {about}", "MiB", full.measures(*peak), _most(peak, 40, 64))
    yield Suite(f"Its growth since mail {_EARLY:,}", "MiB", full.measures(*growth), _most(growth, 2, 2))
    yield _starts()


def _names(what: str) -> list[str]:
    return [f"{program}, {what}" for program in _PROGRAMS]


def _most(names: Sequence[str], *bounds: float) -> list[Target]:
    return [Target(name, None, bound, at_least=False) for name, bound in zip(names, bounds, strict=True)]


# While nothing happens


def _idle(server: Server) -> list[Mapping[str, float]]:
    """Watch some pipelines for a while, in parallel."""
    with contextlib.ExitStack() as stack:
        pids = [stack.enter_context(_idle_pipeline(server)) for _ in range(_SIDE_BY_SIDE)]
        time.sleep(_QUIET_SECONDS)
        started, before = time.monotonic(), [_activity(one) for one in pids]
        time.sleep(_IDLE_SECONDS)
        seconds, after = time.monotonic() - started, [_activity(one) for one in pids]
    return [{name: (now[name] - then[name]) / seconds for name in now} for then, now in zip(before, after, strict=True)]


@contextlib.contextmanager
def _idle_pipeline(server: Server) -> Iterator[Mapping[str, int]]:
    """Run a pipeline that has sent a few mails during the block. Yield the process id of each program."""
    with (
        server.database() as database,
        running_endpoint(0.0) as endpoint,
        running_pipeline(endpoint.url, database.url) as pipeline,
    ):
        pipeline.says("acknowledging")
        database.sign_up(_WARM_UP)
        endpoint.wait(_WARM_UP, 30.0, pipeline.check)
        yield _pids(pipeline)
        pipeline.check()


def _pids(pipeline: Running) -> dict[str, int]:
    return {program: pipeline.pid(program) for program in _PROGRAMS}


def _activity(pids: Mapping[str, int]) -> dict[str, float]:
    """Return what each program has used so far: 100 times its CPU seconds, and its voluntary context switches."""
    used: dict[str, float] = {}
    for program, pid in pids.items():
        # By thread, because /proc/PID/status has only the main thread. In ns, because stat has ticks of 10 ms.
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        used[f"{program}, CPU"] = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e7
        used[f"{program}, voluntary context switches"] = sum(_status(task, "voluntary_ctxt_switches") for task in tasks)
    return used


def _status(process: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s*([0-9]+)", (process / "status").read_text(), re.MULTILINE)
    assert found, f"{process} has no {name}"
    return int(found[1])


# While much happens


def _memory(server: Server) -> list[Mapping[str, float]]:
    """Return the peak memory of both, and its growth between an early and a late mail."""
    with (
        server.database(waiting(server, _WAITING)) as database,
        running_endpoint(0.0) as endpoint,
        running_pipeline(endpoint.url, database.url) as pipeline,
    ):
        endpoint.wait(_EARLY, 120.0, pipeline.check)
        pids = _pids(pipeline)
        early = _peaks(pids)
        endpoint.wait(_LATE, 300.0, pipeline.check)
        late = _peaks(pids)
    peaks = {f"{program}, peak": late[program] for program in _PROGRAMS}
    return [peaks | {f"{program}, growth": late[program] - early[program] for program in _PROGRAMS}]


def _peaks(pids: Mapping[str, int]) -> dict[str, float]:
    return {program: _status(Path(f"/proc/{pid}"), "VmHWM") / 1024 for program, pid in pids.items()}


# Until it has started


def _starts() -> Suite:
    folder = Path(sys.executable).parent
    commands = {f"{program} --help": [str(folder / program), "--help"] for program in _PROGRAMS}
    targets = [Target(name, _CLICK, 2.0, at_least=False) for name in commands]
    commands[_CLICK] = [sys.executable, "-c", "import click"]
    measures = {name: partial(_start_ms, command) for name, command in commands.items()}
    return Suite("Start-up, by --help", "ms", measures, targets)


def _start_ms(command: Sequence[str]) -> float:
    """Return the median of several starts."""
    times = []
    for _ in range(_STARTS):
        started = time.monotonic()
        subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - started)
    return statistics.median(times) * 1000
