"""A built wheel that was installed works outside the checkout."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from mailroom_collector.schema.migrations import migrations
from tests.support.postgres import Database
from tests.support.processes import environment, run

ROOT = Path(__file__).parents[2]


def test_wheel_works_outside_the_checkout(database: Database, tmp_path: Path) -> None:
    """It contains both commands, migrations, templates, manual pages and completion."""
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    subprocess.run([*build, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("mailroom_ses-*.whl")
    # The dependencies are those of the tests' own environment. mailroom itself comes from the wheel.
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    install: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        home / "bin" / "python",
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*install, wheel], check=True, capture_output=True, timeout=100)
    (site,) = home.glob("lib/python*/site-packages")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(packages)
    env = environment(MAILROOM_DATABASE_URL=database.url, PATH=f"{home}/bin:/usr/bin:/bin")
    migrated = run("mailroom-collect migrate --to -1 --yes && mailroom-collect migrate", env=env, cwd=tmp_path)
    newest = migrations()[-1]
    assert migrated.out.splitlines()[-1] == f"ran {newest.version}_{newest.name}.up", migrated.err
    sent = run("mailroom-send --version", env=env, cwd=tmp_path)
    assert sent.status == 0, sent.err
    preview = run("mailroom-send templates preview", env=env, cwd=tmp_path)
    assert "preview/activationv1.html" in preview.out, preview.err
    where = run("python -c 'import mailroom_collector as m; print(m.__file__)'", env=env, cwd=tmp_path)
    assert where.out.startswith(str(site))
    source = ROOT / "src"
    brought_along = {str(file.relative_to(site)) for file in site.rglob("*.py")}
    assert {str(file.relative_to(source)) for file in source.rglob("*.py")} <= brought_along
    assert not (site / "mailroom_collector" / "migrations" / "functions").exists()  # the migrations hold them
    for program in ("mailroom-collect", "mailroom-send"):
        for brought in (
            f"man/man1/{program}.1",
            f"bash-completion/completions/{program}",
            f"zsh/site-functions/_{program}",
            f"fish/vendor_completions.d/{program}.fish",
        ):
            assert (home / "share" / brought).is_file(), brought
    if shutil.which("man"):  # man searches beside the folders of PATH
        assert (
            run("man -w mailroom-send", env=env, cwd=tmp_path).out.strip() == f"{home}/share/man/man1/mailroom-send.1"
        )
