"""Maps of single patients put together: one order whatever the input's, and lesion ids that differ.

The orders compare UTF-8 bytes, so that an engine may merge sorted files without decoding them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import msgspec

from fhir_srs.mapping.lesions import lesion_order, with_number
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event, Issue, Lesion, Patient

# Sorts before all that a name or a path may hold.
_END = b"\x00"


def person_order(patient: Patient) -> tuple[bytes, bytes]:
    """The order of patients: by identifier, else reference; of one identifier by reference."""
    return (patient.identifier or patient.patient).encode(), patient.patient.encode()


def issue_order(issue: Issue) -> bytes:
    """The order of issues: resource, reason, path, refused before used."""
    parts = (issue.resource or "", issue.reason, issue.path or "", "1" if issue.used else "0")
    return _END.join(part.encode() for part in parts)


def namesakes(maps: Iterable[PatientMap]) -> Iterator[list[PatientMap]]:
    """*maps*, sorted by `person_order`, in groups of one identifier: nearly always one patient."""
    return (list(group) for _, group in groupby(maps, key=lambda one: person_order(one.patient)[0]))


def distinct(group: Sequence[PatientMap], profile: Profile) -> tuple[list[PatientMap], list[Issue]]:
    """
    The maps of one *group* of namesakes, their lesion ids made different, and an Issue for each change.

    Two records with one identifier that nobody merged may have lesions of equal identity
    (`decisions.md` 1: `#2`, ... with `id-collision`).
    """
    owners: dict[str, int] = {}
    made, issues = [], []
    for one in group:
        new = {}
        for lesion in one.lesions:
            count = owners[lesion.lesion_id] = owners.get(lesion.lesion_id, 0) + 1
            if count > 1:
                new[lesion.lesion_id] = with_number(lesion, count)
                issues.append(profile.issue("id-collision", lesion.course or lesion.patient, used=True))
        made.append(_renamed(one, new) if new else one)
    return made, issues


def lesions_of(group: Iterable[PatientMap]) -> list[Lesion]:
    """The lesions of one *group* of namesakes in the order of `lesions.ndjson`."""
    return sorted((lesion for one in group for lesion in one.lesions), key=lesion_order)


def _renamed(one: PatientMap, new: Mapping[str, Lesion]) -> PatientMap:
    """*one* with the lesions of *new* in the place of those with these ids, in events and links too."""
    names = {old: lesion.lesion_id for old, lesion in new.items()}
    lesions = [new.get(lesion.lesion_id, lesion) for lesion in one.lesions]
    return msgspec.structs.replace(
        one,
        lesions=tuple(
            msgspec.structs.replace(
                each, reirradiation_of=names.get(each.reirradiation_of or "", each.reirradiation_of)
            )
            for each in lesions
        ),
        events=tuple(_moved(event, names) for event in one.events),
    )


def _moved(event: Event, names: Mapping[str, str]) -> Event:
    name = names.get(event.lesion_id or "")
    return msgspec.structs.replace(event, lesion_id=name) if name else event
