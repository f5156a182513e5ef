"""Debug mode prints the requests and sends nothing."""

import json
from pathlib import Path

import pytest

from mailroom_sender.delivery.preview import Preview
from mailroom_sender.input.row import Row
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.ses.request import build
from tests.support.sender_parts import ENVELOPE, rows


def printed(folder: Path, batch: list[Row], *, as_text: bool) -> tuple[str, UnsentRows]:
    unsent = UnsentRows(folder)
    with (folder / "printed").open("w") as file:
        preview = Preview(ENVELOPE, unsent, CallOutput(file.fileno()), as_text=as_text)
        result = preview.start(batch)()
        preview.release(batch)
    assert (result.verdicts, result.again, preview.log_at) == ([], [], float("inf"))
    return (folder / "printed").read_text(), unsent


@pytest.mark.parametrize("as_text", [True, False])
def test_request_is_printed_as_json_or_as_mails(tmp_path: Path, as_text: bool) -> None:
    """It is the exact request, or two lines for each mail."""
    batch = rows(1, 2)
    text, unsent = printed(tmp_path, batch, as_text=as_text)
    if as_text:
        assert [line.split()[:2] for line in text.splitlines()[::2]] == [
            ["activation", "u1@example.com"],
            ["activation", "u2@example.com"],
        ]
    else:
        assert json.loads(text) == build(batch, ENVELOPE)
    assert unsent.summary == ""


def test_row_with_an_unfit_address_is_rejected(tmp_path: Path) -> None:
    """The sender would reject it too. Without another row nothing is printed."""
    (good,) = rows(1)
    bad = Row(good.action, "no address", good.login, good.secret, good.code, good.raw)
    text, unsent = printed(tmp_path, [bad], as_text=False)
    assert (text, unsent.summary.startswith("1 row or line rejected")) == ("", True)
