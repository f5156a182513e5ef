"""The table of failures: the meaning of every SQLSTATE and every text."""

from pathlib import Path

import pytest

from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres import failures
from mailroom_runtime.postgres.failures import Meaning, by_sqlstate, by_words
from mailroom_runtime.postgres.pins import PINS


@pytest.mark.parametrize(
    ("meaning", "codes"),
    [
        (Meaning.RETRY, "40001 40P01 40000"),
        (Meaning.LATER, "55P03 57014 55006"),
        (
            Meaning.RECONNECT,
            "08006 08P01 0A000 25001 25P02 25P03 26000 53200 53300 57P01 57P02 57P03 57P05 58030 XX000",
        ),
        (Meaning.OPERATOR, "25006 28000 28P01 3D000 42501 42883 42P01 42703 42704 3F000 53100 57P04 P0002 XX001"),
        (Meaning.FAULT, "22021 22P02 23505 42601 42804 P0001 22023"),
    ],
)
def test_sqlstate_has_its_meaning(meaning: Meaning, codes: str) -> None:
    """The whole code decides, or else its class. An unknown code is an unexpected error."""
    assert {code: by_sqlstate(code).meaning for code in codes.split()} == dict.fromkeys(codes.split(), meaning)


# As PostgreSQL 13 to 18, libpq 15 to 18, OpenSSL and PgBouncer write it.
@pytest.mark.parametrize(
    ("words", "meaning", "hint"),
    [
        ('FATAL:  password authentication failed for user "x"', Meaning.OPERATOR, "correct the password"),
        ("fe_sendauth: no password supplied", Meaning.OPERATOR, "correct the password"),
        ("FATAL:  SASL authentication failed", Meaning.OPERATOR, "correct the password"),
        ('FATAL:  server login has been failing, cached error: FATAL: password authentication failed for user "x"',
         Meaning.OPERATOR, "correct the password"),
        ('FATAL:  Peer authentication failed for user "x"', Meaning.OPERATOR, "let this role in"),
        ('FATAL:  pg_hba.conf rejects connection for host "::1", user "x", database "y", no encryption',
         Meaning.OPERATOR, "let this role in"),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "x", database "y", no encryption',
         Meaning.OPERATOR, "let this role in"),
        ('FATAL:  database "x" does not exist', Meaning.OPERATOR, "create it"),
        ("FATAL:  no such database: x", Meaning.OPERATOR, "create it"),
        ("FATAL:  no such user: x", Meaning.OPERATOR, "create it"),
        ("FATAL:  bouncer config error", Meaning.OPERATOR, "let this role in"),
        ("FATAL:  SSL required", Meaning.OPERATOR, "correct its sslmode"),
        ('FATAL:  cannot connect to invalid database "x"', Meaning.OPERATOR, "find out why"),
        ("SSL error: certificate verify failed", Meaning.OPERATOR, "correct its sslmode"),
        ('server certificate for "a" does not match host name "b"', Meaning.OPERATOR, "correct its sslmode"),
        ('root certificate file "/x" does not exist', Meaning.OPERATOR, "correct its sslmode"),
        ('could not read certificate file "/x": No such file', Meaning.OPERATOR, "correct its sslmode"),
        ('private key file "/x" has group or world access; file must have permissions u=rw (0600) or less',
         Meaning.OPERATOR, "correct its sslmode"),
        ('invalid integer value "x" for connection option "port"', Meaning.OPERATOR, "correct MAILROOM"),
        ("FATAL:  unsupported startup parameter: options", Meaning.OPERATOR, "correct MAILROOM"),
        ("FATAL:  sorry, too many clients already", Meaning.RECONNECT, "raise max_connections"),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
         Meaning.RECONNECT, "raise max_connections"),
        ("FATAL:  no more connections allowed (max_client_conn)", Meaning.RECONNECT, "raise max_connections"),
        ("FATAL:  the database system is starting up", Meaning.RECONNECT, ""),
        ("FATAL:  the database system is shutting down", Meaning.RECONNECT, ""),
        ("FATAL:  the database system is in recovery mode", Meaning.RECONNECT, ""),
        ("FATAL:  the database system is not yet accepting connections", Meaning.RECONNECT, ""),
        ('could not translate host name "x" to address: Name or service not known', Meaning.RECONNECT, "the host"),
        ("failed to resolve host 'x': [Errno -3] Temporary failure in name resolution", Meaning.RECONNECT, "the host"),
        ('connection to server at "a" failed: session is read-only', Meaning.RECONNECT, ""),
        ('connection to server at "a" failed: Connection refused', Meaning.RECONNECT, "whether the server runs"),
        ("connection timeout expired", Meaning.RECONNECT, "whether the server runs"),
    ],
)  # fmt: skip
def test_connection_error_text_has_its_meaning(words: str, meaning: Meaning, hint: str) -> None:
    """The program waits after a temporary failure. After another one it says which setting to change."""
    failure = by_words(f"connection failed: {words}")
    assert failure.meaning is meaning
    assert hint in failure.hint


def test_documentation_names_each_setting() -> None:
    """They are the settings of each session."""
    reported = (Path(__file__).parents[2] / "docs" / "database.md").read_text()
    assert [name for name in [*PINS, "statement_timeout"] if f"`{name}`" not in reported] == []


def test_configuration_error_has_a_hint() -> None:
    """Each entry says what to do."""
    table = [*failures.BY_SQLSTATE.values(), *(failure for _, failure in failures.BY_WORDS)]
    assert all(failure.hint for failure in table if failure.meaning is Meaning.OPERATOR)


def test_error_is_a_sentence_and_a_hint() -> None:
    """A hint is optional."""
    for hint, text in (("do it", "what happened; do it"), ("", "what happened")):
        error = SettingError("what happened", hint)
        assert (str(error), error.message, error.hint) == (text, "what happened", hint)
    assert str(SettingError("what happened")) == "what happened"
