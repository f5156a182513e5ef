"""Settings of both programs: the message of each bad value, and that nothing is changed."""

import tempfile
from pathlib import Path

import pytest

from tests.support.processes import KEY, environment, run, running

URL = "host=127.0.0.1 port=9"
A_DAY = 86_400_000
FOREIGN_URLS = [
    (
        "MAILROOM_DATABASE_URL",
        f"{scheme}://ann:hunter2@db/app",
        f"is wrong: it begins with {scheme}://, which libpq does not know;"
        " write it like postgresql://user:password@host:5432/database",
    )
    for scheme in ("postgresql+psycopg", "postgres+asyncpg", "jdbc:postgresql")
] + [("MAILROOM_DATABASE_URL", "'postgresql://ann:hunter2@db/app'", "is wrong: it begins with a quotation mark; write")]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MAILROOM_BATCH_LIMIT", "0", "'0' is not allowed; give a whole number from 1 to 10000"),
        ("MAILROOM_BATCH_LIMIT", "10001", "'10001' is not allowed; give a whole number from 1 to 10000"),
        ("MAILROOM_BATCH_LIMIT", "1_0", "'1_0' is not allowed; give a whole number from 1 to 10000"),
        ("MAILROOM_BATCH_LIMIT", "٣", "'٣' is not allowed; give a whole number from 1 to 10000"),
        ("MAILROOM_BATCH_TIMEOUT", "-1", f"'-1' is not allowed; give a whole number from 0 to {A_DAY}"),
        ("MAILROOM_BATCH_TIMEOUT", " 5", f"' 5' is not allowed; give a whole number from 0 to {A_DAY}"),
        ("MAILROOM_HEALTHCHECK_INTERVAL", "5s", f"'5s' is not allowed; give a whole number from 1 to {A_DAY}"),
        ("MAILROOM_HEALTHCHECK_INTERVAL", "4999", "is 4999 ms; it may not be less than MAILROOM_BATCH_TIMEOUT, which"),
        ("MAILROOM_LEASE", "999", f"'999' is not allowed; give a whole number from 1000 to {A_DAY}"),
        ("MAILROOM_CHANNEL_NAME", "x" * 64, "give a name of 1 to 63 bytes, without control characters"),
        ("MAILROOM_CHANNEL_NAME", "a\nb", "give a name of 1 to 63 bytes, without control characters"),
        ("MAILROOM_QUEUE_NAME", "x" * 64, "give a name of 1 to 63 bytes, without control characters"),
        ("MAILROOM_SCHEMA_NAME", "Mail", "'Mail' is not allowed; give 1 to 63 of the characters a-z 0-9 _"),
        ("MAILROOM_SCHEMA_NAME", "pg_mail", "'pg_mail' is not allowed; give 1 to 63 of the characters"),
        ("MAILROOM_SECRET_KEY", "c0ffee", "is wrong: it is not 64 hexadecimal digits, but 6 characters"),
        ("MAILROOM_SECRET_KEY", "g" * 64, "is wrong: it is not 64 hexadecimal digits, but 64 characters"),
        ("MAILROOM_SECRET_KEY", "0" * 64, "is 32 times the same byte: anybody can guess it"),
        ("MAILROOM_SECRET_KEY", "fF" * 32, "is 32 times the same byte: anybody can guess it"),
        ("MAILROOM_SECRET_KEY", "", "is not set; set it, or MAILROOM_SECRET_KEY_FILE to a file that holds it"),
        ("MAILROOM_SECRET_KEY_FILE", "/nowhere", "are both set; set only one of them"),
        ("MAILROOM_DATABASE_URL", "", "is not set; set it, or MAILROOM_DATABASE_URL_FILE to a file that holds it"),
        ("MAILROOM_DATABASE_URL", "pw: hunter2", "is wrong: it is not a libpq URL or key=value string"),
        *FOREIGN_URLS,
    ],
)
def test_collector_names_a_bad_setting(variable: str, value: str, message: str) -> None:
    """One line names the variable, what is wrong and what is allowed. The exit status is 2."""
    result = run("mailroom-collect", env=environment(MAILROOM_DATABASE_URL=URL) | {variable: value})
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert variable.removesuffix("_FILE") in line
    assert message in line
    assert "hunter2" not in line
    assert result.out == ""


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MAILROOM_DEBUG", "maybe", "'maybe' is not allowed; give true or false"),
        ("MAILROOM_DEBUG_FORMAT", "pretty", "'pretty' is not one of 'auto', 'json', 'text'"),
        ("MAILROOM_SES_ESCAPE_HTML", "2", "'2' is not allowed; give true or false"),
        ("MAILROOM_SES_CONFIG_SET", "a b", "'a b' is not allowed; give 1 to 64 of the characters A-Z a-z 0-9 _ -"),
        ("MAILROOM_SES_SOURCE", "nobody", "'nobody' is not allowed: its email has no @; give an address, with or"),
        ("MAILROOM_SES_SOURCE", "a@b.c\r\nBcc: x@y.z", "is not allowed: it holds a control character or a line break"),
        ("MAILROOM_SES_SOURCE", "jörg@b.c", "is not plain ASCII, which SES needs; give an address, with or without"),
        ("MAILROOM_LINK_BASE_URL", "http://app.example.com", "is not allowed; give an https:// URL of host and path"),
        ("MAILROOM_SES_CONCURRENCY", "65", "'65' is not allowed; give a whole number from 1 to 64"),
        (
            "MAILROOM_SES_OUTPUT_PATH",
            "/dev/null/x",
            "/dev/null/x can't be made: Not a directory",
        ),
        ("MAILROOM_LEASE", "", ""),
        ("MAILROOM_QUEUE_NAME", "a\tb", "without control characters"),
        ("MAILROOM_QUEUE_NAME", "ü" * 32, "give a name of 1 to 63 bytes"),
        ("MAILROOM_DATABASE_URL", "pw: hunter2", "is wrong: it is not a libpq URL or key=value string"),
        *FOREIGN_URLS,
        ("MAILROOM_DATABASE_URL_FILE", "/nowhere", "/nowhere can't be read: No such file or directory"),
    ],
)
def test_sender_names_a_bad_setting(tmp_path: Path, variable: str, value: str, message: str) -> None:
    """One line names the variable, what is wrong and what is allowed.

    The exit status is 2. An empty value counts as unset.
    """
    env = environment(MAILROOM_SES_OUTPUT_PATH=str(tmp_path), AWS_EC2_METADATA_DISABLED="true") | {variable: value}
    result = run("mailroom-send", env=env, cwd=tmp_path)
    assert result.status == 2
    line = result.err.splitlines()[-1]
    assert (variable if message else "no AWS credentials are found") in line
    assert message in line
    assert "hunter2" not in result.err


@pytest.mark.parametrize("command", ["mailroom-collect", "mailroom-send"])
def test_unknown_option_is_named(command: str) -> None:
    """A typing error gives one line that points to --help."""
    result = run(f"{command} --bathc-limit 3", env=environment())
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert f"See '{command} --help'." in line


def test_help_writes_ranges_and_defaults_in_words() -> None:
    """It has no formula and no unit twice, and shows a flag's default as the value that can be set."""
    shown = " ".join(run("mailroom-send --help", env=environment()).out.split())
    for text in ("default: false]", "default: true]", "1 to 64]", "1 to 1000000]", "1 to 63 bytes."):
        assert text in shown
    for text in ("<=", "False", "True", "In calls", "In recipients"):
        assert text not in shown


@pytest.mark.parametrize("command", ["mailroom-collect", "mailroom-send"])
def test_version_is_printed(command: str) -> None:
    """--version names program and version."""
    result = run(f"{command} --version", env=environment())
    assert (result.status, result.out.split()[0]) == (0, f"{command},")


def test_option_overrides_variable() -> None:
    """An option with the same words overrides the environment."""
    result = run("mailroom-collect --batch-limit x", env=environment(MAILROOM_BATCH_LIMIT="5"))
    assert "MAILROOM_BATCH_LIMIT / --batch-limit: 'x' is not allowed" in result.err


def test_secrets_come_from_files() -> None:
    """A trailing newline is not part of a secret. The log warns of a file that everybody can read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "key").write_text(KEY + "\n")
        (folder / "url").write_text("port=9 host=256.256.256.256 dbname=x user=y\n")
        (folder / "key").chmod(0o644)
        (folder / "url").chmod(0o644)
        env = environment(MAILROOM_SECRET_KEY_FILE="key", MAILROOM_DATABASE_URL_FILE="url")
        del env["MAILROOM_SECRET_KEY"]
        with running("mailroom-collect", env, folder) as collector:
            collector.says("trying again in")
            warned = collector.err
        (folder / "url").chmod(0o600)
        sender = run("mailroom-send", env=env, cwd=folder)
    for variable, file in (("DATABASE_URL", "url"), ("SECRET_KEY", "key")):
        assert f"MAILROOM_{variable}_FILE: every user of this machine can read {file}; chmod o-r" in warned
    assert "can read" not in sender.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "out"),
    [
        ("--action activation", "FIELD\n", 0, "420"),
        ("--action recovery --code 01234", "FIELD", 1, ""),
        ("--action password_recovery --code 01234", "FIELD", 1, ""),
        ("--action recovery", "FIELD", 2, ""),
        ("--action activation", "FIELDx", 1, ""),
        ("--action activation", "", 1, ""),
    ],
)
def test_verify_checks_a_token(arguments: str, stdin: str, status: int, out: str) -> None:
    """The token is read from stdin, never from the process list. The exit status is the result."""
    field = "Qg84W2nmW8ClkDGZBdoC7UXM0BakAhmlBmR4emc4JJji0aMHLqfdM07rn1sHN8tvGk9go-hsKJMwvtqdGm5Cjw"
    result = run(
        f"mailroom-collect verify {arguments}", env=environment(), stdin=stdin.replace("FIELD", field).encode()
    )
    assert (result.status, result.out[:3]) == (status, out)
    assert field not in result.err


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "one has 86 characters, and this has 0"),
        (b"Qg84W2n\n", "one has 86 characters, and this has 7"),
        (b"x" * 5000, "one has 86 characters, and this has 1000 or more"),
        (b"x" * 86, "its signature does not match"),
    ],
)
def test_verify_distinguishes_a_bad_field_from_a_bad_signature(stdin: bytes, message: str) -> None:
    """A cut or empty field is named as such."""
    result = run("mailroom-collect verify --action activation", env=environment(), stdin=stdin)
    assert result.status == 1
    assert message in result.err


@pytest.mark.parametrize("command", ["", "migrate", "verify", "status", "failed", "retry", "prune", "metrics"])
def test_help_is_readable(command: str) -> None:
    """No short help is cut at 80 columns, and ranges are written in words."""
    result = run(f"mailroom-collect {command} --help", env=environment(COLUMNS="80"))
    assert result.status == 0
    assert "..." not in result.out.partition("Commands:")[2].replace("[ARGS]...", "")
    assert "<=" not in result.out
    expected = {"": "1 to 86400000", "status": "1 to 86400", "failed": "1 to 1000000", "metrics": "0 to 65535"}
    assert expected.get(command, "") in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("command", "message"),
    [("mailroom-collect >&-", "stdout is closed; pipe it into"), ("mailroom-send <&-", "stdin is closed; pipe")],
)
def test_closed_descriptor_is_named(tmp_path: Path, command: str, message: str) -> None:
    """If the program's stdin or stdout is closed, it says so and changes nothing."""
    result = run(command, env=environment(MAILROOM_DATABASE_URL=URL, MAILROOM_DEBUG="true"), cwd=tmp_path)
    assert result.status == 2
    assert message in result.err


@pytest.mark.parametrize(
    "command",
    [
        "mailroom-collect",
        "mailroom-collect status",
        "mailroom-collect migrate",
        "mailroom-collect verify --action activation",
        "mailroom-send",
        "mailroom-send check",
        "mailroom-send templates push --dry-run",
    ],
)
def test_unknown_variable_is_warned_of(command: str, tmp_path: Path) -> None:
    """It warns once, with the nearest name and never with the value.

    A setting of the other program causes no warning.
    """
    env = environment(
        MAILROOM_DATABASE_URL=URL, MAILROOM_SES_SOURCE="a@b.example", MAILROOM_BATCH_LIMIT="5",
        MAILROOM_SECRET_KYE="hunter2", AWS_EC2_METADATA_DISABLED="true",
    )  # fmt: skip
    del env["MAILROOM_SECRET_KEY"]
    result = run(command, env=env, cwd=tmp_path)
    warned = [line for line in result.err.splitlines() if "is ignored" in line]
    assert [line[20:].partition("] ")[2] for line in warned] == [
        "the variable MAILROOM_SECRET_KYE is not a setting of mailroom and is ignored;"
        " the nearest setting is MAILROOM_SECRET_KEY"
    ]
    assert "hunter2" not in result.err
