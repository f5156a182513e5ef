"""The systemd units, checked by systemd itself."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.support.manager import managing
from tests.support.postgres import Database
from tests.support.processes import program_of, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"), key=str)
MOST_EXPOSED = 1.5
"""Of 10. The remaining points are that it talks to the network and keeps no list of its peers."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")


def verify(folder: Path, edit: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
    """Check copies of the units, with the programs of the tests' environment."""
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/mailroom/bin", str(Path(sys.executable).parent)).replace(*edit)
        (folder / unit.name).write_text(text)
    units = sorted(str(folder / unit.name) for unit in UNITS.iterdir())
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_units_are_valid(tmp_path: Path) -> None:
    """No directive is unknown and no program is missing."""
    done = verify(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize(
    "edit",
    [
        ("PrivateTmp=yes", "PrivateTnp=yes"),
        ("mailroom-collect prune", "no-such-program prune"),
        ("03:30:00", "33:30:00"),
    ],
    ids=["word", "program", "time"],
)
def test_invalid_unit_is_found(tmp_path: Path, edit: tuple[str, str]) -> None:
    """The check above can fail."""
    assert verify(tmp_path, edit).stderr != ""


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_services_are_hardened(unit: Path) -> None:
    """systemd rates what a service could do if an attacker controlled it."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    (exposure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(exposure) <= MOST_EXPOSED, done.stdout


def command(credentials: Path) -> str:
    """Return the command of the service's shell, with its credentials in that folder."""
    unit = (UNITS / "mailroom.service").read_text().replace("\\\n", " ").replace("%d", str(credentials))
    (found,) = re.findall(r"^ExecStart=/bin/bash -c '([^']*)'$", unit, re.MULTILINE)
    return str(found)


def as_credentials(env: dict[str, str], folder: Path) -> dict[str, str]:
    """Write the secrets of an environment into files, as LoadCredential does. Return the environment without them."""
    secrets = {
        "collector-database-url": env["MAILROOM_DATABASE_URL"],
        "sender-database-url": env["MAILROOM_DATABASE_URL"],
        "secret-key": env["MAILROOM_SECRET_KEY"],
    }
    for name, value in secrets.items():
        (folder / name).write_text(value)
    loaded = re.findall(r"^LoadCredential=([^:]+):", (UNITS / "mailroom.service").read_text(), re.MULTILINE)
    assert sorted(loaded) == sorted(secrets)
    return {name: value for name, value in env.items() if value not in secrets.values()}


def test_service_is_ready_when_the_sender_is_and_ends_with_0(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, tmp_path: Path
) -> None:
    """One program notifies systemd for the service.

    SIGTERM to all processes ends it with 0, after the calls in progress.
    """
    with managing(tmp_path / "notify") as manager:
        env = as_credentials(pipeline_env(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="400000"), tmp_path)
        with running(f"export WATCHDOG_PID=$$; {command(tmp_path)}", env) as service:
            until(lambda: manager.received("READY=1"), "it is ready")
            service.says("acknowledging")
            sender = program_of("mailroom-send", service.process.pid)
            assert b"MAILROOM_SECRET_KEY" not in Path(f"/proc/{sender}/environ").read_bytes()
            database.sign_up("ann")
            until(lambda: manager.received("STATUS=1 mail since the start"), "its status counts the mail")
            until(lambda: manager.received("WATCHDOG=1") >= 2, "it is alive")
            assert service.stop() == 0
        assert not manager.received("STATUS=0 rows")
        assert manager.received("READY=1") == 1
    assert endpoint.addresses == ["ann@example.com"]


@pytest.mark.parametrize("program", ["mailroom-collect", "mailroom-send"])
def test_service_reports_a_configuration_error(pipeline_env: Environment, tmp_path: Path, program: str) -> None:
    """If either program exits with 2, so does the service. It never was ready."""
    bad = {"MAILROOM_SECRET_KEY": "short"} if program == "mailroom-collect" else {"MAILROOM_SES_SOURCE": "nobody"}
    with managing(tmp_path / "notify") as manager:
        env = as_credentials(pipeline_env(NOTIFY_SOCKET=manager.path, **bad), tmp_path)
        with running(command(tmp_path), env) as service:
            assert service.wait() == 2
        assert program == "mailroom-collect" or not manager.received("READY")
