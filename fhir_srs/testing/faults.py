"""Faults that the test server has on request, as a table: the rows of reliability.md at HTTP or above.

`parse_fault` reads one from a command line: `NAME[,on=KIND+KIND][,type=T][,from=N][,times=N][,value=TEXT]`.
The Nth request of that kind (and type) is the first to meet it; `times=0` means from then on always.
"""

from dataclasses import dataclass, field
from typing import Any

from fhir_srs.errors import UsageError
from fhir_srs.testing import acts
from fhir_srs.testing.acts import changed, headed, instead, paged, rewritten
from fhir_srs.testing.exchange import KINDS, Act, Asked

_PAGES = ("search", "page")
_READS = ("count", "search", "page", "history", "read", "batch")
_ANY = tuple(one for one in KINDS if one != "metadata")
_LOGIN = b"<!doctype html><html><head><title>Sign in</title></head></html>"
_NUMBER = r'"value":\s*-?[0-9][0-9.]*'
_DATE = r'"effectiveDateTime":\s*"[^"]*"'
_DEEP = "[" * 100_000 + "]" * 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One kind of fault. *row* is the id in `docs/reliability.md`, *on* the kinds of request that meet it.

    *times*: how many requests meet it, 0 for all; *value*: the default of its argument.
    """

    name: str
    row: str
    says: str
    act: Act
    on: tuple[str, ...] = _PAGES
    times: int = 1
    value: str = ""


def _fault(row: str, name: str, says: str, act: Act, **more: Any) -> Fault:
    return Fault(row=row, name=name, says=says, act=act, **more)


def _status(row: str, status: int, says: str, **more: Any) -> Fault:
    return _fault(row, str(status), says, instead(status), on=more.pop("on", _ANY), **more)


def _poison(row: str, name: str, says: str, pattern: str, text: str, **more: Any) -> Fault:
    """A page whose first fitting element is *text*; always, since a server that has it, keeps it."""
    return _fault(row, name, says, rewritten(pattern, text.replace("\\", "\\\\")), times=0, **more)


_ROWS = (
    _status("F1", 500, "internal error"),
    _status("F1", 502, "bad gateway"),
    _status("F1", 503, "unavailable"),
    _status("F1", 504, "gateway timeout"),
    _fault("F2", "503-wait", "unavailable, Retry-After", instead(503, header="retry-after"),
           on=_ANY, value="1"),
    _status("F3", 408, "request timeout"),
    _status("F3", 425, "too early"),
    _status("F4", 400, "not understood", on=_READS, times=0),
    _status("F4", 422, "the resource is refused", on=("write",), times=0),
    _status("I11", 404, "not found", on=("read", "batch")),
    _status("F5", 401, "who are you?"),
    _status("F5", 403, "you may not", times=0),
    _fault("F6", "reset", "the connection is reset, nothing was done", acts.reset, on=_ANY),
    _fault("I9", "reset-after", "it is done, then the connection is reset: an ambiguous write",
           acts.reset_after, on=("write",)),
    _fault("F6", "garbage", "bytes that are no HTTP", acts.garbage, on=_ANY),
    _fault("F7", "cut", "half of the promised length, then the end", acts.cut, on=_ANY),
    _fault("F8", "truncated", "half of the body passes as all of it", changed(acts.half)),
    _fault("F9", "empty", "an empty body", instead(200, b"")),
    _fault("F9", "not-json", "a body that is no JSON", instead(200, b"{")),
    _fault("F9", "null", "the body is null", instead(200, b"null")),
    _fault("F9", "list", "the body is a list", instead(200, b"[]")),
    _fault("F9", "bom", "a byte order mark before the body", rewritten(r"\A", "\ufeff")),
    _fault("F9", "bad-utf8", "bytes that are no UTF-8", instead(200, b'{"resourceType":"\xff\xfe"}')),
    _fault("F10", "html", "a login page with status 200", instead(200, _LOGIN, media="text/html"), times=0),
    _fault("F10", "html-429", "a page of HTML with status 429", instead(429, _LOGIN, media="text/html")),
    _fault("F10", "wrong-type", "FHIR as text/plain", headed(content_type="text/plain"), times=0),
    _fault("F11", "other-bundle", "a history where a search was asked for",
           paged(acts.history_instead), times=0),
    _fault("F11", "outcome", "an OperationOutcome with status 200", instead(200), times=0),
    _fault("F11", "outcome-entry", "an error among the rows", paged(acts.with_outcome), times=0),
    _fault("F12", "expired-page", "410 on a page link", instead(410), on=("page",)),
    _fault("F13", "same-next", "next of a page is the page", paged(acts.itself), on=("page",), times=0),
    _fault("F13", "loop-next", "next leads back: A, B, A", paged(acts.looping), times=0),
    _fault("F13", "endless-next", "ever new pages with nothing on them", acts.endless, times=0),
    _fault("F14", "foreign-next", "next goes to another origin", paged(acts.elsewhere), times=0,
           value="http://attacker.invalid/fhir?page=2"),
    _fault("F15", "redirect", "a redirect within the origin", instead(307, b"", header="location"),
           on=("metadata",), value="{base}/metadata"),
    _fault("F15", "foreign-redirect", "a redirect to another origin", instead(302, b"", header="location"),
           on=("metadata",), times=0, value="http://attacker.invalid/fhir"),
    _fault("F17", "twice", "every entry two times", paged(acts.twice), times=0),
    _fault("F17", "older-after", "after each entry an older copy of it", paged(acts.older_after), times=0),
    _fault("I23", "backwards", "the entries of each page in opposite order", paged(acts.backwards), times=0),
    _fault("F18", "missing-next", "no next, although there is more", paged(acts.without_next), times=0),
    _fault("F18", "silent-cap", "a search ends after so many entries", acts.capped, times=0, value="2"),
    _fault("F18", "no-total", "the server does not count", paged(acts.without_total), on=("count",), times=0),
    _fault("F19", "ignored-filter", "a search parameter does nothing", acts.ignoring,
           on=("count", "search"), times=0, value="code"),
    _fault("I11", "nothing", "every search finds nothing", paged(acts.emptied),
           on=("count", "search"), times=0),
    _fault("H1", "stale-search", "an identical search has its first answer again", acts.stale,
           on=("count", "search"), times=0),
    _fault("F20", "gzip-bomb", "20 MB of blanks in 20 kB of gzip", acts.bomb),
    _fault("F21", "flood", "200 MB without a length", acts.flood),
    _fault("F22", "drip", "the body in 200 pieces, each after so many seconds", acts.dripping, value="0.05"),
    _fault("F23", "slow", "the answer comes after so many seconds", acts.slow, on=_ANY, times=0, value="1"),
    _fault("F28", "nan", "a value is NaN", rewritten(_NUMBER, '"value":NaN'), times=0),
    _poison("F28", "infinity", "a value is Infinity", _NUMBER, '"value":Infinity'),
    _poison("F28", "1e999", "a value is 1e999", _NUMBER, '"value":1e999'),
    _poison("F29", "long-number", "a value of 5,000 digits", _NUMBER, '"value":' + "9" * 5000),
    _poison("F29", "minus-zero", "a value is -0.0", _NUMBER, '"value":-0.0'),
    _poison("F30", "deep", "lists in lists, 100,000 deep", _NUMBER, f'"value":{_DEEP}'),
    _poison("F31", "lone-surrogate", "half a character in a text", _DATE,
           r'"effectiveDateTime":"\ud800"'),
    _poison("F32", "duplicate-keys", "an element two times in one object", _NUMBER,
            '"value":1,"value":10'),
    _poison("F33", "many-digits", "a value of 24 digits", _NUMBER, '"value":3.00000000000000000000001'),
    _poison("F34", "bad-date", "a day that does not exist", _DATE, '"effectiveDateTime":"2024-02-30"'),
    _poison("F35", "number-as-text", "a value is a text", _NUMBER, '"value":"1_0"'),
    _poison("F35", "bad-status", "a status that R4 does not have", r'"status":\s*"final"',
            '"status":"finished"'),
    _poison("F36", "unknown-element", "an element that R4 does not have", r'"status":\s*"final"',
            '"status":"final","x-vendor":{"a":[1]}'),
    _fault("F36", "bad-entry", "an entry that is a text", paged(acts.bad_entry), times=0),
    _poison("F37", "foreign-reference", "a subject on another server", r'"reference":\s*"Patient/',
            '"reference":"https://attacker.invalid/fhir/Patient/'),
    _poison("F37", "traversal", "a subject with ../ in its id", r'"reference":\s*"Patient/',
            '"reference":"Patient/../../'),
    _fault("F38", "no-etag", "no ETag", headed(etag="", content_location=""), on=_ANY, times=0),
    _fault("F38", "strong-etag", "a strong ETag of another number", headed(etag='"77"'), on=_ANY, times=0),
    _status("F39", 409, "a conflict, or a delete that references forbid", on=("write",)),
    _status("F39", 412, "another version is there", on=("write",)),
    _fault("F39", "202", "done, but not said what", acts.applied_202, on=("write",)),
    _fault("F39", "204", "done, without a body", acts.applied_204, on=("write",)),
    _fault("F40", "not-stored", "says stored, and did not", acts.pretended, on=("write",), times=0),
    _fault("F41", "429", "too many requests, Retry-After", instead(429, header="retry-after"),
           on=_ANY, value="1"),
    _fault("F24", "token-down", "the token endpoint is unavailable", instead(503), on=("token",)),
    _fault("F25", "token-html", "HTML instead of a token", instead(200, _LOGIN, media="text/html"),
           on=("token",)),
)  # fmt: skip
FAULTS = {one.name: one for one in _ROWS}


@dataclass(slots=True, kw_only=True)
class Planned:
    """A fault that will happen: to the *first* fitting request and *times* - 1 after it, 0 for all."""

    fault: Fault
    on: tuple[str, ...]
    type: str
    first: int
    times: int
    value: str
    seen: int = 0
    memory: dict[Any, Any] = field(default_factory=dict)

    def is_due(self, asked: Asked) -> bool:
        """Whether *asked* meets the fault; each fitting request counts."""
        if asked.kind not in self.on or self.type not in {"", asked.type}:
            return False
        self.seen += 1
        return self.seen >= self.first and (not self.times or self.seen < self.first + self.times)


def parse_fault(text: str) -> Planned:
    """The fault that *text* plans; UsageError, which lists everything wrong with it."""
    name, _, rest = text.partition(",")
    before, _, value = rest.partition("value=")
    given = [one.partition("=") for one in before.split(",") if one]
    options = {key: said for key, _, said in given}
    problems = [*_unknown(name, options), *_no_numbers(options), *_no_kinds(options)]
    if problems:
        raise UsageError(f"--fault {text!r}: {'; '.join(problems)} (`--faults` lists them)")
    fault = FAULTS[name]
    return Planned(
        fault=fault,
        on=tuple(options["on"].split("+")) if "on" in options else fault.on,
        type=options.get("type", ""),
        first=int(options.get("from", 1)),
        times=int(options.get("times", fault.times)),
        value=value or fault.value,
    )


def _unknown(name: str, options: dict[str, str]) -> list[str]:
    known = {"on", "type", "from", "times"}
    return [
        *([] if name in FAULTS else ["no such fault"]),
        *(f"no such option: {one}" for one in sorted(options.keys() - known)),
    ]


def _no_numbers(options: dict[str, str]) -> list[str]:
    least = {"from": 1, "times": 0}
    return [
        f"{one} must be a number, {number} or more"
        for one, number in least.items()
        if one in options and not (options[one].isdecimal() and int(options[one]) >= number)
    ]


def _no_kinds(options: dict[str, str]) -> list[str]:
    unknown = set(options.get("on", KINDS[0]).split("+")) - set(KINDS)
    return [f"on must be of {', '.join(KINDS)}"] if unknown else []


def fault_table() -> str:
    """What `testserver --faults` prints: row, name, kinds of request, how often, what happens."""
    rows = [("ID", "NAME", "ON", "TIMES", "WHAT THE SERVER DOES")]
    for one in _ROWS:
        on = "any" if one.on == _ANY else "+".join(one.on)
        says = f"{one.says} (value={one.value})" if one.value else one.says
        rows.append((one.row, one.name, on, str(one.times) if one.times else "always", says))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]])
        for row in rows
    )
