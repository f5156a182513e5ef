"""The rules of the layout: what a file may import, and in which direction the folders depend on each other."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PACKAGES = ("mailroom_runtime", "mailroom_collector", "mailroom_sender")
FILES = sorted(file for package in PACKAGES for file in (SRC / package).rglob("*.py") if "migrations" not in file.parts)
ORDER = {
    "mailroom_runtime": ["settings", "process", "postgres"],
    "mailroom_collector": ["report", "sign", "ledger", "schedule", "output", "schema", "operations"],
    "mailroom_sender": [
        "input",
        "address",
        "aws",
        "ses",
        "schedule",
        "output",
        "ledger",
        "delivery",
        "texts",
        "check",
        "commands",
    ],
    "mailroom_collector.operations": ["text", "queries", "terminal", "metrics", "commands"],
}
"""The folders of a package. A folder imports from those before it."""
SDK_USERS = {
    "boto3": {"mailroom_sender.aws.session", "mailroom_sender.ses.client"},
    "botocore": {
        "mailroom_sender.aws.session",
        "mailroom_sender.aws.http_connection",
        "mailroom_sender.ses.client",
        "mailroom_sender.ses.form",
        "mailroom_sender.ses.sdk_answer",
        "mailroom_sender.aws.questions",
    },
}
OUTSIDE = {"boto3", "botocore", "os", "psycopg", "random", "select", "signal", "socket", "threading", "time"}


def module_of(file: Path) -> str:
    """Return the dotted name of a file."""
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text()), clean=False) or ""


PURE = {module: file for module, file in MODULES.items() if docstring(file).startswith("Pure")}
"""The files whose docstring says that they are pure."""


def imported(file: Path) -> set[str]:
    """Return the modules that a file imports. Of `from package import module`, return the module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in MODULES else node.module or "")
    return names


def package_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("mailroom_collector", {"mailroom_sender"}),
        ("mailroom_sender", {"mailroom_collector"}),
        ("mailroom_runtime", {"mailroom_collector", "mailroom_sender"}),
    ],
)
def test_packages_do_not_import_each_other(package: str, others: set[str]) -> None:
    """The two programs share a wire format, a ledger and a few leaf modules. The leaves import neither program."""
    for module, file in MODULES.items():
        if package_of(module) == package:
            assert not {package_of(name) for name in imported(file)} & others, file


def test_there_is_no_circle() -> None:
    """No module imports itself by way of others. Raises CycleError, which names the circle."""
    graph = {module: imported(file) & set(MODULES) - {module} for module, file in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(("package", "order"), ORDER.items())
def test_folders_depend_one_way(package: str, order: list[str]) -> None:
    """A folder imports only from itself and from the folders before it in the order.

    Each folder has a place in the order.
    """
    folders = {file.parent.name for file in (SRC / package.replace(".", "/")).glob("*/__init__.py")}
    assert folders == set(order)
    for place, folder in enumerate(order):
        later = {f"{package}.{name}" for name in order[place + 1 :]}
        for module, file in MODULES.items():
            if f"{module}.".startswith(f"{package}.{folder}."):
                behind = {name for name in imported(file) if any(f"{name}.".startswith(f"{one}.") for one in later)}
                assert not behind, (module, behind)


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_do_not_know_what_joins_them(package: str) -> None:
    """A module that joins the folders, such as the loop, is imported by none of them."""
    beside = {module for module, file in MODULES.items() if file.parent == SRC / package and module != package}
    inside = {module for module in MODULES if module.startswith(f"{package}.") and module not in beside}
    joins = {module for module in beside if imported(MODULES[module]) & inside}
    assert not {(module, name) for module in inside for name in imported(MODULES[module]) & joins}


@pytest.mark.parametrize("module", PURE)
def test_pure_file_knows_no_clock_and_no_socket(module: str) -> None:
    """A pure file receives time, randomness and bytes as arguments. So do all modules of mailroom that it imports."""
    for name in imported(PURE[module]):
        assert package_of(name) not in OUTSIDE, name
        assert package_of(name) not in PACKAGES or name in PURE, name


def test_leaves_do_not_mention_the_domain() -> None:
    """The leaves do not mention tokens, deliveries, the ledger or SES, except in names of settings and the package."""
    words = re.compile(r"(?i)\b(tokens?|deliver(y|ies)|ledger|ses|accounts?|activation|recovery)\b")
    for module, file in MODULES.items():
        if package_of(module) == "mailroom_runtime":
            text = file.read_text().replace("leaves that know nothing of tokens, the ledger or SES", "")
            text = text.replace('"mailroom-ses"', "")
            assert not words.search(text), (file.name, words.search(text))


@pytest.mark.parametrize(("library", "users"), SDK_USERS.items())
def test_few_files_import_the_sdk(library: str, users: set[str]) -> None:
    """The SDK's session, its connections, calls to SES and questions to AWS have one file each."""
    found = {module for module, file in MODULES.items() if library in {package_of(name) for name in imported(file)}}
    assert found == users


@pytest.mark.parametrize(
    "folder",
    sorted({file.parent for file in FILES}),
    ids=lambda folder: module_of(folder / "__init__.py"),
)
def test_package_lists_its_files(folder: Path) -> None:
    """The map in the package's docstring names each of its files and folders, and nothing else."""
    listed = re.findall(r"(?m)^ *(\w+) {2,}\S", docstring(folder / "__init__.py"))
    files = {file.stem for file in folder.glob("[a-z]*.py")}
    folders = {file.parent.name for file in folder.glob("*/__init__.py")}
    assert sorted(listed) == sorted(files | folders)
