"""The results of `make docs`: reference, manual pages, shell completion and schema, as committed and as used."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import environment, run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["mailroom-collect.1", "mailroom-send.1"]


def make_docs(into: Path) -> None:
    subprocess.run([sys.executable, DOCS / "generate", into], check=True, capture_output=True, timeout=60)


def without_date(text: str) -> str:
    return re.sub(r"\A\.Dd .*\n", "", text)


def test_committed_files_are_up_to_date(tmp_path: Path) -> None:
    """`make docs` changes nothing but the date of a manual page, and leaves no other file there."""
    make_docs(tmp_path)
    made = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    for name, content in made.items():
        assert without_date((DOCS / name).read_text()) == without_date(content), f"{name}: run 'make docs'"
    beside = {
        str(file.relative_to(DOCS)) for folder in ("man", "completion") for file in (DOCS / folder).rglob("*")
        if file.is_file()
    }  # fmt: skip
    assert beside | {"reference.md", "log-events.md", "schema.sql"} == set(made)


def test_reference_has_every_variable_of_the_code() -> None:
    """The table has each variable that the source reads, and no other variable of mailroom."""
    reference = (DOCS / "reference.md").read_text()
    reported = set(re.findall(r"^\| `([A-Z_]+)` \|", reference, re.MULTILINE))
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    read = set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', source)) | set(
        re.findall(r'"(MAILROOM_[A-Z_]+)"', source)
    )
    assert "NO_COLOR" in read
    assert read - reported == set()
    assert {name for name in reported if name.startswith("MAILROOM_")} <= read


@pytest.mark.parametrize("page", PAGES)
def test_manual_page_is_correct_mdoc(page: str) -> None:
    """mandoc and groff report no fault, if they are installed."""
    checks: list[list[str | Path]] = [
        [program, *arguments, DOCS / "man" / page]
        for program, *arguments in (
            ["mandoc", "-T", "lint", "-W", "warning"],
            ["groff", "-mandoc", "-ww", "-Tutf8", "-z"],
        )
        if shutil.which(program)
    ]
    if not checks:
        pytest.skip("neither mandoc nor groff is installed")
    for check in checks:
        done = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


BASH = """
source {root}/docs/completion/bash/{program}
compopt() {{ echo "with $2"; }}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_{function}_completion {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
CASES = [
    ("mailroom-collect mi", ["migrate"]),
    ("mailroom-collect --batch-l", ["--batch-limit"]),
    ("mailroom-collect verify --action pa", ["password_recovery"]),
    ("mailroom-collect migrate --dr", ["--dry-run"]),
    ("mailroom-send templates pu", ["push"]),
    ("mailroom-send templates push ac", ["activationv1"]),
    ("mailroom-send --ses-escape-html f", ["false"]),
    ("mailroom-send --queue-name other ch", ["check"]),
]


@pytest.mark.parametrize(("words", "expected"), [*CASES, ("mailroom-collect --secret-key-file ke", ["with default"])])
def test_bash_completes(tmp_path: Path, words: str, expected: list[str]) -> None:
    """Bash completes commands, options, choices, templates and files, without a setting, a secret or a database."""
    program = words.split(maxsplit=1)[0]
    script = BASH.format(root=ROOT, program=program, words=words, function=program.replace("-", "_"))
    done = run(script, env={"PATH": environment()["PATH"]}, cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.split("\n")[: len(expected)] == expected
    assert [line for line in done.out.splitlines() if line] == expected


@pytest.mark.parametrize(("words", "expected"), CASES)
def test_fish_completes(tmp_path: Path, words: str, expected: list[str]) -> None:
    """Fish completes the same, if it is installed."""
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    program = words.split(maxsplit=1)[0]
    script = f"fish --no-config -c 'source {ROOT}/docs/completion/fish/{program}.fish; complete -C \"{words}\"'"
    done = run(script, env={"PATH": environment()["PATH"], "HOME": str(tmp_path)}, cwd=tmp_path)
    assert [line.partition("\t")[0] for line in done.out.splitlines()] == expected, done.err


def test_completion_works_in_a_broken_environment(tmp_path: Path) -> None:
    """It reads no setting."""
    script = BASH.format(
        root=ROOT, program="mailroom-collect", words="mailroom-collect mi", function="mailroom_collect"
    )
    broken = environment(MAILROOM_BATCH_LIMIT="many", MAILROOM_SECRET_KEY="x", MAILROOM_DATABASE_URL="no:/url")
    done = run(script, env=broken, cwd=tmp_path)
    assert (done.out, done.err) == ("migrate\n", "")


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        ("mailroom-collect --help", "boto3|botocore|psycopg|click.shell_completion"),
        ("mailroom-send --help", "boto3|botocore|psycopg|click.shell_completion"),
        ("mailroom-collect --version", "boto3|botocore|psycopg"),
        ("mailroom-send --version", "boto3|botocore|psycopg"),
        ("mailroom-send check --help", "boto3|botocore"),
        ("mailroom-send templates push --help", "boto3|botocore|psycopg"),
        ("COMP_WORDS='mailroom-send templates push ' COMP_CWORD=3 mailroom-send", "boto3|botocore|psycopg"),
    ],
)
def test_help_and_completion_import_nothing_slow(command: str, heavy: str) -> None:
    """Help and completion load neither the AWS SDK nor the database driver. Help does not load completion either."""
    env = environment(
        PYTHONPROFILEIMPORTTIME="1", _MAILROOM_SEND_COMPLETE="bash_complete" if "COMP_" in command else ""
    )
    done = run(command, env=env)
    assert (done.status, "activationv1" in done.out) == (0, "COMP_" in command)
    assert re.search(r"\| +click$", done.err, re.MULTILINE)
    assert re.findall(rf"\| +({heavy})$", done.err, re.MULTILINE) == []
