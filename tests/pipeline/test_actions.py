"""A further action, from the SQL of the how-to to the mail and to the application that checks its link."""

import json
import re
from pathlib import Path
from typing import Any

from tests.conftest import Environment
from tests.support.ledger import add_invitation
from tests.support.postgres import Database
from tests.support.processes import KEY, run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

GUIDE = (Path(__file__).parents[2] / "docs" / "adding-an-action.md").read_text()
PIPELINE = "mailroom-collect | mailroom-send"
INVITE = "INSERT INTO tokens (action, account) SELECT 'invitation', id FROM accounts RETURNING id"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_guide_is_followed_while_the_pipeline_runs(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, tmp_path: Path
) -> None:
    """Each block of docs/adding-an-action.md does what the page says. Neither program is restarted."""
    name_it, describe_it, mail_it = blocks("sql")
    (application,) = blocks("python")
    push_it, show_it, verify_it = blocks("sh")
    links = {"MAILROOM_LINK_BASE_URL": "https://app.example.com", "AWS_REGION": "eu-west-1"}
    pushed = run(push_it, env=pipeline_env(**links), cwd=tmp_path)
    assert (pushed.status, pushed.out) == (0, "signinv1: created\n"), pushed.err
    template = endpoint.account.templates["signinv1"]
    database.sign_up("ann")
    database.run("UPDATE tokens SET consumed_at = 1")
    with running(PIPELINE, pipeline_env(**links), tmp_path) as pipeline:
        pipeline.says("listening on")
        pipeline.says("acknowledging")
        for statement in (name_it, describe_it, mail_it):
            database.run(statement)
        until(lambda: endpoint.mailed, f"the mail; stderr:\n{pipeline.err}\n", 20)
        until(lambda: database.states() == {"skipped": 1, "sent": 1}, "it is settled")
    ((name, address, data),) = endpoint.mailed
    assert (name, address) == ("signinv1", "ann@example.com")
    assert endpoint.calls[0].default_data == '{"login":"","secret":""}'
    given = json.loads(data)
    assert set(re.findall(r"{{(\w+)}}", template["TextPart"])) == {"login_text", "secret", "base_url"}
    assert given.keys() == {"login", "login_text", "secret", "base_url"}
    assert database.one("SELECT expires_at - created_at FROM tokens WHERE action = 'sign_in'") == 600

    secret = database.one("SELECT secret FROM tokens WHERE action = 'sign_in'")
    env = pipeline_env(FIELD=given["secret"])
    shown = run(show_it, env=env, cwd=tmp_path)
    assert json.loads(shown.out)["Template"] == "signinv1", shown.err
    assert "acknowledging" not in shown.err
    assert run(verify_it, env=env).out == secret.hex() + "\n"

    names: dict[str, Any] = {}
    exec(application, names)
    sign_in = names["sign_in"]
    key = bytes.fromhex(KEY)
    spoilt = given["secret"][:-1] + ("A" if given["secret"][-1] != "A" else "Q")
    assert sign_in(database.connection, spoilt, key) is None
    assert sign_in(database.connection, given["secret"], key) == database.one("SELECT id FROM accounts")
    assert sign_in(database.connection, given["secret"], key) is None


def test_verify_names_the_known_actions(database: Database, pipeline_env: Environment) -> None:
    """Without a database these are the first two. With one, they are all actions of the database."""
    add_invitation(database)
    unknown = run("mailroom-collect verify --action invite", env=pipeline_env())
    assert (unknown.status, unknown.out) == (2, "")
    assert (
        "there is no 'invite' in mailroom_actions; give one of: activation, password_recovery, invitation"
        in unknown.err
    )
    alone = run("mailroom-collect verify --action invitation", env=pipeline_env(MAILROOM_DATABASE_URL=""))
    assert alone.status == 2
    assert "'invitation' is neither activation nor password_recovery; for an action of your own" in alone.err


def test_token_waits_for_its_action(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, tmp_path: Path
) -> None:
    """If the application knows an action earlier than the table, its token is mailed once the table has the action."""
    database.run("ALTER TYPE token_action ADD VALUE 'invitation'")
    with running(PIPELINE, pipeline_env(), tmp_path) as pipeline:
        pipeline.says("acknowledging")
        (activation,) = database.sign_up("ann")
        invited = database.one(INVITE)
        pipeline.says(f"1 token not claimed (first: {invited}), because the action is not in mailroom_actions")
        until(lambda: database.state(activation) == "sent", "the others go on")
        assert database.state(invited) == "pending"
        another = database.one(INVITE)
        met = "SELECT count(*) FROM deliveries WHERE error = 'its action is not in mailroom_actions'"
        until(lambda: database.one(met) == 2, "another one is met")
        assert pipeline.err.count("because the action is not in mailroom_actions") == 1
        database.run("UPDATE tokens SET consumed_at = 1 WHERE id = %s", another)
        add_invitation(database, signs_code="true")
        until(lambda: database.state(invited) == "sent", f"it is mailed; stderr:\n{pipeline.err}\n", 20)
    ((template, _, data),) = [mail for mail in endpoint.mailed if mail[0] != "activationv1"]
    assert template == "invitationv1"
    assert json.loads(data)["code"] == database.one("SELECT code FROM tokens WHERE id = %s", invited)


def test_unknown_number_is_kept(endpoint: Endpoint, pipeline_env: Environment, tmp_path: Path) -> None:
    """A sender with a database asks for it once, and then writes the row to the file of rejected rows."""
    line = "9,u1@example.com,u1," + "A" * 86 + ",01234"
    result = run("mailroom-send", env=pipeline_env(), stdin=f"{line},{line}\n".encode(), cwd=tmp_path)
    assert result.status == 1, result.err
    (file,) = (tmp_path / "output").glob("rejected_*.jsonl")
    entries = [json.loads(entry) for entry in file.read_text().splitlines()]
    assert [(entry["row"], entry["reason"]) for entry in entries] == [
        (line, "its action, 9, is not in mailroom_actions")
    ] * 2
    assert endpoint.calls == []
