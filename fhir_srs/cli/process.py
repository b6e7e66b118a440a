"""One command line as a process: exit codes, errors without data in them, nothing told in other ways."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from fhir_srs.cli.application import app, debug_files
from fhir_srs.cli.terminal import note
from fhir_srs.errors import FhirSrsError, UsageError


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Errors become one message, never a traceback with data in it."""
    try:
        return app(list(arguments), prog_name="fhir-srs", standalone_mode=False) or 0
    except FhirSrsError as error:
        note(f"fhir-srs: {error}")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """Usage errors of the command line (64), or a fault of ours (70): its class and place, no values."""
    show: Callable[[], None] | None = getattr(error, "show", None)
    if show is not None:
        show()
        return UsageError.exit_code
    note(_internal(error))
    if debug_files:
        _write_traceback(debug_files[0], error)
    return FhirSrsError.exit_code


def _internal(error: BaseException | None) -> str:
    place = error.__traceback__ if error else None
    while place and place.tb_next:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
    return f"fhir-srs: internal error, please report it: {type(error).__name__} at {where}"


def _write_traceback(path: Path, error: Exception) -> None:
    """The traceback of *error* into a new file that is ours alone: it may hold a patient's data."""
    import os
    import traceback

    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))
    except OSError as failed:
        note(f"fhir-srs: no traceback was written ({failed.strerror})")


def main() -> NoReturn:
    """Entry point of the `fhir-srs` command: files ours alone, no core dumps, no traceback of any thread."""
    close_off()
    sys.exit(run(sys.argv[1:]))


def close_off() -> None:
    """What the process would tell of patients by other ways than its output (reliability.md section 7)."""
    import os
    import resource
    import threading

    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.excepthook = lambda _kind, error, _trace: note(_internal(error))
    threading.excepthook = lambda told: note(_internal(told.exc_value))
