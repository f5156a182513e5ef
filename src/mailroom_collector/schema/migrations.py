"""The migrations that come with this version of mailroom, from the files in `migrations`."""

import re
from importlib import resources

from mailroom_collector.schema.plan import Migration

_NAME = re.compile(r"([0-9]+)_([a-z0-9_]+)\.(up|down)\.sql", re.ASCII)


def migrations() -> list[Migration]:
    """Return the migrations that come with this version of mailroom, in order."""
    files: dict[int, dict[str, str]] = {}
    for file in resources.files("mailroom_collector").joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            version, name, direction = match.groups()
            found = files.setdefault(int(version), {"name": name})
            found[direction] = file.read_text(encoding="utf-8")
    return [Migration(v, f["name"], f["up"], f["down"]) for v, f in sorted(files.items())]
