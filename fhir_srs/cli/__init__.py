"""The commands of `fhir-srs`: arguments in, a result on stdout, everything else on stderr. No logic.

Exit codes are those of `fhir_srs.errors`; each command imports what it needs when it runs. A command joins
`app` when its module is imported: the order below is that of `fhir-srs --help`.
"""

from fhir_srs.cli import trying, syncing, keeping, mapping, studies, keys  # isort: skip
from fhir_srs.cli.application import app
from fhir_srs.cli.process import main, run

__all__ = ["app", "keeping", "keys", "main", "mapping", "run", "studies", "syncing", "trying"]
