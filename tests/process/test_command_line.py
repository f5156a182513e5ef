"""How both programs start, and how an error ends them."""

import json
import sys

import pytest

from tests.support.processes import environment, run

PROGRAMS = [("mailroom-collect", "mailroom_collector"), ("mailroom-send", "mailroom_sender")]


@pytest.mark.parametrize(("program", "package"), PROGRAMS)
def test_package_runs_as_the_program(program: str, package: str) -> None:
    """`python -m` prints the same help under the program's name, and has the same errors and exit status."""
    for arguments in ("--help", "--version", "--no-such-option"):
        as_module, as_program = (
            run(f"{start} {arguments}", env=environment()) for start in (f"{sys.executable} -m {package}", program)
        )
        assert (as_module.status, as_module.out) == (as_program.status, as_program.out)
        assert as_module.err[20:] == as_program.err[20:]  # behind the time
    assert run(f"{sys.executable} -m {package} --help", env=environment()).out.startswith(f"Usage: {program} [")


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("mailroom-collect", "MAILROOM_DATABASE_URL is not set", "set it, or MAILROOM_DATABASE_URL_FILE to a file"),
        ("mailroom-collect prune", "give --older-than, such as 90d.", "See 'mailroom-collect prune --help'."),
        ("mailroom-send --lease 0", "MAILROOM_LEASE / --lease: '0' is not allowed", "See 'mailroom-send --help'."),
        ("mailroom-send tempaltes", "No such command 'tempaltes'", "See 'mailroom-send --help'."),
        ("mailroom-send check --mail-to x", "--mail-to: ", "give an address like success@simulator.amazonses.com"),
    ],
)
def test_error_that_ends_a_program_has_fields(command: str, message: str, hint: str) -> None:
    """In JSON it has the event, what to do, and the program's exit status."""
    env = {name: value for name, value in environment().items() if name != "MAILROOM_DATABASE_URL"}
    result = run(command, env=env | {"MAILROOM_LOG_FORMAT": "json"})
    event = json.loads(result.err.splitlines()[-1])
    assert (event["level"], event["event"], event["exit_status"]) == ("error", "error", result.status)
    assert event["message"].startswith(message)
    assert event["hint"].startswith(hint)
    assert result.status == 2
