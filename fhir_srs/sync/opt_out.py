"""Who is left out of the cohort: by an opt-out in a Consent, by a list file (`decisions.md` 22).

A Consent is an opt-out if it is active, about research or privacy (or says nothing of its scope), not over,
and dissents: `provision.type` deny, or policyRule OPTOUT or OPTOUTE
(https://terminology.hl7.org/CodeSystem-v3-ActCode.html). One that cannot be read counts as one.
None is stored.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from fhir_srs import r4
from fhir_srs.errors import ConfigurationError, LocalIOError
from fhir_srs.fhir.sansio import relative

OPT_OUT, LISTED, TEST_PATIENT = "opt-out", "opt-out-listed", "test-patient"
PURGED = "purged"  # forgotten by an operator, for good

_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_DISSENT = frozenset({(_ACT_CODE, "OPTOUT"), (_ACT_CODE, "OPTOUTE")})
_SCOPES = frozenset({"research", "patient-privacy"})
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Provision(r4.Element, frozen=True):
    type: str | None = None
    period: r4.Period | None = None


class _Consent(r4.Element, frozen=True):
    status: str | None = None
    scope: r4.CodeableConcept | None = None
    patient: r4.Reference | None = None
    policy_rule: r4.CodeableConcept | None = None
    provision: _Provision | None = None


class _Whose(r4.Element, frozen=True):
    patient: r4.Reference | None = None


def opted_out(bodies: Iterable[bytes], *, base: str, today: str) -> Iterator[str]:
    """The patients (`Patient/x`) of those Consents in *bodies* that are opt-outs on the day *today*."""
    for body in bodies:
        patient = _patient(body, base)
        if patient is not None and _dissents(body, today):
            yield patient


def _patient(body: bytes, base: str) -> str | None:
    try:
        whose = msgspec.json.decode(body, type=_Whose).patient
    except _BROKEN:
        return None
    return relative(whose.reference, base=base) if whose else None


def _dissents(body: bytes, today: str) -> bool:
    try:
        consent = msgspec.json.decode(body, type=_Consent)
    except _BROKEN:
        return True
    if consent.status != "active" or not _in_scope(consent.scope):
        return False
    return not _is_over(consent.provision, today) and _says_no(consent)


def _in_scope(scope: r4.CodeableConcept | None) -> bool:
    codes = {one.code for one in scope.coding} if scope else set()
    return not codes or bool(codes & _SCOPES)


def _is_over(provision: _Provision | None, today: str) -> bool:
    end = provision.period.end if provision and provision.period else None
    return end is not None and end[:10] < today[: len(end[:10])]


def _says_no(consent: _Consent) -> bool:
    rules = consent.policy_rule.coding if consent.policy_rule else ()
    denied = consent.provision is not None and consent.provision.type == "deny"
    return denied or any((one.system, one.code) in _DISSENT for one in rules)


def read_list(path: Path | None) -> frozenset[str]:
    """
    The entries of an opt-out list: one a line, `Patient/<id>` or `system|value`; `#` begins a remark.

    Raises LocalIOError if it cannot be read, ConfigurationError with the numbers of lines that are neither:
    a list that is misread would let somebody in.
    """
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LocalIOError(
            f"the opt-out list of [source] opt_out cannot be read ({error.strerror})"
        ) from None
    except UnicodeDecodeError:
        raise LocalIOError("the opt-out list of [source] opt_out is not UTF-8") from None
    entries = {number: line.split(" #")[0].strip() for number, line in enumerate(lines, 1)}
    told = {number: text for number, text in entries.items() if text and not text.startswith("#")}
    bad = [
        f"line {number}: neither Patient/<id> nor system|value"
        for number, text in told.items()
        if not _is_entry(text)
    ]
    if bad:
        raise ConfigurationError("opt-out list", bad)
    return frozenset(told.values())


def _is_entry(text: str) -> bool:
    return text.startswith("Patient/") or ("|" in text and not text.endswith("|"))


def listed(entries: frozenset[str], payloads: Callable[[], Iterable[bytes]]) -> frozenset[str]:
    """The patients that *entries* name, by reference or by an identifier that one of *payloads* has."""
    named = frozenset(one for one in entries if one.startswith("Patient/"))
    if named == entries:
        return named
    found = (_holder(body, entries) for body in payloads())
    return named | frozenset(one for one in found if one)


def _holder(body: bytes, entries: frozenset[str]) -> str | None:
    try:
        patient = msgspec.json.decode(body, type=r4.Patient)
    except _BROKEN:
        return None
    held = {f"{one.system or ''}|{one.value}" for one in patient.identifier if one.value}
    return f"Patient/{patient.id}" if held & entries else None
