"""The packages of the image: pinned by hash, in the versions that the tests passed with."""

import re
from importlib import metadata
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
PIN = re.compile(r"^([a-z0-9-]+)==([^ ]+)((?: ;[^\\]*)?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def pins(file: str) -> dict[str, str]:
    found = PIN.findall((CI / file).read_text())
    return {name: version for name, version, marker, _ in found if "win32" not in marker}


def constraints() -> dict[str, str]:
    lines = (CI / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-").replace(".", "-"): version for name, version in pairs}


@pytest.mark.parametrize("file", ["image.txt", "image-build.txt"])
def test_image_installs_the_tested_versions(file: str) -> None:
    """Each package has hashes and the version of the constraints. 'make image-pins' writes them."""
    pinned = pins(file)
    assert pinned
    assert pinned.items() <= constraints().items()
    lines = re.findall(r"^[a-z].*", (CI / file).read_text(), re.MULTILINE)
    assert len([line for line in lines if "win32" not in line]) == len(pinned)


def test_image_installs_all_dependencies() -> None:
    """The list has each dependency of the programs, and the dependencies of those."""
    needed, seen = ["mailroom-ses"], set[str]()
    while needed:
        package = needed.pop()
        for requirement in metadata.requires(package) or []:
            name = re.match(r"[A-Za-z0-9._-]+", requirement)
            is_needed = "extra ==" not in requirement or requirement.startswith("psycopg-binary")
            if (
                name
                and is_needed
                and not re.search(r"sys_platform == .win32|python_version < .3\.(9|10|11)", requirement)
            ):
                found = name[0].lower().replace("_", "-")
                needed += [found] if found not in seen else []
                seen.add(found)
    assert seen <= pins("image.txt").keys()
