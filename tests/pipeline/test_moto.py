"""Both programs against moto's SES, an independent implementation.

It answers a bulk call with message ids and no status, has its own text for a From that is not verified, and lacks some
of the calls that the check makes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from mailroom_sender.texts.files import SHIPPED, read
from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.lines import activation
from tests.support.moto_server import running_moto
from tests.support.postgres import Database
from tests.support.processes import run, running
from tests.support.waiting import until

if TYPE_CHECKING:
    from types_boto3_ses import SESClient

NAMES = ["activationv1", "passwordrecoveryv1"]

pytestmark = pytest.mark.xdist_group("moto")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with running_moto() as url:
        yield url


@pytest.fixture
def env(moto: str, pipeline_env: Environment) -> Callable[..., dict[str, str]]:
    settings = {"AWS_ENDPOINT_URL_SES": moto, "AWS_ENDPOINT_URL_STS": moto, "AWS_REGION": "eu-west-1"}
    settings |= {"MAILROOM_LINK_BASE_URL": "https://app.example.com", "MAILROOM_SES_MAX_RATE": "1000"}
    return lambda **more: pipeline_env(**settings, **more)


@pytest.fixture(scope="module")
def ses(moto: str) -> Iterator["SESClient"]:
    """An account that is ready: the From's domain is verified and the templates exist."""
    client = boto3.client(
        "ses", region_name="eu-west-1", endpoint_url=moto, aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="x"
    )
    client.verify_domain_identity(Domain="example.com")
    for template in read(SHIPPED):
        client.create_template(Template=template.to_ses())  # type: ignore[arg-type]
    yield client
    client.close()


def test_each_token_is_mailed_once(database: Database, ses: "SESClient", env: Callable[..., dict[str, str]]) -> None:
    """A message id is enough: no row is sent again, and none is a doubt."""
    before = ses.get_send_quota()["SentLast24Hours"]
    with running(PIPELINE, env()) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(5)
        until(lambda: database.states() == {"sent": 5}, "all are sent")
        assert pipeline.stop() == 0
    assert ses.get_send_quota()["SentLast24Hours"] - before == 5
    ((ids, doubts),) = database.run("SELECT count(DISTINCT message_id), sum(doubts) FROM deliveries")
    assert (ids, doubts) == (5, 0)


def test_unverified_from_fails_no_row(ses: "SESClient", env: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    """moto's text for it names the From, as AWS's text does."""
    assert ses
    settings = env(MAILROOM_SES_SOURCE="Mailroom <noreply@nowhere.example>", MAILROOM_DATABASE_URL="")
    result = run("mailroom-send", env=settings, stdin=(activation(1) + "\n").encode())
    assert "all calls wait, probing every 15 s: MessageRejected: Email address not verified" in result.err
    assert [file.read_text() for file in tmp_path.glob("output/replay_*")] == [activation(1) + "\n"]


def test_templates_are_pushed_and_compared(
    ses: "SESClient", env: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """A pushed template is the same in moto, and is rendered there."""
    for name in NAMES:
        ses.delete_template(TemplateName=name)
    assert run("mailroom-send templates push", env=env()).out.splitlines() == [f"{name}: created" for name in NAMES]
    assert run("mailroom-send templates list", env=env()).out.splitlines() == [
        f"{name:<18}  same" for name in NAMES
    ]  # fmt: skip
    rendered = run("mailroom-send templates preview --ses activationv1", env=env(), cwd=tmp_path)
    assert rendered.status == 0, rendered.err
    assert "https://app.example.com" in (tmp_path / "preview" / "activationv1.txt").read_text()


@pytest.mark.usefixtures("ses")
def test_check_continues_after_an_unreadable_answer(env: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    """moto lacks GetAccountSendingEnabled. The other checks still run."""
    result = run("mailroom-send check --mail-to ann@example.com", env=env(), cwd=tmp_path)
    reported = {line[9:29].strip(): line[:9].strip() for line in result.out.splitlines()}
    assert "answers to GetAccountSendingEnabled can't be read" in result.out
    assert "for the reason above" not in result.out
    expected = {"sending": "to do", "identity": "ok", "DKIM": "ok", "configuration set": "to do", "sample mail": "ok"}
    assert {check: reported[check] for check in expected} == expected
    assert all(reported[name] == "ok" for name in NAMES), result.out
