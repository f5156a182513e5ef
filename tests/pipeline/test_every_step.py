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
from tests.support.ses_endpoint import Endpoint, running_endpoint
from tests.support.waiting import until

HALTING = str(Path(__file__).parents[1] / "support" / "halting")
AT_ONCE = 4
LEASE = 1.0  # seconds
RATE = "4.0"  # recipients a second: so low that rows wait for it, and senders ask how many they are
# Late enough that the collector must extend its leases meanwhile.
LATE_SENDER = PIPELINE.replace("| mailroom-send", "| (sleep 0.6; exec mailroom-send)")
NAMES = ("ann", "ben", "cid")
MAY_DOUBLE = {
    # SES has the mail, and the ledger does not know it yet. share_rate runs while a call may be in progress.
    signal.SIGKILL: {"after call", "before settle_rows", "before share_rate", "after share_rate"},
    # Stopped with a claimed request, after the last check of the clock.
    signal.SIGSTOP: {"before call", "after call", "before settle_rows", "before share_rate", "after share_rate"},
}
STEPS = {
    "mailroom-collect": "list_actions watch claim_any extend held due write LISTEN connect",
    "mailroom-send": "read acknowledge action_settings share_rate begin_rows call settle_rows write connect",
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

    def at(self, step: str) -> list[str]:
        """Halt at the step ("": at none), check the promises, and return the steps that ran.

        A step is named with its number among those of its name, because some steps wait for a time, and so their order
        differs between runs.
        """
        folder = self.folder / (step.replace(" ", "-") or "none")
        folder.mkdir(parents=True)
        database = Database(self.server, self.server.new_database())
        try:
            with running_endpoint(Endpoint(max_send_rate=RATE)) as endpoint:
                env = self.env | {
                    "MAILROOM_DATABASE_URL": database.url,
                    "AWS_ENDPOINT_URL_SES": endpoint.url,
                    "MAILROOM_SES_OUTPUT_PATH": str(folder / "output"),
                }
                halting = {
                    "PYTHONPATH": HALTING,
                    "HALT_PROGRAM": self.program,
                    "HALT_AT": step,
                    "HALT_SIGNAL": str(int(self.number)),
                    "HALT_LOG": str(folder / "steps"),
                }
                if "held" in step:  # asked only if senders acknowledge
                    database.run("SELECT mailroom_acknowledge('mailroom')")
                database.sign_up(*NAMES)
                database.recovery("cid")
                with running(LATE_SENDER, env | halting) as first:
                    self._go_on(database, first, folder, env, step)
                steps = (folder / "steps").read_text().splitlines()
                at = step if step in steps else ""
                self._check(database, Counter(endpoint.addresses), at, f"{self.number.name} at '{at}'")
                return steps
        finally:
            database.close()

    def _go_on(self, database: Database, first: Running, folder: Path, env: dict[str, str], step: str) -> None:
        def settled() -> bool:
            return set(database.states()) <= {"sent", "skipped"}

        def halted() -> bool:
            if first.process.poll() is not None:
                return True
            pid = program_of(self.program, first.process.pid)
            steps = folder / "steps"
            reached = step and steps.exists() and f"{step}\n" in steps.read_text()
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
            assert count == 1 or step.rpartition(" ")[0] in MAY_DOUBLE[self.number], where


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
    )
    run = Run(server, env, tmp_path, (program, number))
    known = [f"{when} {what}" for what in STEPS[program].split() for when in ("before", "after")]
    wanted = dict.fromkeys([*run.at(""), *(f"{step} 1" for step in known)])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        taken = list(pool.map(run.at, wanted))
    halted = {step.rpartition(" ")[0] for step, steps in zip(wanted, taken, strict=True) if step in steps}
    assert set(known) <= halted
