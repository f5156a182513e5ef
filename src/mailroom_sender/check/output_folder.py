"""Checks whether the output folder is writable or can be made, and whether others can write there. Leaves no file."""

import os
import tempfile
from pathlib import Path

from mailroom_sender.check.finding import Finding, Status
from mailroom_sender.output.folder_check import problem_of


def output_folder(folder: Path) -> Finding:
    """Return the finding. It writes a file there, and deletes it at once."""
    check = "output folder"
    try:
        if problem := problem_of(folder):
            return Finding(check, Status.TASK, problem, _TASK)
    except OSError as error:
        return Finding(check, Status.TASK, f"{folder} can't be read: {error.strerror}", _TASK)
    if folder.is_dir():
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x")
                file.flush()
        except OSError as error:
            return Finding(check, Status.TASK, f"{folder} can't be written: {error.strerror}", _TASK)
        return Finding(check, Status.OK, f"{folder} is writable")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if folder.exists() or not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        return Finding(check, Status.TASK, f"{folder} is not a folder, and can't be made", _TASK)
    return Finding(check, Status.OK, f"{folder} does not exist; the sender will make it")


_TASK = "let the sender's user write there, or set MAILROOM_SES_OUTPUT_PATH"
