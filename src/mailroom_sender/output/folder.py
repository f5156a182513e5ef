"""Creates the output folder if it does not exist, and refuses one that is not safe or not writable."""

import os
from pathlib import Path

from mailroom_runtime.errors import SettingError
from mailroom_sender.output.folder_check import problem_of


def prepare_folder(folder: Path) -> Path:
    """Return the folder; create it if needed. Raises SettingError when it is not writable, or others can change it."""
    try:
        problem = problem_of(folder)
        if not problem:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"MAILROOM_SES_OUTPUT_PATH: {folder} can't be made: {error.strerror}", "give a folder that can be made"
        ) from None
    if problem:
        raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {problem}", "give a folder that only this user can change")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {folder} is not writable", "give a writable folder")
    return folder
