"""What all results of one study share: identity, meta, method, references. Shapes: `fhir-mapping.md` 9."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from fhir_srs.model import Lesion, Patient, Response, TimeToEvent, to_json
from fhir_srs.results.references import ALLOWED, organization, reference, references, subject, unversioned
from fhir_srs.results.resources import (
    device_id,
    group_key,
    provenance,
    provenance_id,
    result_id,
    security,
)
from fhir_srs.results.sites import body_site
from fhir_srs.results.target import ResultTarget, StudyName, Unit
from fhir_srs.results.terms import ENDPOINTS, OBSERVATION_CATEGORY, SUPPORTING_INFO, Terms, coding

Content: TypeAlias = dict[str, Any]
Row: TypeAlias = Response | TimeToEvent


@dataclass(frozen=True, slots=True)
class Frame:
    """One study on one target. *lesions* are by lesion id, *patients* by reference."""

    study: StudyName
    target: ResultTarget
    lesions: Mapping[str, Lesion]
    patients: Mapping[str, Patient]
    recorded: datetime

    @property
    def terms(self) -> Terms:
        """Our codes on this target."""
        return Terms(self.target.canonical_base)

    def row_unit(self, row: Row, grain: str, profile: str, content: Content) -> Unit | None:
        """The unit of one lesion's or patient's *row*; None where the target has no such patient."""
        patient = self.patients.get(row.patient)
        about = subject(self.target, row.patient, patient)
        if about is None:
            return None
        lesion = self.lesions.get(row.lesion_id) if row.lesion_id else None
        key = _key(row) or (patient.key if patient else row.patient)
        study = self.study
        identity = result_id(
            study.name, study.version, grain, key, row.endpoint, row.variant, row.window, None
        )
        sources = tuple(sorted({*row.sources, *(lesion.sources if lesion else ())}))
        links = {"subject": about, **_links(self.target, lesion, sources)}
        return self.unit(identity, row.endpoint, profile, links, content, sources, row.lesion_id)

    def unit(
        self,
        identity: str,
        endpoint: str,
        profile: str,
        links: Content,
        content: Content,
        sources: Sequence[str],
        lesion_id: str | None = None,
    ) -> Unit:
        """An Observation with *identity* and its Provenance; *content* has status, value and components."""
        resource = {
            "resourceType": "Observation",
            "id": identity,
            "meta": self._meta(profile),
            "identifier": self._identifiers(identity, lesion_id),
            "category": [{"coding": [coding(OBSERVATION_CATEGORY, "procedure", "Procedure")]}],
            "code": {"coding": [self.terms.coding("endpoint", endpoint, ENDPOINTS.get(endpoint))]},
            "method": {"text": f"{self.study.name} {self.study.version}"},
            "device": {"reference": f"Device/{device_id(self.target)}"},
            **self._performer(),
            **links,
            **content,
        }
        return Unit(
            id=identity,
            group=group_key(self.study),
            resource=to_json({name: value for name, value in resource.items() if value not in ([], {})}),
            provenance_id=provenance_id(identity),
            provenance=provenance(self.target, identity, sources, recorded=self.recorded),
            depends_on=tuple(sources),
        )

    def _meta(self, profile: str) -> Content:
        url = self.terms.profile(profile)
        claimed = {"profile": [url]} if url in self.target.profiles else {}
        tag = {"system": f"{self.target.canonical_base}/tag", "code": "derived"}
        return {**claimed, "security": security(self.target), "tag": [tag]}

    def _identifiers(self, identity: str, lesion_id: str | None) -> list[Content]:
        base = self.target.canonical_base
        ours = [{"system": f"{base}/result", "value": identity}]
        return [*ours, {"system": f"{base}/lesion", "value": lesion_id}] if lesion_id else ours

    def _performer(self) -> Content:
        responsible = organization(self.target)
        return {} if responsible is None else {"performer": [responsible]}


def _key(row: Row) -> str | None:
    """Of a lesion its id, with the level where the row is of one segment; None for a patient's."""
    segment = getattr(row, "segment", None)
    return f"{row.lesion_id}/{segment}" if row.lesion_id and segment else row.lesion_id


def _links(target: ResultTarget, lesion: Lesion | None, sources: Sequence[str]) -> Content:
    """focus, bodySite, partOf, derivedFrom, and supportingInfo for inputs that fit none of them."""
    course = [lesion.course] if lesion and lesion.course else []
    volume = [lesion.target] if lesion and lesion.target else []
    site = body_site(lesion.levels, lesion.region) if lesion else None
    rest = _rest(sources, {*map(unversioned, course), *map(unversioned, volume)})
    return {
        "focus": [reference(target, one) for one in volume],
        **({"bodySite": site} if site else {}),
        "partOf": references(target, course, "partOf"),
        "derivedFrom": references(target, sources, "derivedFrom"),
        "extension": [{"url": SUPPORTING_INFO, "valueReference": reference(target, one)} for one in rest],
    }


def _rest(sources: Sequence[str], elsewhere: set[str]) -> list[str]:
    """Inputs that are neither derivedFrom, nor named *elsewhere*, nor the patient."""
    skipped = {"Patient"} | ALLOWED["derivedFrom"]
    plain = {unversioned(one) for one in sources if one.split("/", 1)[0] not in skipped}
    return sorted(plain - elsewhere)
