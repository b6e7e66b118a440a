"""The settings file of the tests that run whole processes: one server, results on it, one study."""

from pathlib import Path

BASE = "https://srs.example.org"
_TEXT = """
[source]
base_url = "{base}"
allow_insecure_loopback = true
[target]
canonical_base = "{canonical}"
synthetic = true
references = "logical"
[study]
names = ["ryu2008"]
cutoff = 2025-12-31
[sync]
"""


def written_settings(folder: Path, base: str, sync: str = "write = true\n") -> Path:
    """`fhir-srs.toml` in *folder* for the server at *base*; *sync* is the text of its last table."""
    path = folder / "fhir-srs.toml"
    path.write_text(_TEXT.format(base=base, canonical=BASE) + sync)
    return path
