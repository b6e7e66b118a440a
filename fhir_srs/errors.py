"""The exceptions of fhir-srs, and the exit code of each: the one place where the two meet.

Bad EHR data is never an exception but an `Issue` (`fhir_srs.model`). What is raised here is the
caller's, the server's or the machine's fault, and says so in its class::

    FhirSrsError                  70  our own fault, unless a subclass says otherwise
    ├── UsageError                64  the command line: unknown study, bad date
    ├── DataError                 65  nothing readable, an incomplete pull, the brake, a failed write
    ├── ConfigurationError        78  settings, site profile, study file: lists every problem at once
    │   └── MissingExtra          78  an optional dependency that is not installed
    ├── LocalIOError              74  a named file that cannot be read, a full disk
    ├── Busy                      75  another run holds the lock
    └── ServerError               69  the FHIR server
        ├── TransportTransient    69  retried, within a budget, before it is raised
        │   └── RateLimited       75  429 for longer than a run waits: try later
        ├── ServerRefused         65  4xx that a retry will not mend
        │   └── AccessRefused     77  401 or 403
        ├── ProtocolViolation     65  an answer that is not what FHIR says
        ├── Conflict              65  409 or 412 that did not end
        └── SecurityViolation     76  another origin, a TLS failure; never retried

Codes: `shared/spec/reliability.md` section 8. No message may hold a value that could be a patient's:
counts, resource references, reasons, route templates only.
"""

from collections.abc import Sequence


class FhirSrsError(Exception):
    """Root of all that fhir-srs raises on purpose."""

    exit_code = 70


class UsageError(FhirSrsError):
    """The call itself is wrong: an unknown study, a date that is not one."""

    exit_code = 64


class DataError(FhirSrsError):
    """The data as a whole do not allow a result: nothing readable, or an incomplete pull."""

    exit_code = 65


class ConfigurationError(FhirSrsError):
    """A settings, profile or study file is wrong; *problems* lists everything found, not the first."""

    exit_code = 78

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{subject}:", *(f"  - {problem}" for problem in self.problems)]))


class MissingExtra(ConfigurationError):
    """An optional dependency is needed and absent; the message is the command that installs it."""

    def __init__(self, extra: str) -> None:
        super().__init__(f"needs the extra '{extra}'", [f"pip install 'fhir-srs[{extra}]'"])


class LocalIOError(FhirSrsError):
    """A file of this machine cannot be read or written."""

    exit_code = 74


class Busy(FhirSrsError):
    """Another run holds the state folder; try later."""

    exit_code = 75


class ServerError(FhirSrsError):
    """Something between us and the FHIR server; *status* is the HTTP status where there was one."""

    exit_code = 69

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class TransportTransient(ServerError):
    """Timeout, reset, 408, 425, 429 or 5xx; *retry_after* is in seconds where the server asked for it."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message, status=status)


class RateLimited(TransportTransient):
    """429 for longer than one run waits (F41): what was pulled stays, the next run goes on."""

    exit_code = 75


class ServerRefused(ServerError):
    """The server understood and said no; the same request would be refused again."""

    exit_code = 65


class AccessRefused(ServerRefused):
    """401 or 403: credentials or scopes."""

    exit_code = 77


class ProtocolViolation(ServerError):
    """HTML where FHIR was asked for, another Bundle type, an endless list of pages."""

    exit_code = 65


class Conflict(ServerError):
    """Another writer kept changing the resource."""

    exit_code = 65


class SecurityViolation(ServerError):
    """A link to another origin, or TLS that does not verify. Blocked before connecting."""

    exit_code = 76
