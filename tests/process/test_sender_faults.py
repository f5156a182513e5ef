"""mailroom-send without a database when SES refuses: the cause decides which rows wait and which fail."""

import json
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.support.lines import activation
from tests.support.processes import Finished, run
from tests.support.ses_endpoint import Call, Endpoint, Reply, accepted, refused

ARN = "arn:aws:ses:us-east-1:111122223333"
SOURCE = "noreply@example.com"
UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "


def denied(resource: str) -> Reply:
    user = "arn:aws:sts::111122223333:assumed-role/mailroom/noreply@example.com"
    said = f"User `{user}' is not authorized to perform `ses:SendBulkTemplatedEmail' on resource `{ARN}:{resource}'"
    return refused("AccessDenied", said, 403)


def unverified(*identities: str) -> Reply:
    return refused("MessageRejected", UNVERIFIED + ", ".join(identities))


def send(env: dict[str, str], *lines: str) -> Finished:
    done = run("mailroom-send", env=env, stdin="".join(line + "\n" for line in lines).encode())
    # 1: some rows were rejected or not sent, and are in a file
    assert done.status == (1 if "not all of the input was sent" in done.err else 0), done.err
    return done


def rejected(folder: Path) -> list[str]:
    files = folder.glob("output/rejected_*")
    return sorted(json.loads(line)["row"] for file in files for line in file.read_text().splitlines())


def replayed(folder: Path) -> list[str]:
    return sorted(line for file in folder.glob("output/replay_*") for line in file.read_text().splitlines())


@pytest.fixture
def env(sender_env: Environment) -> dict[str, str]:
    """One call at a time, so that calls can be counted."""
    return sender_env(MAILROOM_SES_CONCURRENCY="1", MAILROOM_SES_MAX_RATE="10000", MAILROOM_LOG_FORMAT="json")


def errors(done: Finished) -> list[str]:
    """Return the messages at level error, except the last line, which says what was not sent."""
    events = [event for event in map(json.loads, done.err.splitlines()) if event["level"] == "error"]
    return [event["message"] for event in events if not event["message"].startswith("not all of the input was sent")]


OTHERS = [activation(n, email=f"u{n}@other.example") for n in range(40)]


@pytest.mark.parametrize(
    ("emails", "reply"),
    [
        (["Ann@Brand2.example"] * 5, denied("identity/brand2.example")),
        (["ann@mail.brand2.example"] * 5, denied("identity/brand2.example")),
        (["ann@brand2.example"], denied("identity/ann%40brand2.example")),
        (["ann@brand2.example"], unverified("ann@brand2.example")),
        (["ann@brand2.example"], refused("InvalidParameterValue", "Illegal address: <ann@brand2.example>.")),
    ],
    ids=["domain", "parent", "address", "sandbox", "named"],
)
def test_named_recipient_fails_alone(
    endpoint: Endpoint, env: dict[str, str], tmp_path: Path, emails: list[str], reply: Reply
) -> None:
    """Two calls find it by its name, without halving. The other rows are mailed once."""
    endpoint.decide = lambda call: reply if any("brand2" in address for address in call.addresses) else None
    bad = [activation(100 + n, email=email) for n, email in enumerate(emails)]
    done = send(env, ",".join(OTHERS[:9] + bad + OTHERS[9:]))
    assert sorted(endpoint.addresses) == sorted(line.split(",")[1] for line in OTHERS)
    assert rejected(tmp_path) == sorted(bad)
    assert len(endpoint.calls) == 2
    assert not errors(done)


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (denied("identity/example.com"), "allow ses:SendBulkTemplatedEmail"),
        (denied("configuration-set/tracking"), "allow ses:SendBulkTemplatedEmail"),
        (denied("template/activationv1"), "allow ses:SendBulkTemplatedEmail on that template"),
        (denied("identity/somebody-else.example"), "allow ses:SendBulkTemplatedEmail"),
        (refused("AccessDenied", "no", 403), "allow ses:SendBulkTemplatedEmail"),
        (unverified(f"Mailroom <{SOURCE}>", SOURCE), "verify the From address or its domain"),
        (unverified("u1@other.example", SOURCE), "verify the From address or its domain"),
        (refused("MessageRejected", f"Email address not verified Mailroom <{SOURCE}>"), "verify the From address"),
        (refused("SomethingNew", "Sending paused for this account."), "see the SES console"),
        (accepted([("MessageRejected", UNVERIFIED + SOURCE)] * 30), "verify the From address or its domain"),
        (accepted([("SomethingNew", "Your account is under review")] * 30), "see the SES console"),
    ],
)  # fmt: skip
def test_fault_of_the_account_fails_no_row(
    endpoint: Endpoint, env: dict[str, str], tmp_path: Path, reply: Reply, hint: str
) -> None:
    """From, configuration set, template or account are at fault: all rows wait, and an error says what to do."""
    endpoint.decide = lambda _: reply
    done = send(env, ",".join(OTHERS[:30]))
    assert (rejected(tmp_path), replayed(tmp_path)) == ([], sorted(OTHERS[:30]))
    assert len(endpoint.calls) <= 2
    (error,) = errors(done)
    assert hint in error


def test_recipient_at_the_identity_of_the_from_waits_for_other_rows(
    endpoint: Endpoint, env: dict[str, str], tmp_path: Path
) -> None:
    """The denied domain is that of both. If other rows are accepted, the row is at fault, and otherwise the From."""
    staff = activation(100, email="ann@example.com")
    endpoint.decide = lambda call: denied("identity/example.com") if "ann@example.com" in call.addresses else None
    send(env, ",".join([staff, *OTHERS]))
    assert (len(endpoint.mailed), rejected(tmp_path), replayed(tmp_path)) == (40, [staff], [])
    endpoint.decide = lambda _: denied("identity/example.com")
    send(env, ",".join([staff, *OTHERS]))
    assert (len(endpoint.mailed), replayed(tmp_path)) == (40, sorted([staff, *OTHERS]))


@pytest.mark.parametrize("message", ["Daily sending quota exceeded", "DAILY MESSAGE QUOTA EXCEEDED."])
@pytest.mark.parametrize("is_whole", [True, False])
def test_daily_quota_is_waited_for(
    endpoint: Endpoint, env: dict[str, str], tmp_path: Path, message: str, is_whole: bool
) -> None:
    """Each of AWS's texts is recognized. It is a warning, because the wait ends by itself."""
    reply = refused("Throttling", message) if is_whole else accepted([("AccountThrottled", message)] * 2)
    endpoint.decide = lambda _: reply
    done = send(env, ",".join(OTHERS[:2]))
    assert (len(endpoint.calls), replayed(tmp_path)) == (1, sorted(OTHERS[:2]))
    assert "all calls wait, probing every 15 s" in done.err
    assert not errors(done)


def test_unknown_refusal_of_one_row_delays_no_other_row(
    endpoint: Endpoint, env: dict[str, str], tmp_path: Path
) -> None:
    """An unknown code is split like any other 4xx. The other 588 rows are mailed at once."""
    bad = {f"u{n}@example.com" for n in range(0, 600, 50)}
    endpoint.decide = lambda call: refused("SomethingNew", "nobody knows") if bad & set(call.addresses) else None
    done = send(env, *(activation(n) for n in range(600)))
    assert len(endpoint.mailed) == 588
    assert len(rejected(tmp_path)) == 12
    assert "lowering the rate" not in done.err


def test_run_of_bad_addresses_fails_one_by_one(endpoint: Endpoint, env: dict[str, str], tmp_path: Path) -> None:
    """Twelve bad addresses in a row among good ones hold no other row."""
    bad = {f"u{n}@example.com" for n in range(12)}

    def decide(call: Call) -> Reply | None:
        return refused("InvalidParameterValue", "Illegal address") if bad & set(call.addresses) else None

    endpoint.decide = decide
    done = send(env, ",".join(activation(n) for n in range(100)))
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(12, 100))
    assert rejected(tmp_path) == sorted(activation(n) for n in range(12))
    assert not errors(done)


def test_refusal_of_everything_fails_no_row(endpoint: Endpoint, env: dict[str, str], tmp_path: Path) -> None:
    """Each row is refused with an unknown text. After a few calls all rows wait, and an error is logged."""
    endpoint.decide = lambda _: refused("MessageRejected", f"Not today, request {len(endpoint.calls)}")
    lines = [activation(n) for n in range(100)]
    done = send(env, *lines)
    assert (rejected(tmp_path), replayed(tmp_path)) == ([], sorted(lines))
    assert len(endpoint.calls) < 40
    (error,) = errors(done)
    assert error.startswith("calls for activation wait, probing every 15 s: 5 or more mails in a row were refused")


def test_lone_refused_row_is_kept(endpoint: Endpoint, env: dict[str, str], tmp_path: Path) -> None:
    """If SES accepts no other mail, nobody can tell the cause.

    The row is tried a few times, then kept to be sent later.
    """
    endpoint.decide = lambda _: refused("MessageRejected", "no")
    send(env, activation(1))
    assert (len(endpoint.calls), rejected(tmp_path), replayed(tmp_path)) == (4, [], [activation(1)])


@pytest.mark.parametrize("status", ["", "<Status>Queued</Status>"])
def test_message_id_is_enough(endpoint: Endpoint, env: dict[str, str], status: str) -> None:
    """SES accepted a destination with a message id, whatever its status is. It is not mailed again."""
    whole = accepted([("Success", "m-1"), ("Success", "m-2")]).body
    endpoint.decide = lambda _: Reply(body=whole.replace(b"<Status>Success</Status>", status.encode()))
    done = send(env, ",".join(OTHERS[:2]))
    assert len(endpoint.calls) == 1
    (answer,) = map(json.loads, done.out.splitlines())
    assert [(one["outcome"], one["message_id"]) for one in answer["destinations"]] == [("sent", "m-1"), ("sent", "m-2")]


def test_temporary_status_with_a_message_id_is_a_doubt(endpoint: Endpoint, env: dict[str, str]) -> None:
    """SES may have accepted it, so the log says that it may have been mailed twice."""
    reply = accepted([("Success", "m-1")]).body.replace(b"Success", b"TransientFailure")
    endpoint.replies.append(Reply(body=reply))
    done = send(env, OTHERS[0])
    assert "1 row may have been mailed twice: TransientFailure, but it has a message id" in done.err


@pytest.mark.parametrize(("rate", "words"), [("1000000.0", "1,000,000 recipients"), ("1.0", "1 recipient")])
def test_rate_is_logged_without_an_exponent(endpoint: Endpoint, sender_env: Environment, rate: str, words: str) -> None:
    """Large and small rates are written as people write them."""
    endpoint.max_send_rate = rate
    assert f"SES allows {words} a second" in send(sender_env(), activation(1)).err
