"""The output folder: made if need be, and refused when its files would not be safe or can't be written."""

import os
from pathlib import Path

from mailroom_runtime.errors import SettingError
from mailroom_sender.output.folder_check import problem_of


def prepare_folder(folder: Path) -> Path:
    """Return the folder, made if need be. Raises SettingError when nothing can be written there, or others could."""
    try:
        problem = problem_of(folder)
        if not problem:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"MAILROOM_SES_OUTPUT_PATH: {folder} can't be made: {error.strerror}", "give a folder that can"
        ) from None
    if problem:
        raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {problem}", "give a folder that only this user can change")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"MAILROOM_SES_OUTPUT_PATH: {folder} is not writable", "give a folder that is")
    return folder
