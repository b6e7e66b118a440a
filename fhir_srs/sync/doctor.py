"""What a server can do and what will be missing: asked with reads alone, before anything is synchronised."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, Literal

import msgspec

from fhir_srs.config import Settings
from fhir_srs.errors import FhirSrsError
from fhir_srs.fhir.answers import decipher_capabilities, decipher_count, decipher_page, http_date
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Search, capabilities, count_request, search_request
from fhir_srs.sync.abilities import searchable, with_interaction, writable
from fhir_srs.sync.conformance import known_profiles, our_definitions
from fhir_srs.sync.machine import Machine
from fhir_srs.sync.pull import PATIENT_TYPES, REQUIRED
from fhir_srs.sync.run import prepared
from fhir_srs.sync.session import WRITTEN_TYPES, Session, connected, local_store

_SKEW = 600.0  # seconds: more is an error (F26), more than a minute a warning (section 8, Metrics)
Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    level: Level
    topic: str
    text: str


def examine(settings: Settings, machine: Machine) -> list[Finding]:
    """
    What was found on source and target; a server's error is a finding.

    Raises, as a run would before it asks a server: ConfigurationError, UsageError, Busy, LocalIOError.
    """
    prepared(settings)
    with (
        local_store(settings) as (folder, store),
        connected(settings, machine, folder, store) as session,
    ):
        found = list(_server(session.source, settings, machine, "source"))
        if not session.one_server:
            found += _server(session.target, settings, machine, "target")
        reached = all(one.level != "error" for one in found if one.topic.endswith(": reach"))
        return [*found, *(_others(session, settings) if reached else ())]


def _server(client: FhirClient, settings: Settings, machine: Machine, role: str) -> Iterator[Finding]:
    try:
        statement, date = client.ask(
            capabilities(),
            lambda answer, route: (decipher_capabilities(answer, route), answer.headers.get("date")),
        )
    except FhirSrsError as error:
        yield Finding("error", f"{role}: reach", str(error))
        return
    yield Finding("ok", f"{role}: reach", f"answers as FHIR {statement.get('fhirVersion', '?')}")
    yield _version(statement, role)
    yield _clock(date, machine, role)
    if role == "source":
        yield from _reading(client, statement)
    if role == "target" or settings.target.base_url is None:
        yield from _writing(client, statement, settings)


def _version(statement: Mapping[str, Any], role: str) -> Finding:
    is_r4 = str(statement.get("fhirVersion", "")).startswith("4.")
    return Finding("ok" if is_r4 else "error", f"{role}: version", "R4" if is_r4 else "not FHIR R4")


def _clock(date: str | None, machine: Machine, role: str) -> Finding:
    theirs = http_date(date)
    if theirs is None:
        return Finding("warning", f"{role}: clock", "the server does not say what time it is")
    skew = abs((machine.now().astimezone(UTC) - theirs).total_seconds())
    level: Level = "error" if skew > _SKEW else "warning" if skew > 60 else "ok"
    return Finding(level, f"{role}: clock", f"{skew:.0f} s apart from ours")


def _reading(client: FhirClient, statement: Mapping[str, Any]) -> Iterator[Finding]:
    offered = searchable(statement)
    wanted = ("Patient", *PATIENT_TYPES, "Medication")
    for name in wanted:
        if name not in offered:
            level: Level = "error" if name in REQUIRED else "warning"
            yield Finding(level, f"source: {name}", "cannot be searched: what it holds will be missing")
    yield from _access(client, [name for name in wanted if name in offered])
    yield from _links(client)
    if "Consent" not in offered:
        yield Finding("warning", "source: Consent", "cannot be searched: opt-outs only by the list file")
    told = set(wanted) & offered <= with_interaction(statement, "history-type")
    text = "deletions are told" if told else "missing: all ids are compared in each run (H10)"
    yield Finding("ok" if told else "warning", "source: history", text)


def _access(client: FhirClient, names: list[str]) -> Iterator[Finding]:
    """Whether each type may really be counted: a scope may be missing, or a count."""
    for name in names:
        try:
            number = client.ask(count_request(Search(type=name, filters=(), count=1)), decipher_count)
        except FhirSrsError as error:
            yield Finding("error", f"source: {name}", str(error))
            continue
        if number is None:
            yield Finding("error", f"source: {name}", "the server does not count: no pull can be proven")


def _links(client: FhirClient) -> Iterator[Finding]:
    """Whether the links of a page lead back to where we asked: behind a proxy they may not (H8)."""
    try:
        page = client.ask(search_request(Search(type="Patient", filters=(), count=1)), decipher_page)
    except FhirSrsError:
        return  # what `source: Patient` says is enough
    link = page.next or page.self_link
    try:
        if link is not None:
            client.followed(link)
    except FhirSrsError:
        text = f"begin with another address than base_url{_called(link)}: name it in internal_bases"
        yield Finding("error", "source: links", text)


def _called(link: str | None) -> str:
    """What the server calls itself in *link*, if that is an address like any other."""
    match = re.match(r"https?://[A-Za-z0-9.:\[\]-]{1,120}", link or "")
    return f" ({match[0]})" if match else ""


def _writing(client: FhirClient, statement: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    if not settings.sync.write:
        yield Finding("ok", "target: writing", "off ([sync] write = false)")
        return
    lacking = client.lacking(sorted(WRITTEN_TYPES), "cu")
    if lacking:
        yield Finding("error", "target: scopes", f"the token lacks {', '.join(lacking)}: nothing is written")
    missing = sorted(WRITTEN_TYPES - writable(statement))
    text = f"no {', '.join(missing)} under ids that we choose" if missing else "ids of ours are taken"
    yield Finding("error" if missing else "ok", "target: writing", text)
    yield _profiles(client, statement, settings)
    if settings.target.base_url is None and settings.target.references == "literal":
        text = "literal: the hospital cannot delete what a result refers to (decisions.md 5)"
        yield Finding("warning", "target: references", text)


def _others(session: Session, settings: Settings) -> Iterator[Finding]:
    """Results under our canonical_base that this store never heard of (docs/decisions/039)."""
    system = f"{settings.target.canonical_base}/result"
    search = Search(type="Observation", filters=(("identifier", f"{system}|"),), count=1)
    try:
        there = session.target.ask(count_request(search), decipher_count) or 0
    except FhirSrsError:
        return  # a server that cannot search so: what `source: Observation` says is enough
    unknown = there - session.outbox.results()
    if unknown > 0:
        text = (
            f"{unknown} under our canonical_base that this store did not write: of a store that was lost, or"
        )
        yield Finding("warning", "target: results", f"{text} of another installation, which needs its own")


def _profiles(client: FhirClient, statement: Mapping[str, Any], settings: Settings) -> Finding:
    base = settings.target.canonical_base
    ours = sum(name.startswith("StructureDefinition/") for name in our_definitions(base))
    offered = "StructureDefinition" in with_interaction(statement, "read")
    there = len(known_profiles(client, base, reads_only=True)) if offered else 0
    hint = "" if there == ours else "; `fhir-srs conformance` puts them there"
    level: Level = "ok" if there == ours else "warning"
    return Finding(level, "target: profiles", f"{there} of our {ours} FHIR profiles{hint}")
