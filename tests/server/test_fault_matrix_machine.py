"""The fault matrix of reliability.md below HTTP and on this machine: TLS, clocks, disk, locks, signals."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import ctypes
import random
import resource
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_srs.config import Settings, parse_settings
from fhir_srs.errors import FhirSrsError
from fhir_srs.store import state_folder
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.doctor import examine
from fhir_srs.sync.rebuild import rebuild
from fhir_srs.testing.faults import parse_fault
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.hospital import hospital, stamped
from tests.server.patients import pain, person, story
from tests.server.settings import WARD
from tests.server.test_pull import WATERMARK, cursors, pull
from tests.server.test_sync import CHANGED, NOTHING, Ward, done
from tests.server.test_sync_crash import Site
from tests.server.tls import Authority, context, tls_front


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(story("a")) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def reading(base: str, folder: Path, **source: Any) -> Settings:
    return parse_settings(
        {
            "source": {"base_url": base, **source},
            "target": {"synthetic": True},
            "study": {"names": [WARD], "cutoff": "2025-12-31"},
            "store": {"folder": "state"},
        },
        folder=folder,
    )


def with_token(folder: Path) -> dict[str, Any]:
    path = folder / "token"
    path.write_text("canary-4711")
    path.chmod(0o600)
    return {"auth": "token", "token_file": str(path)}


@contextmanager
def front(server: RunningServer, speaks: ssl.SSLContext) -> Iterator[tuple[str, list[bytes]]]:
    with tls_front(urlsplit(server.base_url).port or 0, speaks) as found:
        yield found


def test_F23_where_nobody_listens_the_server_is_unavailable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = f"http://127.0.0.1:{taken.getsockname()[1]}/fhir"
    asked = reading(base, tmp_path, allow_insecure_loopback=True)
    summary = run_sync(asked, machine=Machine(sleep=lambda _: None))
    assert (summary.status, summary.exit_code) == ("failed", 69)


def test_F27_a_server_with_a_certificate_of_the_sites_own_ca_is_read(
    server: RunningServer, authority: Authority, tmp_path: Path
) -> None:
    with front(server, context(authority.server())) as (base, _):
        summary = run_sync(reading(base, tmp_path, ca_file=str(authority.path)))
    assert (summary.status, summary.error, summary.lesions) == ("done", None, 1)


_UNKNOWN = ": the certificate is of an authority that is not known here (ca_file)"


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("expired", ": the certificate has expired"),
        ("wrong host", ": the certificate is for another host"),
        ("self-signed", _UNKNOWN),
        ("unknown CA", _UNKNOWN),
        ("TLS 1.1", ""),
    ],
)
def test_F27_I16_a_certificate_that_is_not_right_ends_the_run_before_anything_is_said(
    server: RunningServer, authority: Authority, tmp_path: Path, case: str, why: str
) -> None:
    pem = authority.server(
        "127.0.0.2" if case == "wrong host" else "127.0.0.1",
        ended=case == "expired",
        signed=case != "self-signed",
    )
    speaks = context(pem, newest=ssl.TLSVersion.TLSv1_1) if case == "TLS 1.1" else context(pem)
    trusted = {} if case == "unknown CA" else {"ca_file": str(authority.path)}
    waits: list[float] = []
    with front(server, speaks) as (base, seen):
        asked = reading(base, tmp_path, **trusted, **with_token(tmp_path))
        summary = run_sync(asked, machine=Machine(sleep=waits.append))
    assert (summary.status, summary.exit_code, waits) == ("failed", 76, [])
    assert summary.error == f"GET metadata: TLS failed{why}"
    assert seen == []


def test_F26_a_server_whose_clock_goes_back_loses_nothing_and_moves_no_watermark_back(
    tmp_path: Path,
) -> None:
    shift = [timedelta(0)]
    with (
        running_server(story("a"), clock=lambda: datetime.now(UTC) + shift[0]) as server,
        closing(Ward(server.base_url)) as ward,
    ):
        asked = reading(server.base_url, tmp_path, allow_insecure_loopback=True)
        before = done(run_sync(asked)).watermarks
        shift[0] = timedelta(hours=-2)
        findings = {one.topic: one.level for one in examine(asked, Machine())}
        assert findings["source: clock"] == "error"
        # Stamped before what we hold of it, and before all that was said to be complete.
        ward.put(pain(person("a"), CHANGED, 7))
        ward.put(pain(person("a"), "2025-01-01", 3))
        back = done(run_sync(asked))
        assert (back.pulled["Observation"].new, back.pulled["Observation"].changed) == (1, 1)
        assert "clock went back" in " ".join(back.notes)
        # From now on increments, though the clock is still behind; then it has caught up.
        for hours, score in ((-1, 5), (0, 6), (1, 7)):
            shift[0] = timedelta(hours=hours)
            ward.put(pain(person("a"), "2025-01-01", score))
            later = done(run_sync(asked))
            assert (later.pulled["Observation"].changed, later.notes) == (1, ())
            assert later.watermarks["Observation"] >= before["Observation"]
        assert later.watermarks["Observation"] > before["Observation"]
        # A rebuild while the clock is back: its own watermark is earlier, ours stays, nothing is lost.
        shift[0] = timedelta(hours=-2)
        assert rebuild(asked).agrees
        ward.put(pain(person("a"), "2025-01-01", 8))
        last = done(run_sync(asked))
        assert last.pulled["Observation"].changed == 1
        assert last.watermarks["Observation"] >= later.watermarks["Observation"]


def test_F26_a_stamp_of_the_future_moves_no_watermark_there(tmp_path: Path) -> None:
    with hospital(story("a")) as ehr:
        ehr.resources.append(stamped(pain(person("a"), "2025-01-01", 3), at="2099-01-01T00:00:00.000Z"))
        pull(ehr, tmp_path)
    assert cursors(tmp_path) == {WATERMARK}


@pytest.fixture
def site(server: RunningServer, tmp_path: Path) -> Iterator[Site]:
    one = Site(server, tmp_path)
    yield one
    one.ward.close()


def syncing(site: Site, **more: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "fhir_srs", "sync", "--once", "-c", str(site.path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def test_F43_F44_F45_a_full_disk_is_74_a_killed_run_leaves_no_lock_and_the_next_one_finishes(
    site: Site,
) -> None:
    small = 40_000  # bytes that any one file may have: the store needs more
    full = syncing(site, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)))
    _, said = full.communicate(timeout=60)
    assert full.returncode == 74, said
    assert b"Canary" not in said
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(site.folder / "state")], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    busy = syncing(site)
    busy.communicate(timeout=60)
    assert busy.returncode == 75
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=10)
    done(run_sync(site.settings))
    assert done(run_sync(site.settings, full=True)).written == NOTHING


def meanings(site: Site) -> dict[str, Any]:
    return {name: {**one, "meta": None} for name, one in site.ward.results().items()}


def flipped(site: Site, seeds: range) -> None:
    """One bit anywhere in the store: the run is refused or right, never wrong (I22)."""
    folder = site.folder / "state"
    store, beside = folder / "store.sqlite", folder / "generation"
    for _ in range(2):
        done(run_sync(site.settings))
    kept, count, before = store.read_bytes(), beside.read_bytes(), meanings(site)
    for seed in seeds:
        chance, content = random.Random(seed), bytearray(kept)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        for one in folder.glob("store.sqlite-*"):
            one.unlink()
        store.write_bytes(content)
        beside.write_bytes(count)
        try:
            code = run_sync(site.settings, retract=True).exit_code
        except FhirSrsError as error:
            code = error.exit_code
        assert code in {0, 65, 74, 78}, seed
        assert meanings(site) == before, seed


def test_I22_F44_of_a_store_with_a_flipped_bit_no_wrong_result_is_made(site: Site) -> None:
    flipped(site, range(8))


@pytest.mark.long
def test_I22_F44_of_hundreds_of_flipped_bits_none_makes_a_wrong_result(site: Site) -> None:
    flipped(site, range(400))


def test_I22_a_run_on_a_damaged_score_is_refused_and_a_rebuild_mends_it(site: Site) -> None:
    done(run_sync(site.settings))
    store = site.folder / "state" / "store.sqlite"
    content = store.read_bytes()
    place = content.index(b'"effectiveDateTime":"2024-04-16"') + len('"effectiveDateTime":"2024-0')
    store.write_bytes(content[:place] + b"5" + content[place + 1 :])
    summary = run_sync(site.settings, retract=True)
    assert (summary.status, summary.exit_code) == ("failed", 74)
    assert rebuild(site.settings).pull.status == "done"
    assert done(run_sync(site.settings, retract=True)).written == NOTHING


def test_I22_of_an_index_that_takes_one_patients_row_for_anothers_no_result_is_made(tmp_path: Path) -> None:
    with running_server([*story("a"), *story("b")]) as server:
        site = Site(server, tmp_path)
        done(run_sync(site.settings))
        before = meanings(site)
        swap_in_index(site.folder / "state" / "store.sqlite")
        summary = run_sync(site.settings, retract=True)
        assert (summary.status, summary.exit_code) == ("failed", 74)
        assert meanings(site) == before
        site.ward.close()


def swap_in_index(path: Path) -> None:
    """Two rows change places while the index of patients is hidden: it then finds each for the other's."""
    hidden = "from sqlite_schema where name = 'raw_patient'"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        entry = database.execute(f"select * {hidden}").fetchone()
        database.execute("pragma writable_schema = on")
        database.execute(f"delete {hidden}")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        named = "select rowid from raw where type = 'Observation' and patient = ? order by rowid limit 1"
        (one,), (other,) = (database.execute(named, (f"Patient/{name}",)).fetchone() for name in "ab")
        for before, after in ((one, -1), (other, one), (-1, other)):
            database.execute("update raw set rowid = ? where rowid = ?", (after, before))
        database.execute("pragma writable_schema = on")
        database.execute("insert into sqlite_schema values (?, ?, ?, ?, ?)", entry)


# A child's ru_maxrss counts what it was forked from; what it grew to itself stands in /proc (proc(5)).
_MEASURED = """
import sys
from fhir_srs.cli import run
print(run(["sync", "--once", "-c", sys.argv[1]]))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("name", ["flood", "gzip-bomb"])
def test_I18_F20_F21_a_hostile_body_costs_a_bounded_amount_of_memory(tmp_path: Path, name: str) -> None:
    """200 MB without a length, of which 64 MiB may be read; 20 MB in 20 kB, of which a ratio of 200."""
    with running_server(story("a"), faults=[parse_fault(f"{name},times=0")]) as server:
        site = Site(server, tmp_path)
        command = [sys.executable, "-c", _MEASURED, str(site.path)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
        site.ward.close()
    assert "larger than allowed" in ended.stdout
    code, kilobytes = ended.stdout.split()[-2:]
    assert code == "65"
    assert int(kilobytes) < 300 * 1024  # the program itself takes some 100 MB


def test_I15_F45_of_two_processes_started_at_once_one_syncs_and_one_is_busy_or_finds_nothing_to_do(
    site: Site,
) -> None:
    for _ in range(2):
        both = [syncing(site), syncing(site)]
        said = [one.communicate(timeout=100) for one in both]
        codes = sorted(one.returncode for one in both)
        assert codes in ([0, 75], [0, 0]), said
    results = site.ward.results()
    assert len(site.ward.all("Provenance")) == len(results) > 0
    assert {one["meta"]["versionId"] for one in results.values()} == {"1"}
    assert done(run_sync(site.settings, full=True)).written == NOTHING


def without_power_over_files() -> None:
    """Before exec: not even root may write where the mode forbids it (capabilities(7), prctl(2))."""
    drop, override, read_search = 24, 1, 2
    for capability in (override, read_search):
        ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0)


def test_F44_a_state_folder_or_store_that_may_not_be_written_is_74_and_stays_as_it_is(site: Site) -> None:
    done(run_sync(site.settings))
    folder = site.folder / "state"
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    for path, mode in ((folder, 0o500), (folder / "store.sqlite", 0o400)):
        kept = path.stat().st_mode
        path.chmod(mode)
        try:
            process = syncing(site, preexec_fn=without_power_over_files)
            _, said = process.communicate(timeout=100)
        finally:
            path.chmod(kept)
        assert process.returncode == 74, (path.name, said)
        assert {one.name: one.read_bytes() for one in folder.iterdir()} == before
    assert done(run_sync(site.settings, full=True)).written == NOTHING


_HOLD = """
import sys, time, pathlib
from fhir_srs.errors import FhirSrsError
from fhir_srs.store import state_folder
with state_folder(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_F44_a_folder_that_cannot_be_made_is_74(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(Exception, match="state folder") as raised, state_folder(tmp_path / "state" / "x"):
        pass
    assert getattr(raised.value, "exit_code", None) == 74
    assert [one.name for one in tmp_path.iterdir()] == ["state"]
