"""mailroom-collect as a process: from the database to its stdout, and each way in which it ends."""

import array
import fcntl
import io
import itertools
import json
import os
import re
import signal
import termios
import time
from pathlib import Path

import pytest

from mailroom_collector import Action, verify_token
from mailroom_collector.schema.migrator import Migrator
from mailroom_runtime.postgres.connection import connect
from tests.conftest import Environment
from tests.support.ledger import Steps
from tests.support.postgres import Database, Server
from tests.support.processes import KEY, program_of, run, running
from tests.support.ptys import open_pty
from tests.support.waiting import until

COLLECT = "exec mailroom-collect"
FULL_PIPE = (1 << 16) - 4096  # bytes: less than a write does not fit


def test_sign_up_is_printed_and_verifies(database: Database, collector_env: Environment) -> None:
    """A sign-up is printed as action, email, login, 86 characters and code; the signature verifies."""
    with running(COLLECT, collector_env()) as collector:
        collector.says("listening")
        database.sign_up("ann")
        collector.prints("\n")
        line = collector.out
        assert collector.stop() == 0
        assert "terminal" not in collector.err
    match = re.fullmatch(r"1,ann@example\.com,ann,([A-Za-z0-9_-]{86}),([0-9]{5})\n", line)
    assert match
    secret = verify_token(match[1], action=Action.ACTIVATION, key=bytes.fromhex(KEY))
    assert database.run("SELECT secret, code FROM tokens") == [(secret, match[2])]


def test_terminal_warns_that_printed_rows_are_not_mailed(database: Database, collector_env: Environment) -> None:
    """Before a row is claimed, the log says that nobody mails it, and how to see waiting rows without a claim."""
    database.sign_up("ann")
    ours, theirs = open_pty()
    try:
        command = f"{COLLECT} >{os.ttyname(theirs)}"
        with running(command, collector_env(MAILROOM_LOG_FORMAT="json")) as collector:
            until(lambda: database.states() == {"emitted": 1}, "the row is printed")
            assert collector.stop() == 0
            first = json.loads(collector.err.splitlines()[0])
    finally:
        os.close(theirs)
        os.close(ours)
    assert first["level"] == "warning"
    assert first["message"].startswith("stdout is a terminal: rows are claimed and printed here, with valid links, and")
    assert "'mailroom-collect status' shows what waits and claims nothing" in first["message"]


def test_recovery_is_signed_with_its_code(database: Database, collector_env: Environment) -> None:
    """A recovery's signature covers its code."""
    database.sign_up("ann")
    database.recovery("ann")
    with running(COLLECT, collector_env()) as collector:
        collector.prints("2,ann@example.com,ann,")
        collector.prints("\n")
        _, _, _, field, code = collector.out.strip().split(",")
    assert verify_token(field, action=Action.PASSWORD_RECOVERY, key=bytes.fromhex(KEY), code=code)


def test_waiting_rows_are_printed_at_the_start(database: Database, collector_env: Environment) -> None:
    """Tokens that were committed while no collector ran are printed."""
    database.sign_up("ann", "ben")
    with running(COLLECT, collector_env(MAILROOM_BATCH_TIMEOUT="200000")) as collector:
        collector.prints("ben@example.com")


def test_batch_ends_after_its_timeout(database: Database, collector_env: Environment) -> None:
    """Fewer rows than the limit are printed in one line after the batch timeout."""
    database.sign_up("first")
    with running(COLLECT, collector_env(MAILROOM_BATCH_TIMEOUT="1500")) as collector:
        collector.prints("first@example.com")  # at the start all waiting rows are claimed at once
        database.sign_up("ann")
        database.sign_up("ben")
        assert collector.out.count("\n") == 1
        collector.prints("ben@example.com")
        assert [line.count("@") for line in collector.out.splitlines()] == [1, 2]


def test_urgent_row_ends_the_wait_with_what_else_waits(database: Database, collector_env: Environment) -> None:
    """A person at a screen waits for no batch. A row of another action waits, until an urgent one takes it along."""
    database.run("UPDATE mailroom_actions SET urgent = true WHERE name = 'password_recovery'")
    database.sign_up("first")
    with running(COLLECT, collector_env(MAILROOM_BATCH_TIMEOUT="200000")) as collector:
        collector.prints("first@example.com")  # at the start all waiting rows are claimed at once
        database.sign_up("ann")
        database.run("UPDATE accounts SET status = 'active' WHERE login = 'first'")
        assert collector.out.count("\n") == 1
        database.recovery("first")
        collector.prints("ann@example.com")
        assert [line.count("@") for line in collector.out.splitlines()] == [1, 2]


def test_full_batch_ends_at_once(database: Database, collector_env: Environment) -> None:
    """The limit's number of waiting rows ends the wait early, even if PostgreSQL merged their notifications."""
    database.sign_up("first")
    env = collector_env(MAILROOM_BATCH_TIMEOUT="200000", MAILROOM_BATCH_LIMIT="3")
    with running(COLLECT, env) as collector:
        collector.prints("first@example.com")  # at the start all waiting rows are claimed at once
        database.sign_up("ann", "ben", "cid")
        collector.prints("cid@example.com")
        assert [line.count("@") for line in collector.out.splitlines()] == [1, 3]


def test_backlog_is_printed_in_lines_of_at_most_the_limit(database: Database, collector_env: Environment) -> None:
    """A thousand accounts of one INSERT are printed at once, in order, in full lines."""
    with running(COLLECT, collector_env(MAILROOM_BATCH_TIMEOUT="200000")) as collector:
        collector.says("listening")
        database.sign_up_many(1005)
        collector.prints("@example.com", 1005)
        collector.stop()
        lines = collector.out.splitlines()
    assert [line.count("@") for line in lines] == [10] * 100 + [5]
    assert re.findall(r"u(\d+)@", "".join(lines)) == [str(n) for n in range(1, 1006)]
    until(lambda: database.states() == {"emitted": 1005}, "all are emitted")


def test_odd_logins_are_quoted_or_rejected(database: Database, collector_env: Environment) -> None:
    """A comma and a quote are quoted.

    A login with a control character fails with a reason. The other rows are printed.
    """
    database.sign_up('com,ma "q"', "new\nline", "short", "plain")
    database.run("INSERT INTO accounts (email, login) VALUES ('nobody@example.com', '')")
    database.run("UPDATE tokens SET secret = 'x' WHERE account = (SELECT id FROM accounts WHERE login = 'short')")
    with running(COLLECT, collector_env()) as collector:
        collector.prints("plain@example.com")
        assert ',"com,ma ""q""",' in collector.out
        assert "line" not in collector.out
    assert sorted(database.run("SELECT state::text, error FROM deliveries WHERE state = 'failed'")) == [
        ("failed", "its email holds a control character"),
        ("failed", "its login is empty"),
        ("failed", "its secret is 1 byte, not 32"),
    ]


def test_stale_account_is_not_printed(database: Database, collector_env: Environment) -> None:
    """An account that was suspended before its claim is skipped. The log says so without its name."""
    database.sign_up("ann", "ben")
    database.run("UPDATE accounts SET status = 'suspended' WHERE login = 'ann'")
    with running(COLLECT, collector_env()) as collector:
        collector.prints("ben")
        collector.says("token 1 is not mailed: the account is suspended")
        assert "ann" not in collector.out + collector.err


def test_overlapping_transactions_are_both_printed(database: Database, collector_env: Environment) -> None:
    """A lower id that commits after a higher one is not lost."""
    with running(COLLECT, collector_env()) as collector, database.connect() as slow:
        collector.says("listening")
        with slow.transaction():
            slow.execute("INSERT INTO accounts (email, login) VALUES ('slow@example.com', 'slow')")
            database.sign_up("fast")
            collector.prints("fast@example.com")
        collector.prints("slow@example.com")


def test_lapsed_lease_and_due_retry_need_no_notification(database: Database, collector_env: Environment) -> None:
    """Rows of an expired lease and rows to be retried are claimed without a notification."""
    tokens = database.sign_up("ann", "ben")
    database.run(
        "UPDATE deliveries SET state = 'claimed', holder = 'dead', due_at = now() + interval '700 ms'"
        " WHERE token = %s", tokens[0],
    )  # fmt: skip
    database.run("UPDATE deliveries SET due_at = now() + interval '1200 ms' WHERE token = %s", tokens[1])
    with running(COLLECT, collector_env(MAILROOM_BATCH_TIMEOUT="200000")) as collector:
        collector.prints("ann@example.com")
        collector.prints("ben@example.com")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_an_idle_collector_with_0(collector_env: Environment, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it at once."""
    with running(COLLECT, collector_env()) as collector:
        collector.says("listening")
        collector.signal(number)
        assert collector.wait() == 0


def test_signal_finishes_the_line_and_releases_the_rest(database: Database, collector_env: Environment) -> None:
    """With a full pipe, SIGTERM waits until the reader takes the line. Lines without a written byte are released."""
    database.sign_up_many(3000)
    with running("mkfifo pipe; exec mailroom-collect > pipe", collector_env(MAILROOM_BATCH_LIMIT="100")) as collector:
        until((collector.folder / "pipe").exists, "the pipe is there")
        with (collector.folder / "pipe").open("rb", buffering=0) as reader:
            printed = b""
            while len(printed) < 100_000:  # so fast that the collector expects it to go on
                printed += reader.read(4096)
            until(lambda: _bytes_in_pipe(reader) > FULL_PIPE, "the pipe is full")
            collector.signal(signal.SIGTERM)
            collector.says("finishing the line")
            printed += reader.readall()
        assert collector.wait() == 0
    assert printed.endswith(b"\n")
    assert database.states() == {"emitted": printed.count(b"@"), "pending": 3000 - printed.count(b"@")}


def _bytes_in_pipe(reader: io.FileIO) -> int:
    unread = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, unread)
    return unread[0]


def test_reader_that_reads_one_line_leaves_the_rest(database: Database, collector_env: Environment) -> None:
    """`mailroom-collect | head -1` ends by itself. The next collector prints the lines that head did not read."""
    database.sign_up_many(5000)
    head = run("mailroom-collect | head -1; exit ${PIPESTATUS[0]}", env=collector_env())
    assert head.status == 1
    assert head.out.count("@") == 10
    taken = database.states()["emitted"]
    assert database.states() == {"emitted": taken, "pending": 5000 - taken}
    with running(COLLECT, collector_env()) as collector:
        collector.prints("@example.com", 5000 - taken)


def test_reader_that_goes_away_is_noticed_while_idle(database: Database, collector_env: Environment) -> None:
    """An idle collector notices that its reader is gone, and ends with 1."""
    with running("mailroom-collect | until [ -e go ]; do sleep 0.05; done; exit ${PIPESTATUS[0]}",
                 collector_env()) as collector:  # fmt: skip
        collector.says("listening")
        (collector.folder / "go").touch()
        assert collector.wait() == 1
        assert "the reader of stdout went away" in collector.err
    assert database.states() == {}


def test_full_disk_releases_the_rows(database: Database, collector_env: Environment) -> None:
    """When stdout can't be written, the collector says why, releases its rows and ends with 1."""
    database.sign_up("ann")
    result = run("mailroom-collect > /dev/full", env=collector_env())
    assert result.status == 1
    assert "stdout can't be written: No space left on device" in result.err
    assert database.states() == {"pending": 1}


def test_lost_connection_is_made_again(database: Database, collector_env: Environment) -> None:
    """A connection that the server ended is made again, and rows that arrived meanwhile are printed."""
    with running(COLLECT, collector_env()) as collector:
        collector.says("listening")
        database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'mailroom-collect'"
        )
        database.sign_up("ann")
        collector.says("trying again in")
        collector.says("listening", 2)
        collector.prints("ann@example.com")


def test_unavailable_database_is_waited_for(collector_env: Environment) -> None:
    """The collector tries for ever to connect to a server that refuses connections, and says so."""
    with running(COLLECT, collector_env(MAILROOM_DATABASE_URL="host=127.0.0.1 port=9")) as collector:
        collector.says("trying again in", 3)
        assert collector.stop() == 0


def test_idle_collector_polls_after_the_health_check_interval(database: Database, collector_env: Environment) -> None:
    """It does so without a notification."""
    database.sign_up("first", "ann")
    database.run("UPDATE deliveries SET due_at = now() + interval '1 day' WHERE token = 2")
    with running(COLLECT, collector_env(MAILROOM_HEALTHCHECK_INTERVAL="300")) as collector:
        collector.prints("first@example.com")
        database.run("UPDATE deliveries SET due_at = now() WHERE token = 2")  # no notification is sent
        collector.prints("ann@example.com")


def test_other_channel_is_used_beside_the_ledgers(database: Database, collector_env: Environment) -> None:
    """A sign-up notifies token_insert and is printed at once, and so is a row announced on the other channel."""
    env = collector_env(MAILROOM_CHANNEL_NAME="other", MAILROOM_BATCH_LIMIT="1", MAILROOM_LEASE="60000")
    with running(COLLECT, env) as collector:
        collector.says("listening on other and token_insert")
        began = time.monotonic()
        database.sign_up("ann")
        collector.prints("ann@example.com")
        database.run("UPDATE tokens SET expires_at = 1; DELETE FROM deliveries")
        database.sign_up("ben")
        collector.prints("ben@example.com")
        database.run("UPDATE deliveries SET state = 'pending', settled_at = NULL, due_at = now(); NOTIFY other")
        collector.prints("ben@example.com", 2)
        assert time.monotonic() - began < 20  # a regular poll comes after a minute
        assert "do not arrive" not in collector.err


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("lock", ["pg_advisory_lock", "pg_advisory_lock_shared"])
def test_strangers_lock_holds_no_mail_up(
    database: Database, collector_env: Environment, lock: str, number: int
) -> None:
    """Any role may take the locks that make inserts skip NOTIFY. Mail then waits for a second or two."""
    env = collector_env(MAILROOM_BATCH_LIMIT="1", MAILROOM_LEASE="60000")
    with database.connect() as stranger, running(COLLECT, env) as collector:
        collector.says("listening")
        stranger.execute(f"SELECT {lock}(1835100524, {number})".encode())
        for login in ("ann", "ben"):
            began = time.monotonic()
            database.sign_up(login)
            collector.prints(f"{login}@example.com")
            assert time.monotonic() - began < 10  # a regular poll comes after a minute


def test_paused_queue_prints_nothing_until_it_is_resumed(database: Database, collector_env: Environment) -> None:
    """Rows that were printed and not begun are released.

    A collector that starts meanwhile says so. Resume takes effect at once.
    """
    Steps(database.connection).acknowledge()
    env = collector_env(MAILROOM_LEASE="60000")
    with running(COLLECT, env) as collector:
        collector.says("listening")
        database.sign_up("ann")
        collector.prints("ann@example.com")
        paused = run("mailroom-collect pause --reason 'a copy of production'", env=env)
        assert (paused.status, paused.out.startswith("queue mailroom is paused since ")) == (0, True)
        collector.says("UTC (a copy of production): nothing more is printed")
        until(lambda: database.states() == {"pending": 1}, "it goes back")
        database.sign_up("ben")
        with running(COLLECT, env) as another:
            another.says("the queue mailroom is paused since")
            assert another.stop() == 0
            assert another.out == ""
        assert "ben" not in collector.out
        resumed = run("mailroom-collect resume", env=env)
        assert (resumed.status, resumed.out.startswith("queue mailroom is resumed; it was paused since ")) == (0, True)
        collector.prints("ben@example.com")
        collector.prints("ann@example.com", 2)
        collector.says("the queue mailroom is not paused any more")
        assert collector.err.count("is paused since") == 1


def test_many_stale_tokens_are_a_few_lines(database: Database, collector_env: Environment) -> None:
    """The log names some of them, and counts the rest with the reason."""
    database.sign_up_many(3000)
    database.run("UPDATE tokens SET expires_at = 1 WHERE id > 10")
    database.run("UPDATE tokens SET consumed_at = 1 WHERE id <= 10")
    with running(COLLECT, collector_env()) as collector:
        until(lambda: database.states() == {"skipped": 3000}, "all are skipped")
        assert collector.stop() == 0
        said = collector.err
    named = re.findall(r"token \d+ is not mailed", said)
    counted = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) more tokens? not mailed", said)]
    assert len(named) == 10
    assert 2 <= len(counted) <= 6
    assert len(named) + sum(counted) == 3000


def test_hidden_rows_end_the_collector_with_advice(server: Server, collector_env: Environment) -> None:
    """Under FORCE ROW LEVEL SECURITY no mail is skipped: it waits, and the operator learns what to do."""
    database = Database(server, server.new_database(template="template1"))
    database.run("CREATE ROLE rls_owner; GRANT CREATE, USAGE ON SCHEMA public TO rls_owner")
    try:
        with database.connect() as owner:
            owner.execute("SET ROLE rls_owner")
            Migrator(owner).run(None)
        database.run("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; ALTER TABLE accounts FORCE ROW LEVEL SECURITY")
        database.sign_up("ann")
        result = run(COLLECT, env=collector_env(MAILROOM_DATABASE_URL=database.url))
        assert result.status == 2
        assert "row-level security hides rows" in result.err
        assert "ALTER ROLE ... BYPASSRLS" in result.err
        assert database.states() == {"pending": 1}
    finally:
        database.run("REASSIGN OWNED BY rls_owner TO postgres; DROP OWNED BY rls_owner; DROP ROLE rls_owner")
        database.close()


@pytest.fixture
def locked_out(server: Server) -> str:
    """A role that must give a password."""
    with server.connect("postgres") as admin:
        if not admin.execute("SELECT FROM pg_roles WHERE rolname = 'locked_out'").fetchall():
            admin.execute("CREATE ROLE locked_out LOGIN PASSWORD 'right'")
            server.require_password("locked_out")
    return "locked_out"


def test_wrong_password_needs_an_operator(database: Database, collector_env: Environment, locked_out: str) -> None:
    """The message names the password setting and never shows it. The exit status is 2."""
    url = database.url.replace("postgres:@", f"{locked_out}:wr0ng@")
    until(lambda: "password" in run(COLLECT, env=collector_env(MAILROOM_DATABASE_URL=url)).err, "the server reloads")
    result = run(COLLECT, env=collector_env(MAILROOM_DATABASE_URL=url))
    assert result.status == 2
    assert 'password authentication failed for user "locked_out"' in result.err
    assert "correct the password in MAILROOM_DATABASE_URL" in result.err
    assert "wr0ng" not in result.err


def test_role_without_rights_needs_an_operator(database: Database, collector_env: Environment, locked_out: str) -> None:
    """The message says what to grant. The exit status is 2."""
    database.sign_up("ann")
    url = database.url.replace("postgres:@", f"{locked_out}:right@")
    until(lambda: "denied" in run(COLLECT, env=collector_env(MAILROOM_DATABASE_URL=url)).err, "the server reloads")
    result = run(COLLECT, env=collector_env(MAILROOM_DATABASE_URL=url))
    assert result.status == 2
    assert re.search(r"permission denied for function mailroom_\w+; grant it", result.err)


def test_missing_database_needs_an_operator(database: Database, collector_env: Environment) -> None:
    """The message names the database. The exit status is 2."""
    url = database.url.replace(f"/{database.name}?", "/nowhere?")
    result = run(COLLECT, env=collector_env(MAILROOM_DATABASE_URL=url))
    assert (result.status, 'database "nowhere" does not exist; create it' in result.err) == (2, True)


@pytest.mark.parametrize(
    ("version", "what"), [("-1", "has no mailroom schema"), ("0", "is outdated"), ("1", "is outdated")]
)
def test_old_schema_needs_an_operator(collector_env: Environment, version: str, what: str) -> None:
    """A missing and an outdated schema have different messages, with the command that helps. The exit status is 2."""
    run(f"mailroom-collect migrate --to {version} --yes", env=collector_env())
    result = run(COLLECT, env=collector_env())
    assert result.status == 2
    assert what in result.err
    assert "run 'mailroom-collect migrate'" in result.err


def test_invalid_text_harms_only_its_row(server: Server, collector_env: Environment) -> None:
    """A database without an encoding may hold any bytes. A row that is not UTF-8 is rejected."""
    with server.connect("postgres") as admin:
        admin.execute("CREATE DATABASE mailroom_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    database = Database(server, "mailroom_ascii")
    try:
        with connect(database.url, "test") as connection:
            Migrator(connection).run(None)
        database.run("INSERT INTO accounts (email, login) VALUES ('a@b.c', E'l\\351on'), ('d@e.f', E'l\\303\\251on')")
        with running("mailroom-collect", collector_env(MAILROOM_DATABASE_URL=database.url)) as collector:
            collector.says("its login is not UTF-8")
            collector.prints("d@e.f,léon")
            assert "a@b.c" not in collector.out
            with server.connect("mailroom_ascii") as anybody:
                anybody.execute(b"NOTIFY token_insert, '\xff'")
            database.run("INSERT INTO accounts (email, login) VALUES ('later@e.f', 'later')")
            collector.prints("later@e.f")
    finally:
        database.close()


def test_unknown_queue_needs_an_operator(collector_env: Environment) -> None:
    """The message names the queue and the queues that exist."""
    result = run(COLLECT, env=collector_env(MAILROOM_QUEUE_NAME="mialroom"))
    assert result.status == 2
    assert 'there is no queue "mialroom" in this database; set MAILROOM_QUEUE_NAME to one of: mailroom' in result.err


def test_fast_sign_ups_skip_notify_and_are_printed_all_the_same(database: Database, collector_env: Environment) -> None:
    """Many notifications start fast polling. Inserts skip NOTIFY and are printed. Later, inserts notify again."""
    steps = Steps(database.connection)
    with running(COLLECT, collector_env(MAILROOM_BATCH_LIMIT="1")) as collector:
        collector.says("listening")
        logins = itertools.count(1)

        def sign_up_until_polled_fast() -> bool:
            for _ in range(50):
                database.sign_up(f"fast{next(logins)}")
            return steps.another_polls_fast()

        until(sign_up_until_polled_fast, "the collector polls fast")
        until(lambda: not steps.another_polls_fast(), "it stops when nothing comes")
        database.sign_up("slow")
        collector.prints("slow@example.com")
        collector.prints("fast", 2 * (next(logins) - 1))  # in the address and as the login
        assert len(set(collector.out.splitlines())) == len(collector.out.splitlines())


def test_sign_ups_that_skipped_notify_are_printed_when_their_collector_dies(
    database: Database, collector_env: Environment
) -> None:
    """When the collector that polls fast is killed, another collector prints them within seconds."""
    with running(COLLECT, collector_env(MAILROOM_LEASE="3000")) as other:
        other.says("listening")
        with database.connect() as session, database.connect() as application:
            assert Steps(session).start_fast_polling()
            application.execute("INSERT INTO accounts (email, login) VALUES ('s@example.com', 'quiet')")
            other.prints("s@example.com")  # it polls every second without a notification
            application.autocommit = False
            application.execute("INSERT INTO accounts (email, login) VALUES ('l@example.com', 'late')")
            session.close()
            application.commit()
        other.prints("l@example.com")


def test_notification_during_a_statement_is_seen(database: Database, collector_env: Environment) -> None:
    """A row that is committed while the collector waits for another answer is printed right after that answer."""
    database.run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE UPDATE ON deliveries FOR EACH ROW WHEN (NEW.state = 'emitted')"
        " EXECUTE FUNCTION slow()"
    )
    emitting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with running(COLLECT, collector_env(MAILROOM_BATCH_LIMIT="1", MAILROOM_LEASE="120000")) as collector:
        collector.says("listening")
        database.sign_up("ann")
        until(lambda: database.one(emitting) == 1, "the collector emits")
        database.sign_up("ben")
        collector.prints("ben@example.com")


def test_regular_poll_is_one_poll(database: Database, collector_env: Environment) -> None:
    """A poll without waiting rows runs one or two statements, and no endless claims."""
    database.sign_up("ann")
    with running("mailroom-collect | cat", collector_env(MAILROOM_HEALTHCHECK_INTERVAL="300")) as collector:
        collector.prints("ann@example.com")
        until(lambda: database.states() == {"emitted": 1}, "it is emitted")
        pid = program_of("mailroom-collect", collector.process.pid)
        assert pid is not None
        before, began = switches(pid), time.monotonic()
        until(lambda: switches(pid) >= before + 20, "some checks are over")
        assert time.monotonic() - began > 0.3  # an endless loop waits a thousand times a second


def switches(pid: int) -> int:
    """Return how often a process has waited so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)[0])
