"""What SES repeats of a row lets nobody in."""

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses.redaction import masked, message_id, without_secrets

SECRET = "S" * 86
ROWS = [
    Row(MailAction.PASSWORD_RECOVERY, "ann@b.example", "ann", SECRET, "01234", b""),
    Row(MailAction.ACTIVATION, "ben@b.example", "ben", "T" * 86, "", b""),
]


def test_secrets_and_codes_are_masked_by_as_many_stars() -> None:
    """Of each row; the rest stays, byte for byte."""
    response = f"HTTP/1.1 400\r\n\r\n{SECRET}, 01234 \xff {'T' * 86} {SECRET}".encode("latin-1")
    stars = "*" * 86
    assert masked(response, ROWS) == f"HTTP/1.1 400\r\n\r\n{stars}, ***** \xff {stars} {stars}".encode("latin-1")
    assert masked(b"abc", ROWS) == b"abc"


def test_secrets_and_codes_are_left_out_of_words() -> None:
    """Of each row; a row without a code changes nothing else."""
    assert without_secrets(f"a {SECRET} b 01234 {'T' * 86}", ROWS) == "a ... b ... ..."


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0102018f-01234-000000", "0102018f-01234-000000"),
        ("a01234", "a01234"),
        ("01234", "..."),
        ("x 01234", "x ..."),
        (SECRET, "..."),
        (SECRET[:85], SECRET[:85]),
    ],
)
def test_message_id_may_hold_a_code_s_digits(value: str, told: str) -> None:
    """By chance; what is no message id is redacted."""
    assert message_id(value, ROWS) == told
