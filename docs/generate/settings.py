"""What both the reference and the manual pages tell: variables and exit statuses."""

import re
from collections.abc import Iterator
from pathlib import Path

from commands import Command, Option

_ROOT = Path(__file__).parents[2]
_PACKAGES = {"mailroom-collect": "mailroom_collector", "mailroom-send": "mailroom_sender"}
_STATUSES = re.compile(r"^\| (\d+) \| ([^|]+) \|$", re.MULTILINE)
"""A line of a table of exit statuses in settings.md."""

OTHERS = {
    "AWS_REGION": "the region of SES; else AWS_DEFAULT_REGION or the profile's, else us-east-1",
    "AWS_ENDPOINT_URL_SES": "another place to ask than AWS's own, such as a local SES",
    "AWS_PROFILE": "which profile of the SDK's files; all other settings of the AWS SDK work too",
    "NO_COLOR": "when set, no colours on a terminal",
    "NOTIFY_SOCKET": "set by systemd: where readiness and signs of life are told",
    "TERM": "unset or dumb, nothing is drawn on a terminal",
    "WATCHDOG_PID": "set by systemd: whose signs of life are awaited",
    "WATCHDOG_USEC": "set by systemd: within what time a sign of life is awaited",
}
"""Variables of others. Those that the source does not mention are not told, but for the AWS SDK's own."""


def secret_of(option: Option) -> str:
    """Return the secret variable for which an option names a file, if it does."""
    return option.variable.removesuffix("_FILE") if option.variable.endswith("_FILE") else ""


def others(program: Command) -> dict[str, str]:
    """Return the variables of others that a program heeds."""
    folders = [_ROOT / "src" / package for package in (_PACKAGES[program.path], "mailroom_runtime")]
    source = "".join(file.read_text() for folder in folders for file in folder.rglob("*.py"))
    is_sender = "boto3" in source
    return {
        name: text
        for name, text in OTHERS.items()
        if re.search(rf'"{name}"', source) or (is_sender and name.startswith("AWS_"))
    }


def statuses(program: Command) -> Iterator[tuple[str, str]]:
    """Yield each exit status and when a program ends with it: its table in settings.md, and what both share."""
    page = (_ROOT / "docs" / "settings.md").read_text()
    section = page.partition(f"### {program.path}\n")[2].partition("\n#")[0]
    for row in _STATUSES.finditer(section):
        yield row[1], f"{row[2][0].upper()}{row[2][1:]}."
    yield "130", "Ctrl-C at a question, or while a command is at work."
    yield "142", "Its main loop stood still and it ended itself (SIGALRM; 142 is how a shell tells it)."
