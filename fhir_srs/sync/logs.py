"""Logs as JSON lines on stderr: time, level, where, what and in which run; never a patient's data.

What is logged anywhere in fhir-srs is made of route templates, counts and reasons
(`spec/reliability.md` section 7); control characters are stripped here once more.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
ENDED = "run ended"
_FIELDS = ("run_id", "server", "type", "page", "attempt", "status", "duration_ms", "bytes", "reason")


class _Lines(logging.Formatter):
    """Every line names the run that goes on, from `run began` to `run ended`."""

    run: str | None = None

    def format(self, record: logging.LogRecord) -> str:
        named: str | None = getattr(record, "run_id", None)
        self.run = named or self.run
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        line = {
            "ts": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _CONTROL.sub(" ", record.getMessage()),
            **({"run_id": self.run} if self.run else {}),
            **told,
        }
        if record.getMessage() == ENDED:
            self.run = None
        return json.dumps(line, ensure_ascii=True, default=str)


def log_json(stream: TextIO) -> None:
    """Send what fhir-srs logs to *stream* as JSON lines, from INFO on; nothing goes to the root logger."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("fhir_srs")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
