"""What a run goes by: the site profile and the studies of the settings, and whether they are still the same.

One definition version with other parameters is refused, and an edited site profile withdraws nothing by
itself (`decisions.md` 4).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fhir_srs.codes import Pair
from fhir_srs.config import Settings
from fhir_srs.endpoints import Study, load_study
from fhir_srs.errors import ConfigurationError, LocalIOError
from fhir_srs.mapping.profile import Profile, load_profile
from fhir_srs.model import content_id
from fhir_srs.sync.intake import Intake

# Sets of `mappings/terminology` whose codes stand for spinal radiosurgery or a course that may be one
# (`spec/fhir-mapping.md` section 1.3, items 1 to 4); the generic ones only with a delivered dose.
COHORT_SETS = ("course", "radiosurgery", "billing")
GENERIC_SET = "radiotherapy"
_PROFILE = "profile"


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """The profile and the studies, with the hash of each by its name in the store."""

    profile: Profile
    studies: tuple[Study, ...]
    hashes: Mapping[str, str]

    @property
    def groups(self) -> frozenset[str]:
        """The scopes of retraction: `study|version`, as results name them."""
        return frozenset(f"{study.name}|{study.version}" for study in self.studies)

    def check(self, known: Mapping[str, str]) -> None:
        """Nothing, or ConfigurationError for studies whose parameters changed under the same version."""
        changed = [
            f"{name.replace('|', ' ')}: other parameters under the same version"
            for name, sha in self.hashes.items()
            if name != _PROFILE and known.get(name, sha) != sha
        ]
        if changed:
            raise ConfigurationError("study", changed)

    def profile_changed(self, known: Mapping[str, str]) -> bool:
        """Whether the site profile is another one than when results were last written."""
        return known.get(_PROFILE, self.hashes[_PROFILE]) != self.hashes[_PROFILE]


def load_definitions(settings: Settings) -> Definitions:
    """The profile and studies that *settings* name; raises for what does not exist or is wrong."""
    name = settings.mapping.profile
    profile = load_profile(name)
    studies = tuple(map(load_study, settings.study.names))
    hashes = {_PROFILE: content_id(profile.name, profile.version, _text(name))}
    hashes |= {f"{study.name}|{study.version}": _study_hash(study) for study in studies}
    return Definitions(profile=profile, studies=studies, hashes=hashes)


def _text(name: str) -> str:
    if not name.endswith(".toml"):
        return ""
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise LocalIOError(f"profile ({error.strerror})") from None


def _study_hash(study: Study) -> str:
    """A hash of the parameters alone: a better title or note is no other definition."""
    names = sorted(set(study.__struct_fields__) - {"title", "basis", "notes"})
    return content_id(*(f"{name}={getattr(study, name)}" for name in names))


def intake(profile: Profile, *, base: str, echo: str, synthetic: bool = True) -> Intake:
    """
    How the pull judges a resource: the codes of the cohort with their listed misspellings.

    With *synthetic* test patients (HTEST) are the cohort, else they are left out.
    """
    codes = profile.codes.sets
    return Intake(
        base=base,
        codes=frozenset(pair for name in COHORT_SETS for pair in _spelt(profile, codes.get(name, {}))),
        generic=frozenset(_spelt(profile, codes.get(GENERIC_SET, {}))),
        echoes=profile.result_systems | {echo},
        synthetic=synthetic,
    )


def _spelt(profile: Profile, pairs: Mapping[Pair, str]) -> Iterator[Pair]:
    """Each pair, and the same code under every listed alias of its system (`code-system-misspelt`)."""
    for system, code in pairs:
        yield system, code
        yield from ((alias, code) for alias, right in profile.codes.aliases.items() if right == system)
