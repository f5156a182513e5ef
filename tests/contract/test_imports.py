"""The layout's rules: what a file may know."""

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PURE = {
    "mailroom_runtime": [
        "backoff",
        "errors",
        "repeats",
        "setting_names",
        "words",
        "postgres/failures",
        "postgres/names",
        "postgres/pins",
    ],
    "mailroom_collector": [
        "actions",
        "agenda",
        "echo",
        "pause",
        "progress",
        "signing",
        "summary",
        "tokens",
        "wire",
        *(
            f"operations/{name}"
            for name in ("durations", "figures", "listing", "report", "scrapers", "sparkline", "tables")
        ),
        *(f"schema/{name}" for name in ("contents", "locks", "plan")),
    ],
    "mailroom_sender": [
        "actions",
        "addresses",
        "batches",
        "faults",
        "holds",
        "host_names",
        "identities",
        "label_context",
        "links",
        "login",
        "mail_text",
        "pacing",
        "redact",
        "request",
        "retries",
        "rows",
        "source",
        "splitting",
        "summary",
        "verdicts",
        "wire",
        *(
            f"golive/{name}"
            for name in (
                "comparing",
                "findings",
                "handlebars",
                "judging",
                "mime",
                "refusals",
                "sample",
                "shown_login",
                "template",
            )
        ),
    ],
}
OUTSIDE = {"boto3", "botocore", "os", "psycopg", "random", "select", "signal", "socket", "threading", "time"}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in PURE:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize(
    ("package", "other"),
    [
        ("mailroom_collector", "mailroom_sender"),
        ("mailroom_sender", "mailroom_collector"),
        ("mailroom_runtime", "mailroom_collector"),
        ("mailroom_runtime", "mailroom_sender"),
    ],
)
def test_packages_do_not_import_each_other(package: str, other: str) -> None:
    """The two programs share a wire, a ledger and some leaves; the leaves know neither program."""
    for file in (SRC / package).rglob("*.py"):
        assert not any(name.split(".")[0] == other for name in imported(file)), file


@pytest.mark.parametrize("file", [SRC / package / f"{name}.py" for package in PURE for name in PURE[package]], ids=str)
def test_pure_file_knows_no_clock_and_no_socket(file: Path) -> None:
    """A pure file gets time, chance and bytes handed in; so does all that it imports of its package."""
    for name in imported(file):
        package, _, module = name.partition(".")
        assert package not in OUTSIDE, name
        assert package not in PURE or module.replace(".", "/") in [*PURE[package], "errors"], name


def test_leaves_know_no_word_of_the_domain() -> None:
    """Nothing in the leaves speaks of tokens, deliveries, the ledger or SES, but for the names of settings."""
    words = re.compile(r"(?i)\b(tokens?|deliver(y|ies)|ledger|ses|accounts?|activation|recovery)\b")
    for file in (SRC / "mailroom_runtime").rglob("*.py"):
        text = file.read_text().replace("leaves that know nothing of tokens, the ledger or SES", "")
        assert not words.search(text), (file.name, words.search(text))


@pytest.mark.parametrize("library", ["boto3", "botocore"])
def test_few_files_know_the_sdk(library: str) -> None:
    """Its session, its connections and calls to SES are a file each; another asks AWS before it all goes live."""
    users = {
        str(file.relative_to(SRC / "mailroom_sender")) for file in (SRC / "mailroom_sender").rglob("*.py")
        if any(name.split(".")[0] == library for name in imported(file))
    }  # fmt: skip
    expected = {"aws_client.py", "http_connection.py", "ses.py", "golive/aws.py"}
    assert users == (expected - {"http_connection.py", "golive/aws.py"} if library == "boto3" else expected)


@pytest.mark.parametrize(
    "package",
    [
        *PURE,
        "mailroom_runtime/postgres",
        "mailroom_collector/operations",
        "mailroom_collector/schema",
        "mailroom_sender/golive",
    ],
)
def test_package_lists_its_files(package: str) -> None:
    """The package's docstring names each of its files."""
    docstring = ast.get_docstring(ast.parse((SRC / package / "__init__.py").read_text())) or ""
    for file in (SRC / package).glob("[a-z]*.py"):
        assert f"{file.stem} " in docstring or f"{file.stem}," in docstring or f"{file.stem}." in docstring, file.stem
