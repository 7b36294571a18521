"""A file that is there whole or not at all. It is not a run file (`lossconform.reports.runfile`)."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, so that a reader sees the old file or the new one, never half of one.

    The temporary file lies in the same folder, because a rename is atomic only within one file system. It is opened
    by hand and not with `tempfile`, whose files only their owner may read.

    Raises:
        OSError: the folder does not exist, may not be written to or is full. Nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # Opened outside the `try`: a file that was there already is not ours to remove.
    with temporary.open("xb") as file:
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def reason(error: OSError) -> str:
    """Return what went wrong in a few words, without the number and the path."""
    return (error.strerror or str(error) or type(error).__name__).lower()
