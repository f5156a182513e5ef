"""Both programs in a shell pipeline, on a real database and a local SES."""

import base64
import json
import re
import signal
import threading
from dataclasses import replace

import pytest

from tests.conftest import Environment
from tests.support.postgres import Database, running_server
from tests.support.processes import KEY, Running, kill_program, run, running
from tests.support.ses_endpoint import Call, Endpoint, Reply, accepted, refused
from tests.support.waiting import until

# The trap keeps the shell alive until both programs have ended, and reports their exit status.
PIPELINE = "trap : TERM INT; set -o pipefail; mailroom-collect | mailroom-send"


def kill(program: str, pipeline: Running, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal one program of a pipeline, as the operating system would."""
    assert kill_program(program, pipeline.process.pid, number), f"no {program} in the pipeline"


def test_sign_up_is_mailed_and_its_outcome_recorded(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """A sign-up reaches SES once, and the ledger records its message id."""
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        (token,) = database.sign_up("ann")
        until(lambda: database.state(token) == "sent", "the token is sent")
        assert endpoint.addresses == ["ann@example.com"]
        assert database.one("SELECT message_id FROM deliveries") == "m-1"
        assert pipeline.stop() == 0
        answer = json.loads(pipeline.out)
    assert answer["destinations"][0]["message_id"] == "m-1"


def test_bulk_insert_flows_at_once_and_whole(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Ten thousand accounts of one INSERT are mailed once each, without waiting for the batch timer."""
    with running(PIPELINE, pipeline_env(MAILROOM_BATCH_TIMEOUT="200000")) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(10_000)
        until(lambda: database.states() == {"sent": 10_000}, "all are sent", 60)
        assert pipeline.stop() == 0
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 10_001))


def test_refused_row_comes_again_by_itself(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """A temporary failure releases the row. The collector prints it again when it is due, without a notification."""
    endpoint.replies.append(accepted([("TransientFailure", "try later")]))
    with running(PIPELINE, pipeline_env(MAILROOM_BATCH_TIMEOUT="200000", MAILROOM_BATCH_LIMIT="1")) as pipeline:
        pipeline.says("acknowledging")
        (token,) = database.sign_up("ann")
        until(lambda: database.state(token) == "sent", "the token is sent")
    assert endpoint.addresses == ["ann@example.com"]
    assert database.one("SELECT attempts FROM deliveries") == 2


def test_permanent_refusal_is_recorded_with_its_reason(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """The row fails in the ledger, with SES's words and without the secret."""
    endpoint.replies.append(accepted([("MessageRejected", "Email address is not verified: ann@example.com")]))
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        (token,) = database.sign_up("ann")
        until(lambda: database.state(token) == "failed", "the token is failed")
    assert (
        database.one("SELECT error FROM deliveries")
        == "MessageRejected: Email address is not verified: ann@example.com"
    )


def test_unfit_address_is_recorded_as_failed(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """An address that SES can't accept fails in the ledger. The other rows are mailed."""
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        jorg, ann = database.sign_up("jörg", "ann")
        until(lambda: (database.state(jorg), database.state(ann)) == ("failed", "sent"), "both are settled")
    assert endpoint.addresses == ["ann@example.com"]


def test_row_that_becomes_stale_in_the_pipe_is_not_mailed(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """begin is the last check, so an account that is suspended after printing gets no mail."""
    command = "mailroom-collect | (until [ -e go ]; do sleep 0.05; done; exec mailroom-send)"
    with running(command, pipeline_env()) as pipeline:
        ann, ben = database.sign_up("ann", "ben")
        until(lambda: database.states().get("pending", 0) == 0, "both are printed")
        database.run("UPDATE accounts SET status = 'suspended' WHERE login = 'ann'")
        (pipeline.folder / "go").touch()
        until(lambda: database.state(ben) == "sent", "ben is sent")
        assert database.state(ann) in ("skipped", "emitted")
    assert endpoint.addresses == ["ben@example.com"]


def test_killed_collector_loses_nothing(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """After kill -9 of a collector that holds rows, another pipeline sends all of them, each once.

    On a busy machine an answer of SES may come too late. Such a row may be mailed twice, and the ledger counts it.
    """
    endpoint.decide = lambda call: replace(accepted([("Success", "m")] * len(call.destinations)), delay=0.05)
    env = pipeline_env(MAILROOM_LEASE="2000", MAILROOM_SES_CONCURRENCY="1")
    with running(PIPELINE, env) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(3000)
        until(lambda: database.states().get("sent", 0) > 100, "some are sent")
        kill("mailroom-collect", pipeline)
        with running(PIPELINE, env):
            until(lambda: database.states() == {"sent": 3000}, "all are sent")
    assert set(endpoint.addresses) == {f"u{n}@example.com" for n in range(1, 3001)}
    assert len(endpoint.addresses) - 3000 <= database.one("SELECT sum(doubts) FROM deliveries")


def test_killed_sender_loses_nothing(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """After kill -9 of a sender, its collector releases what it can.

    Only rows of the call in progress may be doubled.
    """
    endpoint.decide = lambda call: replace(accepted([("Success", "m")] * len(call.destinations)), delay=0.05)
    env = pipeline_env(MAILROOM_LEASE="2000", MAILROOM_SES_CONCURRENCY="1")
    with running(PIPELINE, env) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(3000)
        until(lambda: database.states().get("sent", 0) > 100, "some are sent")
        kill("mailroom-send", pipeline)
        pipeline.says("released ")
        with running(PIPELINE, env):
            until(lambda: database.states() == {"sent": 3000}, "all are sent")
    assert set(endpoint.addresses) == {f"u{n}@example.com" for n in range(1, 3001)}
    doubled = len(endpoint.addresses) - 3000
    assert doubled <= database.one("SELECT sum(doubts) FROM deliveries") <= 50


def test_two_pipelines_share_one_database(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Two independent pipelines send every row once."""
    with running(PIPELINE, pipeline_env()) as one, running(PIPELINE, pipeline_env()) as two:
        one.says("acknowledging")
        two.says("acknowledging")
        for _ in range(3):
            database.run(
                "INSERT INTO accounts (email, login) SELECT n || '@example.com', n"
                " FROM generate_series((SELECT count(*) + 1 FROM accounts), (SELECT count(*) + 700 FROM accounts)) n"
            )
        until(lambda: database.states() == {"sent": 2100}, "all are sent")
    assert sorted(endpoint.addresses) == sorted(f"{n}@example.com" for n in range(1, 2101))


def test_ses_outage_loses_nothing(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """While SES can't be reached, rows wait in the ledger. Afterwards each is sent once."""
    endpoint.decide = lambda _: Reply(status=503)
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(20)
        # Not all rows: a row that was tried keeps its place, so the first ones are tried again before the others.
        until(lambda: len(endpoint.calls) >= 2, "calls were refused")
        endpoint.decide = lambda _: None
        until(lambda: database.states() == {"sent": 20}, "all are sent")
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 21))


@pytest.mark.first
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refused("AccountSendingPausedException", "paused"), "AccountSendingPausedException: paused"),
        (refused("Throttling", "Daily message quota exceeded."), "Throttling: Daily message quota exceeded."),
        (refused("InvalidClientTokenId", "no such key", 403), "InvalidClientTokenId: no such key"),
    ],
    ids=["paused", "quota", "credentials"],
)
def test_held_account_stops_all_calls_and_then_continues(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, reply: Reply, reason: str
) -> None:
    """Single calls probe, and the collector claims no more. Nearly all rows wait. Then each is sent once."""
    endpoint.decide = lambda _: reply
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(9000)
        pipeline.says(f"all calls wait, probing every 15 s: {reason}")
        until(lambda: "sending" not in database.states(), "the calls in progress are answered")
        assert database.states()["pending"] > 8500
        calls = len(endpoint.calls)
        assert calls <= 4  # the calls that were in progress
        endpoint.decide = lambda _: None
        pipeline.says(f"calls are made again; they waited for: {reason}")
        until(lambda: database.states() == {"sent": 9000}, "all are sent", 60)
        assert pipeline.err.count("calls wait") == 1
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 9001))


@pytest.mark.first
def test_missing_template_delays_only_its_action(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Recoveries are mailed while the template of activations is missing. Activations follow when it exists."""
    missing = refused("TemplateDoesNotExist", "activationv1")
    endpoint.decide = lambda call: missing if call.template == "activationv1" else None
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        (activation,) = database.sign_up("ann")
        pipeline.says("calls for activation wait")
        database.sign_up("ben")
        recovery = database.recovery("ben")
        until(lambda: database.state(recovery) == "sent", "the recovery is sent")
        assert database.state(activation) != "sent"
        endpoint.decide = lambda _: None
        until(lambda: database.state(activation) == "sent", "the activation is sent", 60)


def test_sender_waits_during_a_database_outage(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Both programs replace the sessions that the server ended, and no mail is doubled."""
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(500)
        database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'mailroom-%%'"
        )
        until(lambda: database.states() == {"sent": 500}, "all are sent")
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 501))


@pytest.mark.first
def test_restarted_database_loses_nothing(endpoint: Endpoint, sender_env: Environment) -> None:
    """The server is restarted twice during the work. All rows are sent, and any doubled mail is a doubt."""
    with running_server() as server:
        database = Database(server, server.new_database())
        env = sender_env(MAILROOM_DATABASE_URL=database.url, MAILROOM_BATCH_TIMEOUT="50", MAILROOM_LEASE="2000")
        with running(PIPELINE, env) as pipeline:
            pipeline.says("acknowledging")
            database.sign_up_many(3000)
            for mails in (300, 1500):
                until(lambda mails=mails: len(endpoint.mailed) > mails, "some are mailed")  # type: ignore[misc]
                server.restart()
            database.reconnect()
            until(lambda: database.states() == {"sent": 3000}, "all are sent", 60)
        doubts = database.one("SELECT sum(doubts) FROM deliveries")
        database.close()
        assert set(endpoint.addresses) == {f"u{n}@example.com" for n in range(1, 3001)}
        assert len(endpoint.addresses) - 3000 <= doubts


def test_copy_of_a_row_in_progress_is_not_sent(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """A line that is read again while its first copy is being sent by the same sender is not sent."""
    (token,) = database.sign_up("ann")
    endpoint.decide = lambda call: replace(accepted([("Success", "m")] * len(call.destinations)), delay=2.0)
    feed = "(cat line; until [ -e go ]; do sleep 0.02; done; cat line; until [ -e end ]; do sleep 0.02; done)"
    with running(f"mailroom-collect | head -1 > line; {feed} | mailroom-send", pipeline_env()) as sender:
        until(lambda: endpoint.calls, "the first copy is being sent")
        (sender.folder / "go").touch()
        sender.says(f"token {token} is not sent: another call has begun it")
        until(lambda: database.state(token) == "sent", "the first copy is sent")
        (sender.folder / "end").touch()
        assert sender.wait() == 0
    assert endpoint.addresses == ["ann@example.com"]


def test_mail_goes_to_the_current_address(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """An address changes while its row is in the pipe: the row is released, printed again and sent."""
    (token,) = database.sign_up("ann")
    feed = "(cat line; until [ -e end ]; do sleep 0.02; done)"
    collect = "mailroom-collect | head -1 > line; until [ -e go ]; do sleep 0.02; done"
    with running(f"{collect}; {feed} | mailroom-send", pipeline_env(MAILROOM_LEASE="60000")) as sender:
        until(lambda: database.state(token) in ("claimed", "emitted"), "the row is printed")
        until((sender.folder / "line").stat, "it is in the file")
        database.run("UPDATE accounts SET email = 'new@example.com'")
        (sender.folder / "go").touch()
        sender.says(f"token {token} is not sent: its account has another address now")
        assert database.run("SELECT state::text, attempts, doubts FROM deliveries") == [("pending", 0, 0)]
        (sender.folder / "end").touch()
        assert sender.wait() == 0
    with running(PIPELINE, pipeline_env()):
        until(lambda: database.state(token) == "sent", "it is sent")
    assert endpoint.addresses == ["new@example.com"]


def test_many_stale_rows_are_a_few_log_lines(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """The sender names some of them and counts the rest, with the reason."""
    database.sign_up_many(300)
    env = pipeline_env(MAILROOM_BATCH_LIMIT="50", MAILROOM_LEASE="60000")
    with running(
        "mailroom-collect | head -6 > lines; until [ -e go ]; do sleep 0.02; done; mailroom-send < lines", env
    ) as pipeline:
        until(lambda: database.states() == {"emitted": 300}, "all are printed")
        database.run("SELECT mailroom_acknowledge('mailroom')")  # so they wait again
        database.run("UPDATE tokens SET expires_at = 1")
        (pipeline.folder / "go").touch()
        assert pipeline.wait() == 0
        said = pipeline.err
    named = re.findall(r"token \d+ is not sent: the token expired", said)
    counts = [int(number) for number in re.findall(r"(\d+) more tokens? not sent, .*: the token expired", said)]
    assert (len(named), sum(counts)) == (5, 295)
    assert endpoint.calls == []


def test_paused_pipeline_sends_nothing_and_loses_nothing(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Both programs log the pause once and its end once. Each mail is sent once."""
    paused = threading.Event()  # until then SES does not answer, so some mails are not sent

    def decide(_: Call) -> None:
        paused.wait(10)

    endpoint.decide = decide
    env = pipeline_env(MAILROOM_SES_CONCURRENCY="1", MAILROOM_LEASE="60000")
    with running(PIPELINE, env) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(300)
        until(lambda: endpoint.calls, "a call is made")
        assert run("mailroom-collect pause", env=env).status == 0
        paused.set()
        pipeline.says("[PG] the queue mailroom is paused since")
        pipeline.says("[SES] the queue mailroom is paused")
        until(lambda: set(database.states()) <= {"pending", "sent"}, "what is not sent is back")
        sent = len(endpoint.addresses)
        assert sent < 300
        assert database.states() == {"pending": 300 - sent, "sent": sent}
        check = run("mailroom-collect status --check --max-age 60", env=env)
        assert (check.status, check.out.startswith("the queue is paused since ")) == (1, True)
        assert len(endpoint.addresses) == sent
        assert run("mailroom-collect resume", env=env).status == 0
        until(lambda: database.states() == {"sent": 300}, "all are sent")
        pipeline.says("[PG] the queue mailroom is not paused any more")
        pipeline.says("[SES] the queue mailroom is not paused any more")
        assert pipeline.err.count(" is paused") == 2 + pipeline.err.count(": the queue is paused")
    assert len(endpoint.addresses) == len(set(endpoint.addresses)) == 300
    assert database.run("SELECT sum(doubts)::integer, max(attempts) FROM deliveries") == [(0, 1)]


def test_stopped_sender_releases_the_rows_it_did_not_begin(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """After SIGTERM to the sender, calls in progress finish and all other rows are due again at once."""
    endpoint.decide = lambda call: replace(accepted([("Success", "m")] * len(call.destinations)), delay=0.5)
    with running(PIPELINE, pipeline_env(MAILROOM_SES_CONCURRENCY="1")) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(1000)
        until(lambda: endpoint.calls, "a call is begun")
        kill("mailroom-send", pipeline, signal.SIGTERM)
        assert pipeline.wait() == 1
        assert "the reader of stdout went away" in pipeline.err
    sent = len(endpoint.addresses)
    assert database.states() == {"sent": sent, "pending": 1000 - sent}
    assert database.one("SELECT max(due_at) <= now() FROM deliveries WHERE state = 'pending'")


def test_transaction_that_deletes_an_account_delays_only_its_mail(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """It stays open for long, between the claim of that token and its begin."""
    with running(PIPELINE, pipeline_env(MAILROOM_LEASE="2000")) as pipeline, database.connect() as application:
        pipeline.says("acknowledging")
        kill("mailroom-send", pipeline, signal.SIGSTOP)
        (bad,) = database.sign_up("bad")
        until(lambda: database.state(bad) == "claimed", "the row is claimed")
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'bad'")
        kill("mailroom-send", pipeline, signal.SIGCONT)
        pipeline.says("locked by another transaction")
        database.sign_up("good")
        until(lambda: endpoint.addresses == ["good@example.com"], "the other one is mailed")
        application.execute("ROLLBACK")
        until(lambda: endpoint.addresses == ["good@example.com", "bad@example.com"], "and then this one")


def test_debug_acknowledges_nothing(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """A sender in debug mode prints the rows, which become emitted.

    The first real sender takes over those that may still be mailed.
    """
    with running(PIPELINE, pipeline_env(MAILROOM_DEBUG="true")) as preview:
        (token,) = database.sign_up("ann")
        preview.prints("ann@example.com")
        until(lambda: database.state(token) == "emitted", "the row is emitted")
        preview.stop()
    assert endpoint.calls == []
    with running(PIPELINE, pipeline_env()):
        until(lambda: database.state(token) == "sent", "the row is sent")


def test_output_and_ledger_show_no_secret(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """No key, secret or code is on stderr, on stdout or in the ledger's text columns."""
    endpoint.replies.append(refused("InvalidTemplateData", "placeholder"))
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        (token,) = database.sign_up("ann")
        endpoint.decide = lambda call: refused("MessageRejected", " " * 200 + f"bad: {call.destinations}")
        until(lambda: database.state(token) == "failed", "the row is failed")
        output = pipeline.out + pipeline.err + database.one("SELECT error FROM deliveries")
    secret, code = database.run("SELECT secret, code FROM tokens")[0]
    start = base64.urlsafe_b64encode(secret).decode()[:20]
    assert all(word not in output for word in (KEY, start, secret.hex(), code))


def test_reader_that_acknowledges_no_row_is_logged(database: Database, collector_env: Environment) -> None:
    """In an acknowledged queue, rows that a reader takes and no sender begins stay leased, and the log says so."""
    database.run("SELECT mailroom_acknowledge('mailroom')")
    (token,) = database.sign_up("ann")
    with running("mailroom-collect | cat", collector_env(MAILROOM_LEASE="1000")) as collector:
        collector.prints("ann@example.com")
        collector.says("1 row was read, and no sender has begun it yet")
        assert database.state(token) == "claimed"
        assert collector.out.count("\n") == 1


def test_rows_of_a_sender_that_stands_still_go_through_another_pipeline(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Its collector lives, and extends leases for two thirds of a lease only. Later the sender mails no row twice."""
    env = pipeline_env(MAILROOM_LEASE="1500")
    with running(PIPELINE, env) as slow:
        slow.says("acknowledging")
        first = database.sign_up("ann", "ben", "cid")
        until(lambda: {database.state(token) for token in first} == {"sent"}, "the pipeline works")
        kill("mailroom-send", slow, signal.SIGSTOP)
        (dan,) = database.sign_up("dan")
        until(lambda: database.state(dan) == "claimed", "dan is claimed")
        until(lambda: database.state(dan) == "pending", "dan is released")
        with running(PIPELINE, env):
            until(lambda: database.state(dan) == "sent", "the other pipeline has sent it")
        kill("mailroom-send", slow, signal.SIGCONT)
        (eve,) = database.sign_up("eve")
        until(lambda: database.state(eve) == "sent", "the first pipeline works again")
        assert slow.stop() == 0
    assert sorted(endpoint.addresses) == [f"{login}@example.com" for login in ("ann", "ben", "cid", "dan", "eve")]


def test_sender_stopped_for_longer_than_a_lease_mails_no_row_twice(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """It has old lines in its pipe and asks the ledger before it sends. Another sender has sent them by then."""
    env = pipeline_env(MAILROOM_LEASE="1000")
    with running(PIPELINE, env) as slow:
        slow.says("acknowledging")
        (token,) = database.sign_up("ann")
        until(lambda: database.state(token) == "sent", "the pipeline works")
        kill("mailroom-send", slow, signal.SIGSTOP)
        (cid,) = database.sign_up("cid")
        with running(PIPELINE, env):
            until(lambda: database.state(cid) in ("claimed", "sent"), "cid is claimed")
            kill("mailroom-collect", slow, signal.SIGKILL)
            until(lambda: database.state(cid) == "sent", "the other pipeline has sent it")
        kill("mailroom-send", slow, signal.SIGCONT)
        assert slow.wait() != 0
    assert sorted(endpoint.addresses) == ["ann@example.com", "cid@example.com"]
