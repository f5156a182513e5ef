"""Findings as text and as JSON, character by character."""

import pytest

from mailroom_sender.check.finding import Finding, Status, exit_status, lines, summary

OK, WARNING, TASK = Status
FULL = Finding("rendering failures", TASK, "they are not re-published", "give it an event-destination", "ses:Ask")
PLAIN = Finding("region", OK, "eu-west-1")


def test_finding_for_programs_has_each_documented_key() -> None:
    """Missing values are null."""
    assert FULL.to_json() == {
        "check": "rendering failures", "status": "to do", "found": "they are not re-published",
        "to_do": "give it an event-destination", "permission": "ses:Ask",
    }  # fmt: skip
    assert PLAIN.to_json() == {
        "check": "region", "status": "ok", "found": "eu-west-1", "to_do": None, "permission": None,
    }  # fmt: skip


def test_finding_for_people_is_in_columns() -> None:
    """Status, check and finding are columns, with the advice below. Words are not broken at hyphens."""
    assert lines(FULL, 53) == [
        "to do    rendering failures   they are not",
        "                              re-published [ses:Ask]",
        "                              -> give it an",
        "                                 event-destination",
    ]
    assert lines(PLAIN, 80) == ["ok       region               eu-west-1"]


def test_finding_without_a_width_is_one_line() -> None:
    """It may be long."""
    assert lines(FULL, None) == [
        "to do    rendering failures   they are not re-published [ses:Ask]; give it an event-destination"
    ]
    assert lines(PLAIN, None) == ["ok       region               eu-west-1"]


def test_words_have_twenty_columns_at_least() -> None:
    """This is so even on a narrow terminal."""
    finding = Finding("x", WARNING, "aaaaaaaaaa bbbbbbbb c")
    for width in (1, 50):
        assert lines(finding, width) == [
            "warning  x                    aaaaaaaaaa bbbbbbbb", "                              c",
        ]  # fmt: skip
    assert lines(finding, 51) == ["warning  x                    aaaaaaaaaa bbbbbbbb c"]


@pytest.mark.parametrize(
    ("statuses", "words", "status"),
    [
        ([], "ready", 0),
        ([OK, OK], "ready", 0),
        ([OK, WARNING], "ready, with 1 warning", 0),
        ([WARNING, WARNING], "ready, with 2 warnings", 0),
        ([TASK, OK], "1 thing to do, 0 warnings", 1),
        ([TASK, TASK, WARNING], "2 things to do, 1 warning", 1),
    ],
)
def test_last_line_and_exit_status(statuses: list[Status], words: str, status: int) -> None:
    """Only errors prevent going live."""
    findings = [Finding("x", one, "") for one in statuses]
    assert (summary(findings), exit_status(findings)) == (words, status)
