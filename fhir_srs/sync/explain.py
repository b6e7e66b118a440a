"""Where a number comes from, out of the store: of a lesion one patient is derived again, of a figure all."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from fhir_srs.config import Settings
from fhir_srs.endpoints import derive
from fhir_srs.errors import DataError
from fhir_srs.estimates.analysis import Asked, analyse
from fhir_srs.mapping import map_resources
from fhir_srs.mapping.lines import Entry, look
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Lesion, Mapped
from fhir_srs.report.explain import Explanation, explanation, find_lesion
from fhir_srs.report.figure import FigureExplanation, explain_figure, printed
from fhir_srs.store import Store
from fhir_srs.sync.definitions import load_definitions
from fhir_srs.sync.session import local_store
from fhir_srs.sync.taking import moment_of


def explained(settings: Settings, name: str, endpoint: str | None = None) -> Explanation:
    """
    The lesion *name* (its lesion_id, or how that alone begins) under the studies of *settings*.

    Up to the data cutoff of the settings, or, where that is the server's, of the last complete pull: the
    figures of the last run. UsageError for a lesion or endpoint that is not there, DataError for a store
    without a complete pull, Busy while a run has the store.
    """
    definitions = load_definitions(settings)
    with local_store(settings) as (_, store):
        cutoff = _cutoff(settings, store)
        store.check_sound()
        bodies = list(store.payloads())
    mapped = map_resources(bodies, profile=definitions.profile)
    lesion = find_lesion(mapped, name)
    own = map_resources(_of_patient(bodies, mapped, lesion, definitions.profile), profile=definitions.profile)
    outcomes = [derive(own, study=study, data_cutoff=cutoff) for study in definitions.studies]
    return explanation(own, outcomes, lesion, endpoint)


def explained_figure(settings: Settings, asked: str, *, by: str | None = None) -> FigureExplanation:
    """
    The figure that *asked* names by its words, under the studies of *settings*.

    Of the whole cohort, or with *by*, a grouping, of its parts too. Cutoff and errors as in `explained`;
    UsageError where no figure or several have these words, and for an unknown grouping.
    """
    definitions = load_definitions(settings)
    with local_store(settings) as (_, store):
        cutoff = _cutoff(settings, store)
        store.check_sound()
        mapped = map_resources(store.payloads(), profile=definitions.profile)
    found = [analyse(mapped, study, cutoff, Asked(by=by)) for study in definitions.studies]
    return explain_figure([table for one in found for table in printed(one, cutoff)], asked)


def _cutoff(settings: Settings, store: Store) -> date:
    """The data cutoff of the last run: a watermark is its server's time less the lag."""
    if settings.study.cutoff != "server":
        return settings.study.cutoff
    cursors = store.cursors().values()
    starts = [moment + timedelta(seconds=one.lag) for one in cursors if (moment := moment_of(one.watermark))]
    if not starts:
        raise DataError("the store holds no complete pull yet")
    return max(starts).date()


def _of_patient(bodies: Sequence[bytes], mapped: Mapped, lesion: Lesion, profile: Profile) -> Iterator[bytes]:
    """The resources of the patient of *lesion*, of merged records and by identifier too, and all drugs."""
    patient = next(one for one in mapped.patients if one.patient == lesion.patient)
    records = {lesion.patient, *(source.partition("/_history")[0] for source in patient.sources)}
    for body in bodies:
        for one in look([body], profile):
            if isinstance(one, Entry) and one.body is not None:
                owner = one.owner
                drug = one.key.startswith("Medication/")
                if drug or owner.patient in records or owner.token == (patient.identifier or ""):
                    yield one.body
