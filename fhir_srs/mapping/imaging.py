"""Imaging studies and reports: that the site was looked at, and when. Free text is not interpreted."""

from fhir_srs import r4
from fhir_srs.mapping.elements import (
    IGNORED,
    REPORT,
    STUDY,
    Said,
    When,
    day,
    effective,
    event,
    hints_of,
    refused,
    status_of,
    used,
)
from fhir_srs.mapping.facts import Draft, LinkHints, PatientFacts, Taken
from fhir_srs.mapping.profile import Profile

# HL7 table 0074 (http://terminology.hl7.org/CodeSystem/v2-0074): radiology and its sections.
_RADIOLOGY = frozenset({"RAD", "RX", "CT", "NMR", "NMS", "RUS", "XRC"})
# DICOM modalities that show a spine.
_MODALITIES = frozenset({"MR", "CT", "PT", "NM", "CR", "DX", "XA", "RF"})


def take_imaging_study(resource: r4.ImagingStudy, facts: PatientFacts, profile: Profile) -> Taken:
    """An event on the day it started; treatment planning images and others than a spine shows are ignored."""
    modalities = {one.code for one in resource.modality} | {
        one.modality.code for one in resource.series if one.modality
    }
    if modalities and modalities.isdisjoint(_MODALITIES):
        return IGNORED
    status = status_of(resource.status, STUDY)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    when = day(resource.started, "started", facts, profile)
    sites = tuple(r4.CodeableConcept(coding=(one.body_site,)) for one in resource.series if one.body_site)
    hints = LinkHints(sites=sites, conditions=resource.reason_reference, volumes=hints_of(resource).volumes)
    return _used(resource, when, ((status, "status"),) if status else (), hints, facts, profile)


def take_report(resource: r4.DiagnosticReport, facts: PatientFacts, profile: Profile) -> Taken:
    """A radiology report is an imaging event; other reports are another kind of data."""
    if not _is_radiology(resource, profile):
        return IGNORED
    status = status_of(resource.status, REPORT)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    when = effective(resource.effective_date_time, None, resource.effective_period, facts, profile)
    said: Said = ((status, "status"),) if status else ()
    return _used(resource, when, said, hints_of(resource), facts, profile)


def _is_radiology(resource: r4.DiagnosticReport, profile: Profile) -> bool:
    codes = {coding.code for concept in resource.category for coding in concept.coding}
    method = profile.codes.find("imaging-method", resource.code)
    return bool(resource.imaging_study) or not codes.isdisjoint(_RADIOLOGY) or method is not None


def _used(
    resource: r4.ImagingStudy | r4.DiagnosticReport,
    when: When,
    said: Said,
    hints: LinkHints,
    facts: PatientFacts,
    profile: Profile,
) -> Taken:
    made = event(resource, "imaging", when.on, facts)
    return used(resource, [Draft(event=made, hints=hints)], (*said, *when.said), profile)
