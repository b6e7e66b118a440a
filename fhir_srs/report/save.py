"""Files that are complete or absent: written beside, flushed to disk, renamed. Streams are written to."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fhir_srs.errors import LocalIOError


def is_stream(path: Path) -> bool:
    """Whether *path* is a device or a pipe, such as /dev/null: it must not be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def save(path: Path, parts: Iterable[bytes]) -> None:
    """
    Write *parts* to *path* in one step, readable by its owner alone (reliability.md I21).

    What *path* links to is written, the link stays.
    """
    try:
        if is_stream(path):
            with path.open("wb") as stream:
                stream.writelines(parts)
            return
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LocalIOError(f"cannot write {path}: {error.strerror}") from None
