"""mailroom-send as a process, without a database: from its stdin to SES, and each way in which it ends."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.support.lines import activation, field_of, recovery
from tests.support.processes import Finished, run, running
from tests.support.ptys import open_pty
from tests.support.rate_limit import RateLimit
from tests.support.raw_endpoint import running_raw_endpoint, trickling
from tests.support.ses_endpoint import Call, Endpoint, Reply, accepted, refused
from tests.support.waiting import until


def send(env: dict[str, str], *lines: str) -> Finished:
    return run("mailroom-send", env=env, stdin="".join(line + "\n" for line in lines).encode())


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted((folder / "output").glob(pattern))


def rejected(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for file in files(folder, "rejected_*") for line in file.read_text().splitlines()]


def test_mixed_line_is_one_call_for_each_action(endpoint: Endpoint, sender_env: Environment) -> None:
    """Every row of a mixed batch is mailed once, with its template, source, configuration set and data."""
    result = send(sender_env(), ",".join([activation(1), recovery(2), activation(3)]))
    assert result.status == 0
    first, second = sorted(endpoint.calls, key=lambda call: call.template)
    assert first == Call(
        "activationv1",
        "Mailroom <noreply@example.com>",
        "tracking",
        '{"login":"","secret":""}',
        [(f"u{n}@example.com", json.dumps({"login": f"u{n}", "secret": field_of(n)}, separators=(",", ":")))
         for n in (1, 3)],
    )  # fmt: skip
    assert second.template == "passwordrecoveryv1"
    assert second.default_data == '{"login":"","secret":"","code":""}'
    assert json.loads(second.destinations[0][1]) == {"login": "u2", "secret": field_of(2, "54321"), "code": "54321"}


def test_waiting_rows_share_calls_of_50(endpoint: Endpoint, sender_env: Environment) -> None:
    """Rows of many waiting lines are combined, at most 50 in a call, and each is sent once."""
    result = send(sender_env(), *(activation(n) for n in range(120)))
    assert result.status == 0
    assert sorted(len(call.destinations) for call in endpoint.calls) == [20, 50, 50]
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(120))


def test_row_does_not_wait_for_others(endpoint: Endpoint, sender_env: Environment) -> None:
    """A single row is sent at once while the input stays open."""
    with running(f"(echo '{activation(1)}'; until [ -e go ]; do sleep 0.05; done) | mailroom-send",
                 sender_env()) as sender:  # fmt: skip
        until(lambda: endpoint.addresses == ["u1@example.com"], "the row is sent")
        (sender.folder / "go").touch()
        assert sender.wait() == 0


def test_answers_are_printed(endpoint: Endpoint, sender_env: Environment) -> None:
    """Each call's answer is one JSON object with status and message id of each destination, and no secret."""
    endpoint.replies.append(accepted([("Success", "m-7"), ("MessageRejected", "bad content")]))
    result = send(sender_env(), activation(1) + "," + activation(2))
    (line,) = result.out.splitlines()
    answer = json.loads(line)
    assert answer["template"] == "activationv1"
    assert answer["destinations"] == [
        {"email": "u1@example.com", "outcome": "sent", "status": "Success", "message_id": "m-7"},
        {"email": "u2@example.com", "outcome": "never", "status": "MessageRejected", "message_id": None},
    ]
    assert field_of(1) not in result.out + result.err


def test_bad_row_harms_only_itself(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> None:
    """Bad lines and rows go to the reject file with their reasons. Everything else is sent."""
    bad = activation(2).replace("1,", "9,", 1)
    result = send(sender_env(), f"{activation(1)},{bad},{activation(3)}", "gar,bage", activation(4), 'un"quoted,,,,')
    assert result.status == 1
    (file,) = files(tmp_path, "rejected_*")
    assert result.err.endswith(f"not all of the input was sent: 3 rows or lines rejected: see {file}\n")
    assert sorted(endpoint.addresses) == ["u1@example.com", "u3@example.com", "u4@example.com"]
    assert [(entry["reason"], entry["row"]) for entry in rejected(tmp_path)] == [
        ("its action, 9, is not known; without MAILROOM_DATABASE_URL only 1 and 2 are", bad),
        ("the line has 2 fields, which is not a multiple of 5", "gar,bage"),
        ("the line is not CSV: a quote is out of place", 'un"quoted,,,,'),
    ]
    assert files(tmp_path, "rejected_*")[0].stat().st_mode & 0o777 == 0o600


def test_line_without_its_newline_is_not_sent(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> None:
    """A line that a dead writer left incomplete is kept and not sent."""
    result = run("mailroom-send", env=sender_env(), stdin=f"{activation(1)}\n{activation(2)}".encode())
    assert result.status == 1
    assert endpoint.addresses == ["u1@example.com"]
    assert rejected(tmp_path)[0]["reason"] == "the input ended before the end of the line"


@pytest.mark.parametrize(
    ("email", "address"),
    [("ann@BÜCHER.example", "ann@xn--bcher-kva.example"), ("ann@straße.example", "ann@xn--strae-oqa.example")],
)
def test_domain_is_sent_as_punycode(endpoint: Endpoint, sender_env: Environment, email: str, address: str) -> None:
    """SES gets a domain that is not ASCII as the same host name in Punycode."""
    send(sender_env(), activation(1, email=email))
    assert endpoint.addresses == [address]


@pytest.mark.parametrize(
    ("source", "encoded"),
    [
        ("Acme, Inc. <noreply@example.com>", '"Acme, Inc." <noreply@example.com>'),
        ("Café <noreply@bücher.example>", "=?utf-8?b?Q2Fmw6k=?= <noreply@xn--bcher-kva.example>"),
    ],
)
def test_from_is_encoded_for_ses(endpoint: Endpoint, sender_env: Environment, source: str, encoded: str) -> None:
    """A name that needs quotes is quoted, and one that is not ASCII is encoded. Debug mode shows the same."""
    assert send(sender_env(MAILROOM_SES_SOURCE=source), activation(1)).status == 0
    assert endpoint.calls[0].source == encoded
    shown = send(sender_env(MAILROOM_SES_SOURCE=source, MAILROOM_DEBUG="true"), activation(1))
    assert json.loads(shown.out)["Source"] == encoded


def test_default_from_is_refused_at_the_start(endpoint: Endpoint, sender_env: Environment) -> None:
    """AWS accepts no mail from localhost, so the sender does not start. A local SES may accept it."""
    env = sender_env(MAILROOM_SES_SOURCE="")
    acting = send(env, activation(1))
    assert "MAILROOM_SES_SOURCE is noreply@localhost, and SES refuses every mail from localhost" in acting.err
    assert (acting.status, endpoint.addresses) == (0, ["u1@example.com"])
    real = send({name: value for name, value in env.items() if name != "AWS_ENDPOINT_URL_SES"}, activation(2))
    assert real.status == 2
    assert real.err.endswith("set it to an address of a domain that is verified in SES\n")
    assert send(env | {"MAILROOM_DEBUG": "true"}, activation(3)).err.count("SES_SOURCE") == 0


@pytest.mark.parametrize("email", ["jörg@example.com", "a@b.c; x@y.z", "Ann <ann@b.c>", "nobody", "a@b..c", "a..b@b.c"])
def test_address_that_ses_cannot_take_is_refused(
    endpoint: Endpoint, sender_env: Environment, tmp_path: Path, email: str
) -> None:
    """An address that SES would misread or refuse is never put into a call."""
    send(sender_env(), activation(1, email=email), activation(2))
    assert endpoint.addresses == ["u2@example.com"]
    assert len(rejected(tmp_path)) == 1


@pytest.mark.parametrize(("setting", "login"), [("true", "&lt;b&gt;&amp;{{secret}}"), ("false", "<b>&{{secret}}")])
def test_markup_in_a_login_is_escaped_unless_turned_off(
    endpoint: Endpoint, sender_env: Environment, setting: str, login: str
) -> None:
    """A login can't become markup in a mail. A setting turns the escapes off for plain-text templates."""
    env = sender_env(MAILROOM_SES_ESCAPE_HTML=setting, MAILROOM_LINK_BASE_URL="https://app.example.com")
    send(env, activation(1, login="<b>&{{secret}}"))
    data = json.loads(endpoint.calls[0].destinations[0][1])
    assert (data["login"], data["login_text"]) == (login, "<b>&{{secret}}")


def test_start_warns_without_a_base_url(sender_env: Environment) -> None:
    """It warns once that links would be missing, and does not warn when the setting is set."""
    unset, set_ = (
        send(sender_env(MAILROOM_LOG_FORMAT="json", MAILROOM_LINK_BASE_URL=url), activation(1), activation(2))
        for url in ("", "https://app.example.com")
    )
    (reported,) = [event for event in map(json.loads, unset.err.splitlines()) if "LINK_BASE_URL" in event["message"]]
    assert reported["level"] == "warning"
    assert reported["message"].startswith("MAILROOM_LINK_BASE_URL is unset: SES would not render")
    assert "LINK_BASE_URL" not in set_.err


def test_debug_warns_of_what_it_withholds(sender_env: Environment) -> None:
    """This warning is first. Settings for SES do not matter then."""
    result = send(sender_env(MAILROOM_LOG_FORMAT="json", MAILROOM_DEBUG="true"))
    (reported,) = map(json.loads, result.err.splitlines())
    assert reported["level"] == "warning"
    assert "a printed row stays claimed until its collector ends" in reported["message"]
    assert "where no sender acknowledges, it counts as handed out" in reported["message"]


def test_reading_a_terminal_is_logged(sender_env: Environment, tmp_path: Path) -> None:
    """A sender started without a pipe says what it waits for. Ctrl-D ends it."""
    ours, theirs = open_pty()
    try:
        os.write(ours, b"\x04")
        result = run(f"mailroom-send <{os.ttyname(theirs)}", env=sender_env(MAILROOM_DEBUG="true"), cwd=tmp_path)
    finally:
        os.close(theirs)
        os.close(ours)
    assert result.status == 0
    assert "stdin is a terminal: reading the lines that you type; Ctrl-D ends them" in result.err


TEXT = f"activation  u1@example.com  login u1\n  https://app.example.com/activate/{field_of(1)}\n"


@pytest.mark.parametrize(
    ("setting", "on_terminal", "is_text"),
    [("", True, True), ("json", True, False), ("text", True, True), ("", False, False), ("text", False, True)],
)
def test_debug_shows_people_mails_and_programs_requests(
    sender_env: Environment, setting: str, *, on_terminal: bool, is_text: bool
) -> None:
    """A terminal gets text, other output is the exact request, unless the setting says otherwise."""
    env = sender_env(
        MAILROOM_DEBUG="true", MAILROOM_DEBUG_FORMAT=setting, MAILROOM_LINK_BASE_URL="https://app.example.com"
    )
    ours, theirs = open_pty()
    try:
        to = f" >{os.ttyname(theirs)}" if on_terminal else ""
        result = run(f"mailroom-send{to}", env=env, stdin=activation(1).encode() + b"\n")
        out = os.read(ours, 65536).decode().replace("\r\n", "\n") if on_terminal else result.out
    finally:
        os.close(theirs)
        os.close(ours)
    assert result.status == 0
    assert out == TEXT if is_text else json.loads(out)["Template"] == "activationv1"


def test_debug_mode_ends_when_nobody_reads_it(sender_env: Environment, tmp_path: Path) -> None:
    """Else it would use up rows that nobody sees, as in `make run | head -1`."""
    (tmp_path / "line").write_text(activation(1) + "\n")
    command = "set -o pipefail; while cat line; do sleep 0.05; done | mailroom-send | head -n 1"
    result = run(command, env=sender_env(MAILROOM_DEBUG="true"), cwd=tmp_path)
    assert json.loads(result.out)["Template"] == "activationv1"
    assert result.status == 1
    assert "stdout can't be written: Broken pipe; debug mode ends with the next call" in result.err
    assert "debug mode ends, because stdout can't be written" in result.err
    assert "mails are still sent" not in result.err


def test_only_debug_mode_shows_mails(endpoint: Endpoint, sender_env: Environment) -> None:
    """A sender that sends prints SES's answers and no link, whatever the setting of debug mode is."""
    result = send(sender_env(MAILROOM_DEBUG_FORMAT="text"), activation(1))
    assert endpoint.addresses == ["u1@example.com"]
    assert json.loads(result.out)["destinations"][0]["outcome"] == "sent"
    assert field_of(1) not in result.out + result.err


def test_debug_prints_the_exact_request_and_sends_nothing(endpoint: Endpoint, sender_env: Environment) -> None:
    """Debug mode prints the API parameters of each call. It needs neither credentials nor SES."""
    env = sender_env(MAILROOM_DEBUG="true", MAILROOM_DATABASE_URL="host=127.0.0.1 port=9")
    del env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
    result = send(env, recovery(1))
    assert result.status == 0
    assert endpoint.calls == []
    assert json.loads(result.out) == {
        "Source": "Mailroom <noreply@example.com>",
        "ConfigurationSetName": "tracking",
        "Template": "passwordrecoveryv1",
        "DefaultTemplateData": '{"login":"","secret":"","code":""}',
        "Destinations": [
            {
                "Destination": {"ToAddresses": ["u1@example.com"]},
                "ReplacementTemplateData": f'{{"login":"u1","secret":"{field_of(1, "54321")}","code":"54321"}}',
            }
        ],
    }


def test_error_response_is_kept_raw(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> None:
    """SES's HTTP error goes to a file with status line, headers and body, and the call is repeated."""
    endpoint.replies.append(refused("Throttling", "Maximum sending rate exceeded."))
    result = send(sender_env(), activation(1))
    assert result.status == 0
    assert endpoint.addresses == ["u1@example.com"]
    (file,) = files(tmp_path, "ses_*_1.http")
    head, _, body = file.read_bytes().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"<Code>Throttling</Code>" in body
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=503, body=b"<html>busy</html>", content_type="text/html"),
        Reply(status=500, body=b""),
        refused("ServiceUnavailable", "try later", 503),
        refused("SomethingNew", "nobody knows"),
    ],
)
def test_refused_call_is_repeated_and_mails_once(endpoint: Endpoint, sender_env: Environment, reply: Reply) -> None:
    """A call that was certainly not accepted is repeated until it is. No row is lost or mailed twice."""
    endpoint.replies.append(reply)
    assert send(sender_env(), activation(1), recovery(2)).status == 0
    assert sorted(endpoint.addresses) == ["u1@example.com", "u2@example.com"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=None),
        Reply(body=b"<html>not SES</html"),
        accepted([]),
        Reply(delay=1.0),
    ],
)
def test_lost_answer_is_repeated_and_counted_as_a_doubt(
    endpoint: Endpoint, sender_env: Environment, reply: Reply
) -> None:
    """If SES's answer never came, the rows are sent again, and the log says that they may have been mailed twice."""
    endpoint.replies.append(reply)
    result = send(sender_env(MAILROOM_LEASE="1000"), activation(1))
    assert len(endpoint.calls) == 2
    assert "1 row may have been mailed twice" in result.err


def test_poisoned_call_is_split_until_the_row_is_alone(
    endpoint: Endpoint, sender_env: Environment, tmp_path: Path
) -> None:
    """One row for which SES refuses the whole call is found and rejected. The other rows are mailed once."""
    poison = "u13@example.com"
    endpoint.decide = lambda call: refused("InvalidParameterValue", "no") if poison in call.addresses else None
    send(sender_env(), ",".join(activation(n) for n in range(50)))
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(50) if n != 13)
    assert [entry["row"] for entry in rejected(tmp_path)] == [activation(13)]
    assert len(files(tmp_path, "ses_*.http")) == 1


def test_row_of_a_missing_template_goes_to_a_replay_file(
    endpoint: Endpoint, sender_env: Environment, tmp_path: Path
) -> None:
    """At the end of the input, such rows are kept as lines that can be sent later."""
    endpoint.decide = lambda _: refused("TemplateDoesNotExist", "Template activationv1 does not exist")
    lines = [activation(n) for n in range(60)]
    held = send(sender_env(MAILROOM_SES_CONCURRENCY="1"), *lines)
    assert "calls for activation wait, probing every" in held.err
    replay = files(tmp_path, "replay_*")
    assert (held.status, f"60 rows not sent: 'mailroom-send < {replay[0]}' tries again" in held.err) == (1, True)
    assert sorted("".join(file.read_text() for file in replay).splitlines()) == sorted(lines)
    assert replay[0].stat().st_mode & 0o777 == 0o600
    endpoint.decide = lambda _: None
    run(f"cat {tmp_path}/output/replay_* | mailroom-send", env=sender_env())
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(60))


def test_missing_template_delays_only_its_action(endpoint: Endpoint, sender_env: Environment) -> None:
    """Recoveries are mailed while activations wait for their template."""
    endpoint.decide = lambda call: (
        refused("TemplateDoesNotExist", "no such template") if call.template == "activationv1" else None
    )
    text = "\\n".join([activation(1), *(recovery(n) for n in range(2, 5))])
    command = f"(printf '{text}\\n'; until [ -e go ]; do sleep 0.05; done) | mailroom-send"
    with running(command, sender_env()) as sender:
        until(lambda: len(endpoint.mailed) == 3, "the recoveries are sent")
        (sender.folder / "go").touch()
        assert sender.wait() == 1  # the activation is in a replay file
    assert {template for template, _, _ in endpoint.mailed} == {"passwordrecoveryv1"}


def test_signal_finishes_calls_and_keeps_the_rest(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> None:
    """SIGTERM ends it with 0. Calls in progress finish, and rows that were read and not begun go to a replay file."""
    endpoint.decide = lambda call: Reply(body=accepted([("Success", "m")] * len(call.destinations)).body, delay=1.0)
    lines = [activation(n) for n in range(150)]
    (tmp_path / "lines").write_text("".join(line + "\n" for line in lines))
    command = f"(cat {tmp_path}/lines; exec sleep 60) | (exec mailroom-send)"
    with running("trap : TERM; set -o pipefail; " + command, sender_env(MAILROOM_SES_CONCURRENCY="1")) as sender:
        until(lambda: endpoint.calls, "a call is begun")
        sender.signal(signal.SIGTERM)
        sender.says("finishing the calls in progress")
        sender.wait()
    sent = set(endpoint.addresses)
    kept = "".join(file.read_text() for file in files(tmp_path, "replay_*")).splitlines()
    assert sorted([*(line for line in lines if line.split(",")[1] in sent), *kept]) == sorted(lines)
    assert 0 < len(sent) < 150


def test_held_action_does_not_end_the_others(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> None:
    """At the end of the input, rows of the held action are kept. All others are mailed, however slowly."""
    endpoint.decide = lambda call: refused("TemplateDoesNotExist", "no") if call.template == "activationv1" else None
    lines = [line for n in range(25) for line in (activation(n), recovery(100 + n))]
    done = send(sender_env(MAILROOM_SES_MAX_RATE="40"), *lines)
    assert (done.status, sorted(endpoint.addresses)) == (1, sorted(f"u{100 + n}@example.com" for n in range(25)))
    kept = "".join(file.read_text() for file in files(tmp_path, "replay_*")).splitlines()
    assert sorted(kept) == sorted(activation(n) for n in range(25))


def test_slow_answer_delays_the_end_up_to_its_deadline(sender_env: Environment, tmp_path: Path) -> None:
    """SIGTERM waits for a call for half a lease at most. Then the outcome of its rows is unknown."""
    with running_raw_endpoint(trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b"x")) as endpoint:
        command = f"(echo '{activation(1)}'; exec sleep 60) | (exec mailroom-send)"
        env = sender_env(MAILROOM_LEASE="1000", MAILROOM_SES_MAX_RATE="100", AWS_ENDPOINT_URL_SES=endpoint.url)
        with running("trap : TERM; set -o pipefail; " + command, env) as sender:
            until(lambda: endpoint.requests, "a call is begun")
            sender.signal(signal.SIGTERM)
            sender.says("no whole answer from SES in 0.5 s")
            sender.wait()
    (replay,) = files(tmp_path, "replay_*")
    assert replay.read_text() == activation(1) + "\n"


def test_empty_input_ends_with_0(endpoint: Endpoint, sender_env: Environment, tmp_path: Path) -> None:
    """It leaves no file."""
    assert send(sender_env()).status == 0
    assert (endpoint.calls, files(tmp_path, "*")) == ([], [])


def test_closed_stdout_does_not_stop_the_mails(endpoint: Endpoint, sender_env: Environment) -> None:
    """The mails are sent, although nobody reads the answers."""
    lines = "".join(activation(n) + "\n" for n in range(120))
    result = run("mailroom-send | true; exit ${PIPESTATUS[0]}", env=sender_env(), stdin=lines.encode())
    assert result.status == 0
    assert len(endpoint.mailed) == 120


@pytest.mark.parametrize("said_by", ["ses", "setting"])
def test_calls_keep_to_the_rate(endpoint: Endpoint, sender_env: Environment, said_by: str) -> None:
    """At 20 recipients a second, from SES or from a setting, 40 rows take two seconds, in small calls."""
    endpoint.max_send_rate = "20.0" if said_by == "ses" else "1000.0"
    env = sender_env(**({} if said_by == "ses" else {"MAILROOM_SES_MAX_RATE": "20"}))
    done = send(env, *(activation(n) for n in range(40)))
    assert done.status == 0, done.err
    assert len(endpoint.mailed) == 40
    assert max(len(call.destinations) for call in endpoint.calls) == 1
    assert endpoint.mailed_at[-1] - endpoint.mailed_at[0] >= 1.8
    assert ("SES allows 20 recipients a second" in done.err) == (said_by == "ses")


@pytest.mark.parametrize("holds", [1.0, 0.1])
def test_whole_rate_is_used(endpoint: Endpoint, sender_env: Environment, holds: float) -> None:
    """SES's bucket holds a second or a tenth of one. No call is throttled. tests/unit has more rates, and a minute."""
    endpoint.max_send_rate, endpoint.limit = "100", RateLimit(100, holds)
    done = send(sender_env(), *(activation(n) for n in range(400)))
    assert (done.status, len(endpoint.mailed), endpoint.limit.throttled) == (0, 400, 0)
    assert 400 / (endpoint.mailed_at[-1] - endpoint.mailed_at[0]) >= 95


def test_recovery_overtakes_activations_that_the_sender_has_read(
    endpoint: Endpoint, sender_env: Environment, tmp_path: Path
) -> None:
    """It comes when most of a second's rows wait, and is called before nearly all of them."""
    first = tmp_path / "first"
    first.write_text("".join(activation(n) + "\n" for n in range(40)))
    command = f"(cat {first}; sleep 0.2; echo '{recovery(100)}') | mailroom-send"
    done = run(command, env=sender_env(MAILROOM_SES_MAX_RATE="20"))
    assert (done.status, len(endpoint.addresses)) == (0, 41)
    assert endpoint.addresses.index("u100@example.com") <= 30


def test_unknown_rate_stops_no_mail(endpoint: Endpoint, sender_env: Environment) -> None:
    """Without the permission for GetSendQuota mails are sent, and the log says what to do."""
    done = send(sender_env(), activation(1))
    assert endpoint.addresses == ["u1@example.com"]
    assert "the rate of SES can't be read (AccessDenied)" in done.err


def test_throttling_slows_all_calls_down(endpoint: Endpoint, sender_env: Environment) -> None:
    """A throttled call is repeated, and the log says the new rate."""
    endpoint.replies.append(refused("Throttling", "Maximum sending rate exceeded."))
    done = send(sender_env(), activation(1))
    assert endpoint.addresses == ["u1@example.com"]
    assert "lowering the rate to 25.0 recipients a second" in done.err
