"""An upgrade without stopping mail: the version before works on the newest schema, alone and beside the new version."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

(OLD_WHEEL,) = (Path(__file__).parents[1] / "data").glob("mailroom-*.whl")
OLD_VERSION = OLD_WHEEL.name.split("-")[1]

pytestmark = pytest.mark.xdist_group("upgrade")


@pytest.fixture(scope="session")
def old_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old version's two commands, with the dependencies of the tests' environment."""
    site = tmp_path_factory.mktemp("old")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(OLD_WHEEL)], check=True, capture_output=True, timeout=100)
    for script in (site / "bin").iterdir():
        code = script.read_text().splitlines(keepends=True)
        script.write_text("".join([code[0], f"import sys; sys.path.insert(0, {str(site)!r})\n", *code[1:]]))
    return site / "bin"


def with_old(env: Mapping[str, str], old_bin: Path) -> dict[str, str]:
    """Set $OLD to the folder of the old version's commands."""
    return {**env, "OLD": str(old_bin)}


def test_old_commands_have_the_old_version(old_bin: Path) -> None:
    """The commands that these tests call old report the old version."""
    for program in ("mailroom-collect", "mailroom-send"):
        version = run(f"$OLD/{program} --version", env=with_old(dict(os.environ), old_bin))
        assert version.out == f"{program}, version {OLD_VERSION}\n"


OLD = "$OLD/mailroom-collect | $OLD/mailroom-send"
NEW = "mailroom-collect | mailroom-send"


@pytest.mark.parametrize(
    "pipelines",
    [[OLD], ["$OLD/mailroom-collect | mailroom-send"], ["mailroom-collect | $OLD/mailroom-send"], [OLD, NEW]],
    ids=["old", "old into new", "new into old", "side by side"],
)
def test_old_code_works_on_the_newest_schema(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, old_bin: Path, pipelines: list[str]
) -> None:
    """All sign-ups and recoveries are mailed once, from before, during and after the upgrade. No error is logged."""
    database.sign_up_many(1000)
    with contextlib.ExitStack() as stack:
        env = with_old(pipeline_env(), old_bin)
        shells = [stack.enter_context(running(f"trap : TERM; set -o pipefail; {one}", env)) for one in pipelines]
        for shell in shells:
            shell.says("acknowledging")
            shell.says("listening")
        database.sign_up("ann", "ben")
        recovery = database.recovery("ann")
        database.run("INSERT INTO accounts (email, login) SELECT 'v' || n || '@example.com', 'v' || n"
                     " FROM generate_series(1, 500) n")  # fmt: skip
        until(lambda: database.state(recovery) == "sent", "the recovery is sent")
        until(lambda: database.states().keys() <= {"sent", "skipped"}, "all are settled")
        assert [shell.stop() for shell in shells] == [0] * len(shells)
        for shell in shells:
            assert "trying again" not in shell.err
            assert "failed" not in shell.err
    expected = [f"u{n}" for n in range(1, 1001)] + [f"v{n}" for n in range(1, 501)] + ["ben", "ann"]
    mailed = [address.removesuffix("@example.com") for address in endpoint.addresses]
    assert sorted(mailed) in (sorted(expected), sorted([*expected, "ann"]))  # activated before her first mail, or after
    assert database.one("SELECT sum(doubts) FROM deliveries") == 0
