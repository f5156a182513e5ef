"""Each program is killed, or stopped for longer than a lease, at each of its I/O steps, one step per run."""

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Database, Server
from tests.support.processes import Running, program_of, running
from tests.support.ses_endpoint import running_endpoint
from tests.support.waiting import until

HALTING = str(Path(__file__).parents[1] / "support" / "halting")
AT_ONCE = 4
LEASE = 1.0  # seconds
# Late enough that the collector must extend its leases meanwhile.
LATE_SENDER = PIPELINE.replace("| mailroom-send", "| (sleep 0.6; exec mailroom-send)")
NAMES = ("ann", "ben", "cid")
MAY_DOUBLE = {
    # SES has the mail, and the ledger does not know it yet.
    signal.SIGKILL: {"after call", "before settle_rows"},
    # Stopped with a claimed request, after the last check of the clock.
    signal.SIGSTOP: {"before call", "after call", "before settle_rows"},
}


def is_stopped(pid: int) -> bool:
    """Return whether the process is stopped or gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        return True


class Run:
    """One pipeline that is halted at a step, another one that continues the work, and the mails."""

    def __init__(self, server: Server, env: dict[str, str], folder: Path, halting: tuple[str, signal.Signals]) -> None:
        self.server = server
        self.env = env
        self.folder = folder
        self.program, self.number = halting

    def at(self, step: int) -> list[str]:
        """Halt at the step (0: at none), check the promises, and return the steps that ran."""
        folder = self.folder / str(step)
        folder.mkdir(parents=True)
        database = Database(self.server, self.server.new_database())
        try:
            with running_endpoint() as endpoint:
                env = self.env | {
                    "MAILROOM_DATABASE_URL": database.url,
                    "AWS_ENDPOINT_URL_SES": endpoint.url,
                    "MAILROOM_SES_OUTPUT_PATH": str(folder / "output"),
                }
                halting = {
                    "PYTHONPATH": HALTING,
                    "HALT_PROGRAM": self.program,
                    "HALT_AT": str(step),
                    "HALT_SIGNAL": str(int(self.number)),
                    "HALT_LOG": str(folder / "steps"),
                }
                database.sign_up(*NAMES)
                database.recovery("cid")
                with running(LATE_SENDER, env | halting) as first:
                    self._go_on(database, first, folder, env, step)
                steps = (folder / "steps").read_text().splitlines()
                at = steps[step - 1] if 0 < step <= len(steps) else ""
                self._check(database, Counter(endpoint.addresses), at, f"{self.number.name} at step {step}, '{at}'")
                return steps
        finally:
            database.close()

    def _go_on(self, database: Database, first: Running, folder: Path, env: dict[str, str], step: int) -> None:
        def settled() -> bool:
            return set(database.states()) <= {"sent", "skipped"}

        def halted() -> bool:
            if first.process.poll() is not None:
                return True
            pid = program_of(self.program, first.process.pid)
            steps = folder / "steps"
            reached = step and steps.exists() and steps.read_text().count("\n") >= step
            return bool(reached and (pid is None or is_stopped(pid)))

        until(lambda: halted() or settled(), "the step, or the end")
        if not halted():
            first.signal(signal.SIGTERM)
            until(lambda: halted() or first.process.poll() is not None, "the step at the end, or the end")
        over = time.monotonic() + 1.5 * LEASE

        def all_that_another_can() -> bool:
            # A live collector keeps the rows that its reader has not begun, because the reader may only be slow.
            return settled() or (time.monotonic() > over and set(database.states()) <= {"sent", "skipped", "claimed"})

        with running(PIPELINE, env):
            if first.process.poll() is None:
                until(all_that_another_can, "another pipeline has done its part")
                first.signal(signal.SIGCONT)
            until(settled, "everything is settled")
            if first.process.poll() is None:
                first.signal(signal.SIGTERM)
                first.wait()

    def _check(self, database: Database, mails: Counter[str], step: str, where: str) -> None:
        doubts = dict(
            database.run(
                "SELECT a.email, d.doubts FROM deliveries d JOIN tokens t ON t.id = d.token"
                " JOIN accounts a ON a.id = t.account WHERE d.state = 'sent'"
            )
        )
        assert set(mails) == {f"{name}@example.com" for name in NAMES}, where
        for address, count in mails.items():
            assert count <= 1 + doubts[address], where
            assert count == 1 or step in MAY_DOUBLE[self.number], where


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
@pytest.mark.parametrize("program", ["mailroom-collect", "mailroom-send"])
def test_promises_hold_at_every_step(
    server: Server, pipeline_env: Environment, tmp_path: Path, program: str, number: signal.Signals
) -> None:
    """No mail is lost. Only a halt between SES and the ledger doubles a mail, and it is recorded as a doubt."""
    env = pipeline_env(
        MAILROOM_LEASE=str(int(LEASE * 1000)),
        MAILROOM_BATCH_LIMIT="2",
        MAILROOM_SES_CONCURRENCY="1",
        MAILROOM_SES_MAX_RATE="1000",
    )
    run = Run(server, env, tmp_path, (program, number))
    steps = run.at(0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        taken = list(pool.map(run.at, range(1, len(steps) + 1)))
    # The step with this number may differ between runs, because some steps wait for a time.
    halted = {steps[step - 1] for step, steps in enumerate(taken, 1) if len(steps) >= step}
    assert len(halted) > 10, halted
    wanted = {
        "mailroom-collect": {"list_actions", "watch", "claim_any", "extend", "look", "write", "LISTEN", "connect"},
        "mailroom-send": {
            "read",
            "acknowledge",
            "action_settings",
            "begin_rows",
            "call",
            "settle_rows",
            "write",
            "connect",
        },
    }
    assert {f"{when} {what}" for when in ("before", "after") for what in wanted[program]} <= halted
