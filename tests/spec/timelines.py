"""Drawn timelines of one or more lesions, read into what mapping would return.

A drawing has one fact a line, `lesion | day | fact | value`; days count from 10 January 2024::

    A | 0      | srs    | T8          treated that day; `0..4` is a course, `sbrt 3` its fractions
    A | -3     | pain   | 7           a score linked to lesion A; lesion `-` is the patient's own
    A | 20..60 | opioid | 60 order    60 mg/d on those days, by an order (else a statement)
    - | 20..60 | opioid | 0 not-opioid steroid      another drug, and its class
    - | 20..60 | opioid | 60 cdc-2016=80 cdc-2022=60/90    by these tables; after a slash with as-needed doses
    A | 90     | disease-status | worsened     what imaging says; `imaging` without a value is a scan
    A | 90     | imaging | {bilsky} 1b         a grade on its scale; so `neuro | {asia} D`
    - | 30     | toxicity | 2 CTCAEv5 C56      grade, version and term
    - | 2024-02| death  |             a partial date
    A | 2024-01-10T08:00:00Z | pain | 7 #38221-8    a clock time; a score under that LOINC code

Lesions without a treatment line are treated on day 0 in one fraction, each at a level of its own. The
part before a slash is the patient: `1/A`; without one all lesions are of patient `p`.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from fhir_srs.dates import PartialDate, parse_date
from fhir_srs.endpoints import Outcomes, Study, derive, load_study
from fhir_srs.model import Converted, Event, Lesion, Mapped, Patient, ResourceCounts, Response, TimeToEvent

TREATED = date(2024, 1, 10)
LATER = TREATED + timedelta(days=3000)
LEVELS = ("T8", "L2", "C4", "T11", "L5", "C7", "T2", "L1")
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def day(number: int) -> date:
    """The date of day *number*."""
    return TREATED + timedelta(days=number)


def _when(text: str) -> tuple[PartialDate | None, PartialDate | None]:
    """First and last of a day, or of a span (`3..9`, `3..`, `2024-02..20`); `?` is unknown."""
    first, dots, last = text.partition("..")
    return _date(first), _date(last if dots else first)


def _date(text: str) -> PartialDate | None:
    """A day by its number or an ISO date of any precision; None for `?` and for nothing."""
    if text in {"", "?"}:
        return None
    return parse_date(day(int(text)).isoformat() if re.fullmatch(r"-?\d{1,3}", text) else text)


def _split(name: str) -> tuple[str, str]:
    patient, _, lesion = name.rpartition("/")
    return f"Patient/{patient or 'p'}", lesion


def _lesion(name: str, when: str, kind: str, value: str, number: int) -> Lesion:
    patient, _ = _split(name)
    start, end = _when(when)
    words = value.split()
    levels = tuple(word for word in words if not word.isdigit()) or (LEVELS[number % len(LEVELS)],)
    numbers = [int(word) for word in words if word.isdigit()]
    fractions = None if "?" in levels else numbers[0] if numbers else 1
    return Lesion(
        lesion_id=name,
        patient=patient,
        patient_identifier=None,
        course=f"Procedure/{name}",
        target=None,
        target_label=None,
        levels=tuple(level for level in levels if level != "?"),
        region=None,
        start=start,
        end=end,
        dose_gy=Decimal(16),
        fractions=fractions,
        technique={"srs": "SRS", "sbrt": "SBRT", "rt": "other"}[kind],
        modality=None,
        intent=None,
        histology=None,
        reirradiation_of=None,
        cord_compression=None,
        sources=(f"Procedure/{name}",),
        issues=(),
    )


def _event(name: str, when: str, kind: str, value: str, number: int) -> Event:
    patient, lesion = _split(name)
    own = lesion == "-"
    on, until = _when(when)
    words = value.split()
    amount = next((Decimal(word) for word in words if re.fullmatch(r"[\d.]+", word)), None)
    levels = [word for word in words if word in {"administration", "statement", "dispense", "order"}]
    drugs = [word[1:] for word in words if word.startswith("@")]
    flags = tuple(word for word in words if re.fullmatch(r"[a-z]+(-[a-z]+)+", word) or word in QUALIFIERS)
    opioid = kind == "opioid"
    value, unit, code = _told(kind, words)
    return Event(
        patient=patient,
        lesion_id=None if own else name,
        link="patient" if own else "body-site-level",
        kind="opioid" if opioid else kind,  # type: ignore[arg-type]
        on=on,
        until=until if opioid else None,
        value=amount if value is None else value,
        unit=unit,
        code=f"{RXNORM}|{(drugs or ['7052'])[0]}" if opioid else code,
        source=f"Observation/{kind}-{number}",
        evidence=(levels or ["statement"])[0] if opioid else None,  # type: ignore[arg-type]
        flags=flags,
        omeds=tuple(_by_table(word) for word in words if "=" in word),
    )


def _by_table(word: str) -> Converted:
    """`table=60`, `table=60/90` with as-needed doses, `table=?` unknown."""
    table, _, told = word.partition("=")
    omed, _, most = told.partition("/")
    return Converted(table, *(None if one == "?" else Decimal(one) for one in (omed, most or omed)))


# What imaging may say beside a grade.
SAID = ("worsened", "stable", "improved", "undetermined", "CR", "PR", "SD", "PD")
QUALIFIERS = ("local", "distant", "nodal", "pathology", "steroid", "nsaid", "paracetamol", "gabapentinoid")


def _told(kind: str, words: list[str]) -> tuple[Decimal | str | None, str | None, str | None]:
    """The value of a finding, its scale or version, and its term."""
    if kind == "toxicity":
        return words[0], words[1], words[2]
    if kind == "pain":
        loinc = next((word[1:] for word in words if word.startswith("#")), None)
        return None, None, f"http://loinc.org|{loinc}" if loinc else None
    if words and words[0].startswith("{"):
        number = words[0] in {"{muscle-grade}", "{scorad}", "{sins}", "{ecog}"}
        return (Decimal(words[1]) if number else words[1]), words[0], None
    return next((word for word in words if word in SAID), None), None, None


def _lines(drawing: str) -> Iterator[tuple[str, str, str, str]]:
    for line in drawing.strip().splitlines():
        name, when, kind, value = (part.strip() for part in [*line.split("|"), ""][:4])
        yield name, when, kind, value


def draw(drawing: str) -> Mapped:
    """What mapping would return of *drawing*."""
    lines = list(_lines(drawing))
    treated = [line for line in lines if line[2] in {"srs", "sbrt", "rt"}]
    names = dict.fromkeys(line[0] for line in lines if not line[0].endswith("-"))
    for number, name in enumerate(names):
        if name not in {line[0] for line in treated}:
            treated.append((name, "0", "srs", LEVELS[number % len(LEVELS)]))
    lesions = [_lesion(*line, number) for number, line in enumerate(treated)]
    events = [_event(*line, number) for number, line in enumerate(lines) if line not in treated]
    patients = [
        Patient(patient=name, identifier=None, key=name) for name in sorted({one.patient for one in lesions})
    ]
    counts = ResourceCounts(read=0, used=0, ignored=0, refused=0)
    return Mapped(lesions=lesions, patients=patients, events=events, issues=[], counts=counts)


def outcomes(drawing: str, study: str | Study = "ryu2008", cutoff: date = LATER) -> Outcomes:
    """The outcomes of *drawing* under *study*, or the one of that name."""
    chosen = load_study(study) if isinstance(study, str) else study
    return derive(draw(drawing), study=chosen, data_cutoff=cutoff)


def response(
    found: Outcomes,
    window: str,
    lesion: str | None = "A",
    variant: str | None = None,
    endpoint: str = "pain-response",
) -> Response:
    """The one response of *lesion* (None: the patient) in *window*."""
    (row,) = [
        row
        for row in found.responses
        if (row.endpoint, row.lesion_id, row.window, row.variant) == (endpoint, lesion, window, variant)
    ]
    return row


def time(
    found: Outcomes,
    endpoint: str,
    variant: str | None = None,
    lesion: str | None = "A",
    segment: str | None = None,
) -> TimeToEvent:
    """The one time of *lesion* (None: the patient), or one of its segments, to *endpoint*."""
    (row,) = [
        row
        for row in found.times
        if (row.endpoint, row.variant, row.lesion_id) == (endpoint, variant, lesion)
        and segment in (None, row.segment)
    ]
    return row


def ended(row: TimeToEvent) -> str:
    """A time in words: `event 90`, `competing 120 death`, `censored 30`, or why it was left out."""
    if row.status is None:
        return f"out: {row.reason}"
    words = [row.status.name.lower(), str(row.days), row.cause or ""]
    return " ".join(words).strip()
