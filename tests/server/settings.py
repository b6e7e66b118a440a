"""The settings file of the tests that run whole processes: one server, results on it, some studies."""

from collections.abc import Sequence
from pathlib import Path

BASE = "https://srs.example.org"
WARD = str(Path(__file__).with_name("ward.toml"))  # the study of tests in which more figures prove no more
_TEXT = """
[source]
base_url = "{base}"
allow_insecure_loopback = true
[target]
canonical_base = "{canonical}"
synthetic = true
references = "logical"
[study]
names = {studies}
cutoff = 2025-12-31
[sync]
"""


def written_settings(
    folder: Path, base: str, sync: str = "write = true\n", *, studies: Sequence[str] = ("ryu2008",)
) -> Path:
    """`fhir-srs.toml` in *folder* for the server at *base*; *sync* is the text of its last table."""
    path = folder / "fhir-srs.toml"
    path.write_text(_TEXT.format(base=base, canonical=BASE, studies=list(studies)) + sync)
    return path
