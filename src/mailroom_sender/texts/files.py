"""Reads templates from files: NAME.subject, NAME.txt and NAME.html, in UTF-8."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mailroom_runtime.errors import SettingError
from mailroom_sender.texts.template import ENDINGS, Template

SHIPPED: Final = Path(__file__).parents[1] / "templates"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LARGEST: Final = 500 * 1024  # bytes of a template (SES Developer Guide, quotas)


def read(folder: Path, only: Sequence[str] = ()) -> list[Template]:
    """Return the templates of a folder, or only the named ones, sorted by name.

    Raises SettingError when the folder has no template, when a named one is missing, or when one is not valid.
    """
    try:
        found = sorted({file.stem for file in folder.iterdir() if file.suffix in ENDINGS.values()})
    except OSError as error:
        raise SettingError(f"{folder} can't be read: {error.strerror}", "give a folder of templates") from None
    found = [name for name in found if _NAME.fullmatch(name)]
    if not found:
        raise SettingError(f"{folder} holds no template", "write NAME.subject, NAME.txt and NAME.html into it")
    for name in only:
        if name not in found:
            raise SettingError(f"{folder} holds no template {name}", f"it holds {', '.join(found)}")
    return [_read(folder, name) for name in found if not only or name in only]


def _read(folder: Path, name: str) -> Template:
    parts = {part: _read_part(folder / f"{name}{ending}") for part, ending in ENDINGS.items()}
    template = Template(name, parts["subject"].strip(), parts["text"], parts["html"])
    if not template.subject or not template.subject.isprintable():
        raise SettingError(f"{folder / name}.subject is not one line of text", "write the subject into it")
    if not template.text and not template.html:
        raise SettingError(f"{folder / name}.txt and .html are both missing", "write at least one of them")
    if sum(len(template.part(part).encode()) for part in ENDINGS) > _LARGEST:
        raise SettingError(f"template {name} is larger than 500 KB", "make it smaller: SES accepts no more")
    return template


def _read_part(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"{file} can't be read: {reason}") from None
