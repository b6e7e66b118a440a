"""What became of each resource of one patient: used, ignored or refused, with the issues that say why."""

from collections.abc import Iterable

from fhir_srs.mapping.facts import Use
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Issue


class Ledger:
    """
    Every resource is entered once or more; `used` outweighs `refused`, and that `ignored`.

    What is contained in another (`Procedure/x#id`) is no resource of its own, and not entered.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.uses: dict[str, Use] = {}
        self.issues: list[Issue] = []

    def use(self, *keys: str) -> None:
        """Enter *keys* as used, whatever they were refused for before."""
        for key in keys:
            if self.uses.get(key) == "refused":
                self.issues = [one for one in self.issues if one.used or one.resource != key]
            if "#" not in key:
                self.uses[key] = "used"

    def ignore(self, key: str) -> None:
        """Enter *key* as another kind of data, unless it is entered already."""
        if "#" not in key:
            self.uses.setdefault(key, "ignored")

    def refuse(self, key: str, reason: str, path: str | None = None) -> None:
        """Enter *key* as refused for *reason*, unless it is used for something else or refused already."""
        if self.uses.get(key) not in ("used", "refused") and "#" not in key:
            self.uses[key] = "refused"
            self.issues.append(self._profile.issue(reason, key, path, used=False))

    def note(self, key: str, reason: str, path: str | None = None) -> None:
        """Say *reason* of *key*, which counts nevertheless."""
        self.issues.append(self._profile.issue(reason, key, path, used=True))

    def note_all(self, key: str, reasons: Iterable[tuple[str, str | None]]) -> None:
        """Say each (reason, path) of *key*, once."""
        for reason, path in dict.fromkeys(reasons):
            self.note(key, reason, path)
