"""Where a number comes from: one lesion, what is known of it, what a study made of that, and from what.

Everything shown was given by mapping and by `derive`; nothing is judged again here. `explanation` is the
data (`fhir-srs explain --json`), `explanation_text` the page for a person. Printed figures: `figure`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from fhir_srs import tables
from fhir_srs.endpoints import Outcomes, Study
from fhir_srs.endpoints.assessments import REFUSALS
from fhir_srs.endpoints.definitions import definition_of
from fhir_srs.errors import UsageError
from fhir_srs.model import (
    Event,
    Issue,
    Lesion,
    Mapped,
    Response,
    Status,
    TimeToEvent,
    event_row,
    lesion_row,
    to_json,
)
from fhir_srs.report.parameters import parameter_text

_SHORTEST = 6  # characters of a lesion_id that are taken for the whole


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a study: its value, and on what it rests (`published`, `memory`, `assumed`)."""

    name: str
    value: Any
    basis: str
    note: str | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """The definition of one endpoint in one reading, the section of the specification it stands in."""

    endpoint: str
    variant: str | None
    rule: str
    section: str
    parameters: tuple[str, ...]


# What is known of a lesion beside its line in `lesions.ndjson`.
_MORE = ("evidence", "primary")


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one study did with one event: which outcomes rest on it, else why it was refused.

    With neither it decided nothing of what is shown: another of its kind did, or no rule here asks for it.
    """

    source: str
    used_for: tuple[str, ...] = ()
    refused: str | None = None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one study made of the lesion; *excluded* says why the study does not take it.

    *rules* are those of the outcomes shown, *parameters* the ones these look at, *uses* one for each event.
    """

    study: str
    version: str
    title: str
    data_cutoff: str
    parameters: tuple[Parameter, ...]
    rules: tuple[Rule, ...]
    excluded: str | None
    responses: tuple[Response, ...]
    times: tuple[TimeToEvent, ...]
    uses: tuple[Use, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """
    A lesion with everything that bears on it.

    *beside* are the patient's other lesions, which decide whose a score is and what a retreatment is.
    *events* are those linked to it and those of the patient that are linked to no lesion; *not_used* are
    the issues of resources that count for nothing, *noted* those of resources that do.
    """

    lesion: Mapping[str, Any]
    beside: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    noted: tuple[Issue, ...]
    not_used: tuple[Issue, ...]
    judgements: tuple[Judgement, ...]


def find_lesion(mapped: Mapped, name: str) -> Lesion:
    """The lesion with that lesion_id, or the only one whose id begins so; UsageError for none or several."""
    found = [one for one in mapped.lesions if one.lesion_id == name]
    if not found and len(name) >= _SHORTEST:
        found = [one for one in mapped.lesions if one.lesion_id.startswith(name)]
    if len(found) != 1:
        raise UsageError("several lesions begin with that id" if found else "there is no lesion with that id")
    return found[0]


def explanation(
    mapped: Mapped, outcomes: Iterable[Outcomes], lesion: Lesion, endpoint: str | None = None
) -> Explanation:
    """
    All that bears on *lesion*; of *endpoint* alone, if given.

    *mapped* holds the lesion's patient, and is best no larger: all of its issues are shown. UsageError for an
    endpoint that none of *outcomes* has.
    """
    every = list(outcomes)
    events = [one for one in mapped.events if _bears_on(one, lesion)]
    judgements = tuple(_judgement(one, lesion, endpoint, events) for one in every)
    if endpoint and not any(one.responses or one.times for one in judgements):
        known = sorted({name for one in every for name in _endpoints(one)})
        raise UsageError(f"no such endpoint for this lesion; there are: {', '.join(known)}")
    return Explanation(
        lesion=lesion_row(lesion) | {name: value for name in _MORE if (value := getattr(lesion, name))},
        beside=tuple(lesion_row(one) for one in mapped.lesions if _is_beside(one, lesion)),
        events=tuple(map(event_row, events)),
        noted=tuple(one for one in mapped.issues if one.used),
        not_used=tuple(one for one in mapped.issues if not one.used),
        judgements=judgements,
    )


def _endpoints(outcomes: Outcomes) -> Iterator[str]:
    yield from (row.endpoint for row in outcomes.responses)
    yield from (row.endpoint for row in outcomes.times)


def _is_beside(one: Lesion, lesion: Lesion) -> bool:
    return one.patient == lesion.patient and one.lesion_id != lesion.lesion_id


def _bears_on(event: Event, lesion: Lesion) -> bool:
    return event.patient == lesion.patient and event.lesion_id in (None, lesion.lesion_id)


def _judgement(
    outcomes: Outcomes, lesion: Lesion, endpoint: str | None, events: Sequence[Event]
) -> Judgement:
    study = outcomes.study
    left_out = [one.reason for one in outcomes.excluded if one.lesion_id == lesion.lesion_id]
    responses = tuple(_of(outcomes.responses, lesion, endpoint))
    times = tuple(_of(outcomes.times, lesion, endpoint))
    rules = tuple(rules_of((*responses, *times)))
    return Judgement(
        study=study.name,
        version=study.version,
        title=study.title,
        data_cutoff=outcomes.data_cutoff.isoformat(),
        parameters=tuple(parameters_of(study, rules if endpoint else None)),
        rules=rules,
        excluded=", ".join(left_out) or None,
        responses=responses,
        times=times,
        uses=tuple(_uses(outcomes, lesion, (*responses, *times), events)),
    )


def rules_of(rows: Iterable[Response | TimeToEvent]) -> Iterator[Rule]:
    """The definitions of *rows*, each once."""
    yield from dict.fromkeys(rule_of(row.endpoint, row.variant, row.window) for row in rows)


def rule_of(endpoint: str, variant: str | None, window: str | None) -> Rule:
    """The definition of an outcome or figure by its words."""
    found = definition_of(endpoint, variant, window)
    return Rule(
        endpoint=endpoint,
        variant="flare" if window == "flare" else None if endpoint == "toxicity" else variant,
        rule=found.rule,
        section=found.section,
        parameters=found.parameters,
    )


def parameters_of(study: Study, rules: Iterable[Rule] | None = None) -> Iterator[Parameter]:
    """The parameters of *study*, or those alone that *rules* look at, with what they rest on."""
    wanted = None if rules is None else {name for rule in rules for name in rule.parameters}
    for name, basis in study.basis.items():
        if wanted is None or name in wanted:
            value = getattr(study, name)
            yield Parameter(name=name, value=value, basis=basis, note=study.notes.get(name))


def _uses(
    outcomes: Outcomes, lesion: Lesion, rows: Sequence[Response | TimeToEvent], events: Sequence[Event]
) -> Iterator[Use]:
    """What became of each of *events*, read off the sources of *rows* and the refusals of the study."""
    resting: dict[str, list[str]] = {}
    for row in rows:
        words = " ".join(one for one in (row.endpoint, row.variant, row.window) if one)
        for source in row.sources:
            resting.setdefault(source, []).append(words)
    why = {one.source: one.reason for one in outcomes.refused if one.lesion_id == lesion.lesion_id}
    for event in events:
        late = event.on is not None and event.on.last > outcomes.data_cutoff
        yield Use(
            source=event.source,
            used_for=tuple(dict.fromkeys(resting.get(event.source, ()))),
            refused="after-cutoff" if late else why.get(event.source),
        )


def _of(rows: Iterable[Any], lesion: Lesion, endpoint: str | None) -> Iterator[Any]:
    """The rows of *lesion*, and those of its patient that are of no lesion (survival, follow-up)."""
    for row in rows:
        own = row.patient == lesion.patient and row.lesion_id in (None, lesion.lesion_id)
        if own and endpoint in (None, row.endpoint):
            yield row


def explanation_json(told: msgspec.Struct) -> bytes:
    """*told* as JSON; how a time ended is said by its lower-case name (decisions.md 16)."""
    return to_json(_plain(told))


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    """*value* as plain data: a Struct as its fields, a Status as its name."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Status):
        return value.name.lower()
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def explanation_text(told: Explanation) -> str:
    """*told* as lines of text."""
    documentation = {row["reason"]: row["documentation"] for row in tables.rows("issues.csv")}
    lines = [
        *_lesion_lines(told.lesion, documentation),
        "",
        "Other lesions of the patient",
        *columns([_beside_cells(one) for one in told.beside]),
        "",
        "Events",
        *columns([_event_cells(one) for one in told.events]),
    ]
    for one in told.judgements:
        lines += ["", *_judgement_lines(one, told.lesion["sources"], told.events)]
    lines += ["", "Not used", *columns([_issue_cells(one, documentation) for one in told.not_used])]
    lines += ["", "Used, with a remark", *columns([_issue_cells(one, documentation) for one in told.noted])]
    return "\n".join(lines)


def _lesion_lines(row: Mapping[str, Any], documentation: Mapping[str, str]) -> Iterator[str]:
    yield f"Lesion {row['lesion_id']}"
    shown = (
        "levels",
        "region",
        "start",
        "end",
        "dose_gy",
        "fractions",
        "technique",
        "evidence",
        "primary",
        "histology",
        "reirradiation_of",
        "reirradiation",
        "course",
        "target",
    )
    yield from columns([[f"  {name}", _text(row[name])] for name in shown if row.get(name) not in (None, ())])
    yield from columns([["  source", one] for one in row["sources"]])
    yield from columns([["  remark", one, documentation.get(one, "")] for one in row["issues"]])


def _beside_cells(row: Mapping[str, Any]) -> list[str]:
    return [f"  {row['lesion_id']}", _text(row["levels"]), _text(row["start"]), " ".join(row["sources"])]


def _event_cells(row: Mapping[str, Any]) -> list[str]:
    until = f" to {row['until']}" if "until" in row else ""
    flags = " ".join(row.get("flags", ()))
    return [f"  {_text(row['on'])}{until}", row["kind"], _valued(row), row["link"], row["source"], flags]


def _valued(row: Mapping[str, Any]) -> str:
    return " ".join(_text(one) for one in (row["value"], row["unit"]) if one is not None)


def _issue_cells(issue: Issue, documentation: Mapping[str, str]) -> list[str]:
    where = f"{issue.resource or '(unreadable)'} {issue.path or ''}".rstrip()
    return [f"  {where}", issue.reason, documentation.get(issue.reason, "")]


def _judgement_lines(
    one: Judgement, lesion: Sequence[str], events: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    yield f"Study {one.study}, version {one.version}: {one.title}; data up to {one.data_cutoff}"
    yield from parameter_lines(one.parameters)
    yield "  Rules"
    yield from rule_lines(one.rules)
    if one.excluded:
        yield f"  this lesion is left out: {one.excluded}"
    for response in one.responses:
        yield from _response_lines(response)
        yield from _from(response, lesion)
    for time in one.times:
        yield _time_line(time)
        yield from _from(time, lesion)
    yield "  Events, and what became of them"
    yield from columns([_use_cells(*both) for both in zip(one.uses, events, strict=True)])


def parameter_lines(parameters: Sequence[Parameter]) -> Iterator[str]:
    """One line each: name, value, basis, note."""
    yield from columns([[f"  {p.name}", parameter_text(p.value), p.basis, p.note or ""] for p in parameters])


def rule_lines(rules: Sequence[Rule]) -> Iterator[str]:
    """The rules in words, with the section of the specification."""
    for rule in rules:
        name = " ".join(filter(None, (rule.endpoint, rule.variant)))
        yield f"    {name} (spec/endpoints.md {rule.section}): {rule.rule}"


def _use_cells(use: Use, event: Mapping[str, Any]) -> list[str]:
    became = "; ".join(use.used_for) or "decided nothing of what is shown"
    if use.refused:
        became = f"refused: {REFUSALS.get(use.refused, 'dated after the data cutoff')}"
    return [f"    {_text(event['on'])}", event["kind"], _valued(event), use.source, became]


def _response_lines(row: Response) -> Iterator[str]:
    why = f" ({row.reason})" if row.reason else f" by arm {row.arm}" if row.arm else ""
    yield f"  {_name(row)}, {row.window}: {row.category}{why}"
    yield from (f"    {line}" for line in row.working)
    if row.assessed_on is not None:
        table = f"; OMED by {row.omed_table}" if row.omed_table else ""
        yield f"    assessed {row.assessed_on}, day {row.days}; linked by {row.link or 'the lesion'}{table}"


def _time_line(row: TimeToEvent) -> str:
    if row.days is None or row.status is None:
        return f"  {_name(row)}: left out ({row.reason})"
    cause = f" ({row.cause})" if row.cause else ""
    span = f"{row.days} d, {row.origin} to {row.until}"
    said = "".join(f"; {line}" for line in row.working[:-1])
    return f"  {_name(row)}: {row.status.name.lower()}{cause} after {span}: {row.description}{said}"


def _name(row: Response | TimeToEvent) -> str:
    return f"{row.endpoint} {row.variant}" if row.variant else row.endpoint


def _from(row: Response | TimeToEvent, lesion: Sequence[str]) -> Iterator[str]:
    """What *row* rests on; the sources of the lesion itself are those of all rows, and stand above."""
    if row.flags:
        yield f"    flags: {' '.join(row.flags)}"
    more = [one for one in row.sources if one not in lesion]
    if row.sources:
        yield f"    from: {' '.join(('the lesion', *more))}"


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return " ".join(value) if isinstance(value, (list, tuple)) else str(value)


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """*rows* with their cells below each other."""
    if not rows:
        yield "  none"
        return
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
