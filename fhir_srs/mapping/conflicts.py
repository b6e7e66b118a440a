"""Facts of one patient that contradict each other, settled and said (`spec/fhir-mapping.md` section 8)."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from fhir_srs.mapping.ledger import Ledger
from fhir_srs.model import Event


def settled(events: Iterable[Event], ledger: Ledger) -> Iterator[Event]:
    """*events* with one death; scores that differ at one time are all kept, the milder ones being said."""
    all_events = list(events)
    _say_scores(all_events, ledger)
    return _one_death(all_events, ledger)


def _one_death(events: Sequence[Event], ledger: Ledger) -> Iterator[Event]:
    """The dated death of the Patient record, the survivor's first, wins over any other."""
    deaths = [one for one in events if one.kind == "death"]
    told = next((one for one in deaths if one.on is not None and one.source.startswith("Patient/")), None)
    for event in events:
        if event.kind == "death" and told is not None and event is not told:
            if event.on is not None and told.on is not None and event.on.text != told.on.text:
                ledger.note(_name(event), "death-dates-conflict")
            continue
        yield event


def _say_scores(events: Iterable[Event], ledger: Ledger) -> None:
    """Different scores of one time, series and site: the endpoint takes the worst (`value-conflict`)."""
    scores: dict[object, list[Event]] = {}
    for event in events:
        if event.kind == "pain" and event.on is not None and event.on.day is not None:
            time = event.on.instant or event.on.day
            scores.setdefault((time, event.code, event.lesion_id), []).append(event)
    for rivals in scores.values():
        worst = max(map(_value, rivals)) if len(rivals) > 1 else None
        for name in sorted({_name(one) for one in rivals if worst is not None and _value(one) < worst}):
            ledger.note(name, "value-conflict", "value")


def _value(event: Event) -> Decimal:
    return event.value if isinstance(event.value, Decimal) else Decimal(0)


def _name(event: Event) -> str:
    return event.source.partition("/_history")[0]
