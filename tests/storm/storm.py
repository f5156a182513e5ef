"""The storm: pipelines on an unreliable network, a server that restarts, and a SES that fails in phases."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.storm.history import AUDIT, PIPELINE_SETTING, Trouble, read_history
from tests.storm.oracle import Verdict, judge
from tests.storm.plan import LEASE, PIPELINES, RATE, UNLIMITED, Event, plan
from tests.storm.ses_moods import Moods
from tests.storm.writers import SETTINGS, Writers
from tests.support.postgres import Database, Server
from tests.support.processes import environment, kill_program
from tests.support.ses_endpoint import Endpoint
from tests.support.tcp_proxy import Proxy, postgres_target, running_proxy
from tests.support.waiting import until

_SETTLE = 240.0
"""Seconds after the storm within which every row must be settled. A row may wait a minute for its next try."""


@dataclass
class Pipeline:
    """One pipeline, which is restarted whenever it ends, and its network to the database."""

    env: dict[str, str]
    log: Path
    proxy: Proxy
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def keep_running(self) -> None:
        """Start it unless it runs, as a service manager would."""
        if self.process is not None and self.process.poll() is None:
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", "mailroom-collect | mailroom-send > /dev/null"],
                env=self.env,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1

    def signal(self, program: str, number: signal.Signals) -> int | None:
        """Signal one of the programs, if it runs. Return its process id."""
        return kill_program(program, self.process.pid, number) if self.process else None

    def end(self) -> None:
        """Kill all its processes."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Storm:
    """Everything that takes part in the storm."""

    server: Server
    database: Database
    endpoint: Endpoint
    moods: Moods
    writers: Writers
    pipelines: list[Pipeline]
    faults: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    scarce: list[tuple[float, float]] = field(default_factory=list)
    timers: list[threading.Timer] = field(default_factory=list)

    def run_plan(self, events: list[Event]) -> None:
        """Do each event of the plan at its time, or as soon as possible after it."""
        starts = time.monotonic()
        for event in events:
            while (wait := starts + event.at - time.monotonic()) > 0:
                self._keep_running()
                time.sleep(min(wait, 0.05))
            try:
                self._do(event)
            except psycopg.OperationalError:
                self.faults["could not be done"] += 1
        for timer in self.timers:
            timer.join()

    def _keep_running(self) -> None:
        for pipeline in self.pipelines:
            pipeline.keep_running()

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, then)
        timer.start()
        self.timers.append(timer)

    def _do(self, event: Event) -> None:
        starts = time.time()
        pipeline = self.pipelines[event.pipeline]
        what, _, which = event.kind.partition(" ")
        match what:
            case "kill" | "stop" | "end":
                if not self._hurt_process(pipeline, what, which, event.amount):
                    return  # the process was gone already
            case "cut" | "delay" | "stall":
                self._hurt_network(pipeline.proxy, what, event.amount)
            case "terminate":
                self._terminate_backends()
            case "restart":
                self.server.restart()
            case "SES":
                self.moods.get_into(event.kind, event.amount)
            case "phase":
                self._begin_phase(which, event.amount)
                return
            case _:
                self.writers.write(event)
                return
        self.faults[event.kind] += 1
        hits_all = what in ("terminate", "restart", "SES")
        lasts = event.amount + LEASE if what in ("stop", "delay", "stall", "SES") else 0.0
        now = time.time()
        self.troubles.append(Trouble(starts, max(now, starts + lasts), None if hits_all else event.pipeline))

    def _begin_phase(self, phase: str, seconds: float) -> None:
        """Change the rate of SES, and restart all pipelines, which ask for it only once an hour."""
        starts = time.time()
        if phase == "scarce":
            self.moods.be_scarce(seconds)
            self.scarce.append((starts, starts + seconds))
        self.set_rate(RATE if phase == "scarce" else UNLIMITED)
        self.troubles.append(Trouble(starts, time.time()))

    def set_rate(self, rate: float) -> None:
        """Let SES tell the rate to all pipelines."""
        self.endpoint.max_send_rate = str(rate)
        for pipeline in self.pipelines:
            self._hurt_process(pipeline, "end", "", 0.0)

    def _hurt_process(self, pipeline: Pipeline, what: str, which: str, seconds: float) -> bool:
        if what == "end":
            ended = [pipeline.signal(program, signal.SIGTERM) for program in ("mailroom-collect", "mailroom-send")]
            return any(ended)
        program = "mailroom-collect" if which == "collector" else "mailroom-send"
        pid = pipeline.signal(program, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
        if what == "stop" and pid:
            self._later(seconds, lambda: _continue(pid))
        return pid is not None

    def _hurt_network(self, proxy: Proxy, what: str, seconds: float) -> None:
        match what:
            case "cut":
                proxy.cut()
            case "delay":
                proxy.delay = 0.05
                self._later(seconds, lambda: setattr(proxy, "delay", 0.0))
            case _:
                proxy.stall()
                self._later(seconds, proxy.resume)

    def _terminate_backends(self) -> None:
        with self.server.connect(self.database.name) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'mailroom-%'"
            )

    def settle(self) -> None:
        """Stop all failures and wait until no delivery waits."""
        self.moods.well = True
        self.set_rate(UNLIMITED)
        self.database.reconnect()

        def nothing_waits() -> bool:
            self._keep_running()
            return bool(self.database.one("SELECT NOT EXISTS (SELECT FROM deliveries WHERE settled_at IS NULL)"))

        until(nothing_waits, "everything is settled", _SETTLE)

    @property
    def log(self) -> str:
        return "".join(pipeline.log.read_text() for pipeline in self.pipelines)


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _pipelines(database: Database, endpoint: Endpoint, folder: Path) -> Iterator[list[Pipeline]]:
    with contextlib.ExitStack() as stack:
        pipelines = []
        for number in range(PIPELINES):
            proxy = stack.enter_context(running_proxy(postgres_target(database.server.folder)))
            env = environment(
                MAILROOM_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{proxy.port}/{database.name}"
                f"?options=-c%20{PIPELINE_SETTING}%3D{number}",
                MAILROOM_BATCH_TIMEOUT="100",
                MAILROOM_LEASE=str(int(LEASE * 1000)),
                MAILROOM_HEALTHCHECK_INTERVAL="5000",
                MAILROOM_SES_OUTPUT_PATH=str(folder / f"output{number}"),
                AWS_ENDPOINT_URL_SES=endpoint.url,
                AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
                AWS_SECRET_ACCESS_KEY="example",
                AWS_EC2_METADATA_DISABLED="true",
            )
            pipeline = Pipeline(env, folder / f"log{number}", proxy)
            stack.callback(pipeline.end)
            pipelines.append(pipeline)
        yield pipelines


def run_storm(server: Server, endpoint: Endpoint, folder: Path, seed: int, seconds: float) -> tuple[Storm, Verdict]:
    """Run one storm and judge it. Logs and output folders stay in the folder."""
    database = Database(server, server.new_database())
    database.connection.execute(AUDIT)
    database.connection.execute(SETTINGS)
    moods = Moods(seed)
    endpoint.decide = moods.decide
    clock = time.time() - time.monotonic()
    writers = Writers(server, database.name)
    with _pipelines(database, endpoint, folder) as pipelines:
        storm = Storm(server, database, endpoint, moods, writers, pipelines)
        storm.run_plan(plan(seed, seconds))
        storm.settle()
    history = read_history(database, endpoint, writers, clock)
    history.troubles, history.scarce = storm.troubles, storm.scarce
    verdict = judge(history, storm.log)
    writers.close()
    database.close()
    return storm, verdict
