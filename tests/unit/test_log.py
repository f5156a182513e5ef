"""Log lines of both programs."""

import re
from collections.abc import Callable

import pytest

from mailroom_collector import log as collector
from mailroom_sender import log as sender


@pytest.mark.parametrize(("log", "tag"), [(collector.log, "PG"), (sender.log, "SES")])
def test_event_is_one_stamped_line(log: Callable[[str], None], tag: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever an event quotes, it is one line, without anything that a terminal would obey."""
    log("café \n[PG] forged \x1b[31m \u202e \u2028 \x85 \x00" + "x" * 5000)
    (line,) = capfd.readouterr().err.splitlines()
    assert re.match(rf"\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d \[{tag}\] café \\n\[PG\] forged ", line)
    assert r"\x1b[31m \u202e \u2028 \x85 \x00xxx" in line
    assert len(line) < 2100
