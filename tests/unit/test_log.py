"""Log lines of both programs."""

import json
import re

import pytest

from mailroom_collector.log import log as collector
from mailroom_runtime.log import Log
from mailroom_sender.log import log as sender

LOGS = [(collector, "PG", "mailroom-collect"), (sender, "SES", "mailroom-send")]
ODD = "café \n[PG] forged \x1b[31m \u202e \u2028 \x85 \x00" + "x" * 5000


@pytest.mark.parametrize(("log", "tag", "program"), LOGS)
def test_event_is_one_stamped_line(
    log: Log, tag: str, program: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever text an event quotes, it is one line without control characters."""
    monkeypatch.setattr(log, "as_json", False)
    log(ODD, "error")
    (line,) = capfd.readouterr().err.splitlines()
    assert re.match(rf"\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d \[{tag}\] café \\n\[PG\] forged ", line)
    assert r"\x1b[31m \u202e \u2028 \x85 \x00xxx" in line
    assert len(line) < 2100
    assert program not in line


@pytest.mark.parametrize(("log", "tag", "program"), LOGS)
def test_event_as_json_is_one_object(
    log: Log, tag: str, program: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the time, the level, the program and the text, which is as safe as in the other format."""
    monkeypatch.setattr(log, "as_json", True)
    log(ODD, "warning", event="odd", token=7, reason=ODD, tokens=[1, 2], retry_in_s=0.5, nothing=None)
    (line,) = capfd.readouterr().err.splitlines()
    event = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("time"))
    message = event.pop("message")
    assert message.startswith(r"café \n[PG] forged \x1b[31m")
    assert message.isprintable()
    assert event.pop("reason") == message
    assert event == {
        "level": "warning", "program": program, "event": "odd", "token": 7, "tokens": [1, 2], "retry_in_s": 0.5,
    }  # fmt: skip
    assert line.isascii()
    assert tag not in line.partition("message")[0]
