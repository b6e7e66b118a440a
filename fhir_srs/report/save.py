"""Files that are complete or absent: written beside, flushed to disk, then renamed."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fhir_srs.errors import LocalIOError


def save(path: Path, parts: Iterable[bytes]) -> None:
    """Write *parts* to *path* in one step, readable by its owner alone (reliability.md I21)."""
    try:
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
