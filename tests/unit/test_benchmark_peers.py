"""Benchmarks beside other libraries compare equal rows: ours are those of fhir.resources."""

from pathlib import Path

from benchmarks import gen
from benchmarks.bench_peers import PEERS, version_of
from benchmarks.peers import fhir_resources_peer, ours
from benchmarks.peers.rows import found


def test_our_rows_are_those_of_fhir_resources(tmp_path: Path) -> None:
    gen.generate(6, 3, tmp_path)
    rows = ours.read(tmp_path)
    assert {row[0] for row in rows} == {"pain", "dose"}
    assert found(rows) == found(fhir_resources_peer.read(tmp_path))
    assert found(rows[1:]) != found(rows)


def test_every_peer_is_pinned() -> None:
    assert all(version_of(one) for one in PEERS)
