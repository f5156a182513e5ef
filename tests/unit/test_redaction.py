"""SES's texts are logged without secrets and codes of rows."""

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses.redaction import masked, message_id, without_secrets

SECRET = "S" * 86
ROWS = [
    Row(MailAction.PASSWORD_RECOVERY, "ann@b.example", "ann", SECRET, "01234", b""),
    Row(MailAction.ACTIVATION, "ben@b.example", "ben", "T" * 86, "", b""),
]


def test_secrets_and_codes_are_masked_with_stars() -> None:
    """The same number of stars replaces them. Other bytes are unchanged."""
    response = f"HTTP/1.1 400\r\n\r\n{SECRET}, 01234 \xff {'T' * 86} {SECRET}".encode("latin-1")
    stars = "*" * 86
    assert masked(response, ROWS) == f"HTTP/1.1 400\r\n\r\n{stars}, ***** \xff {stars} {stars}".encode("latin-1")
    assert masked(b"abc", ROWS) == b"abc"


def test_secrets_and_codes_are_removed_from_text() -> None:
    """This is done for each row. A row without a code changes nothing else."""
    assert without_secrets(f"a {SECRET} b 01234 {'T' * 86}", ROWS) == "a ... b ... ..."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0102018f-01234-000000", "0102018f-01234-000000"),
        ("a01234", "a01234"),
        ("01234", "..."),
        ("x 01234", "x ..."),
        (SECRET, "..."),
        (SECRET[:85], SECRET[:85]),
    ],
)
def test_message_id_may_contain_the_digits_of_a_code(value: str, expected: str) -> None:
    """This happens by chance. Text that is not a message id is redacted."""
    assert message_id(value, ROWS) == expected
