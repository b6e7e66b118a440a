"""The store keeps what was pulled, moves its watermarks only forward, and is nobody else's to read."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import os
import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest

from fhir_srs.errors import Busy, ConfigurationError, LocalIOError
from fhir_srs.store import SETTLED, Refused, Row, Sent, Store, open_store, secure_folder, state_folder
from fhir_srs.store.folder import local_errors, refuse_network

BASE = "https://x/fhir"
EARLY, LATE = "2026-01-05T10:00:00.000Z", "2026-01-05T11:00:00.000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    secure_folder(state)
    return state


def row(version: str, *, at: str = EARLY, payload: bytes = b"{}", name: str = "a") -> Row:
    return Row(type="Observation", id=name, version=version, last_updated=at, payload=payload)


def begun(store: Store) -> Store:
    store.begin_run("r1", started=EARLY, capabilities="{}")
    return store


def test_folder_and_files_are_private_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        with state_folder(folder), open_store(folder, BASE) as store:
            begun(store)
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes) == {"state.lock", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def sent(name: str, *, version: str = "1") -> Sent:
    key = f"Observation/{name}"
    return Sent(
        key=key, id=name, desired_sha="a", state="CONFIRMED", base_version=version, seen_version=version
    )


CHANGES = {
    "a new resource": lambda store: store.ingest("r1", 1, "Observation", rows=[row("1", name="new")]),
    "a changed one": lambda store: store.ingest(
        "r1", 1, "Observation", rows=[row("2", at=LATE, payload=b'{"x":1}')]
    ),
    "one that moved away": lambda store: store.ingest("r1", 1, "Observation", outside=[row("2", at=LATE)]),
    "one that is gone": lambda store: store.bury({("Observation", "a"): "2"}, LATE),
    "a patient left out": lambda store: store.leave_out({"Patient/p": "opt-out"}),
    "a result edited": lambda store: store.ingest("r1", 1, "Observation", echoes={"srs-1": "2"}),
    "a result deleted": lambda store: store.miss(["Observation/srs-1"]),
    "a backup put back": lambda store: store.distrust(),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_settled_is_so_until_anything_changes(folder: Path, what: str) -> None:
    with open_store(folder, BASE) as store:
        begun(store).ingest(
            "r1", 0, "Observation", rows=[msgspec.structs.replace(row("1"), patient="Patient/p")]
        )
        store.post([sent("srs-1")])
        store.set_mark(SETTLED, "all")
        # What is pulled again as it was, and our own result as we wrote it, change nothing.
        store.ingest("r1", 1, "Observation", rows=[row("1")], echoes={"srs-1": "1"})
        store.miss(["Observation/srs-unknown"])
        assert store.mark(SETTLED) == "all"
        CHANGES[what](store)
        assert store.mark(SETTLED) is None


def test_I5_a_rebuild_while_the_servers_clock_is_back_moves_no_watermark_back(tmp_path: Path) -> None:
    for name in ("old", "new"):
        secure_folder(tmp_path / name)
    with open_store(tmp_path / "old", BASE) as old, open_store(tmp_path / "new", BASE) as new:
        old.advance(LATE, types=["Observation"], lag=300, mode="m")
        new.advance(EARLY, types=["Observation"], lag=300, mode="m")
        old.advance(LATE, types=["Procedure"], lag=300, mode="m")  # not offered any more
        old.adopt(new)
        (cursor,) = old.cursors().values()
        assert (cursor.type, cursor.watermark, cursor.since) == ("Observation", LATE, EARLY)
        new.advance("2026-01-05T12:00:00.000Z", types=["Observation"], lag=300, mode="m")
        old.adopt(new)
        assert old.cursors()["Observation"].since == "2026-01-05T12:00:00.000Z"


def test_I22_a_mark_that_is_not_what_was_set_is_none(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        store.set_mark(SETTLED, '{"results":1}')
    for damage in ('replace(text, "1}", "3}")', "substr(text, 2)", "'{}'"):
        with sqlite3.connect(folder / "store.sqlite") as database:
            database.execute(f"update mark set text = {damage}")  # noqa: S608 - ours
        database.close()
        with open_store(folder, BASE) as store:
            assert store.mark(SETTLED) is None, damage


def test_I22_a_trigger_whose_text_is_damaged_is_told_as_damage(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store).ingest("r1", 1, "Observation", rows=[row("1")])
    path = folder / "store.sqlite"
    content = path.read_bytes()
    assert b"server = new.server and name" in content
    path.write_bytes(content.replace(b"server = new.server and name", b"serv\xe5r = new.server and name"))
    with pytest.raises(LocalIOError), open_store(folder, BASE) as store:
        store.ingest("r1", 2, "Observation", rows=[row("2", at=LATE, payload=b'{"x":1}')])


def test_a_folder_open_to_others_or_a_symlink_is_refused(tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    wide.mkdir(mode=0o755)
    wide.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    for bad in (wide, link):
        with pytest.raises(ConfigurationError), state_folder(bad):
            pass


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_I15_a_folder_that_other_machines_share_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"40 22 0:50 / {tmp_path}/far rw - {kind} server:/export rw\n"
        f"41 40 8:2 / {tmp_path}/far/near rw - xfs /dev/sdb rw\n"
        "a line that is none\n"
    )
    with pytest.raises(ConfigurationError, match=kind) as raised:
        refuse_network(tmp_path / "far" / "state", mounts)
    assert raised.value.exit_code == 78
    refuse_network(tmp_path / "far" / "near" / "state", mounts)
    refuse_network(tmp_path / "farther", mounts)


def test_I15_the_second_run_is_busy_and_a_finished_one_leaves_no_lock(folder: Path) -> None:
    with state_folder(folder):
        with pytest.raises(Busy) as raised, state_folder(folder):
            pass
        assert raised.value.exit_code == 75
    with state_folder(folder):
        pass


def test_I5_a_watermark_only_moves_forward(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        store.advance(LATE, types=["Patient"], lag=300, mode="m")
        store.advance(EARLY, types=["Patient"], lag=300, mode="m")
        assert store.cursors()["Patient"].watermark == LATE
    with (
        sqlite3.connect(folder / "store.sqlite") as database,
        pytest.raises(sqlite3.IntegrityError, match="watermark moved back"),
    ):
        database.execute("update cursor set watermark = ?", (EARLY,))
    database.close()


def test_I6_an_older_copy_never_replaces_a_newer_one(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        changes = [
            store.ingest("r1", n, "Observation", rows=[one])[0]
            for n, one in enumerate(
                [
                    row("2", at=LATE, payload=b'{"v":2}'),
                    row("1", payload=b'{"v":1}'),
                    row("2", at=LATE, payload=b'{"v":2}'),
                    row("10", at=LATE, payload=b'{"v":10}'),
                    row("9", at=LATE, payload=b'{"v":9}'),
                ]
            )
        ]
        assert changes == ["new", "older", "same", "changed", "older"]
        assert list(store.payloads()) == [b'{"v":10}']


@pytest.mark.parametrize(("version", "at"), [("1", LATE), ("8", "2026-01-05T09:00:00.000Z")])
def test_I6_a_copy_whose_stamp_and_version_disagree_counts_once_it_was_read(
    folder: Path, version: str, at: str
) -> None:
    """After an expunge versions start again at 1; a server's clock may go back."""
    with open_store(folder, BASE) as store:
        begun(store)
        store.ingest("r1", 0, "Observation", rows=[row("7", payload=b'{"v":7}')])
        other = row(version, at=at, payload=b'{"other":1}')
        assert store.ingest("r1", 1, "Observation", rows=[other]) == ["doubtful"]
        assert list(store.payloads()) == [b'{"v":7}']
        assert store.ingest("r1", 2, "Observation", rows=[other], certain=True) == ["changed"]
        assert list(store.payloads()) == [b'{"other":1}']


def test_I6_where_only_one_of_stamp_and_version_is_known_it_decides(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        store.ingest("r1", 0, "Observation", rows=[row("7", payload=b"7")])
        unstamped = Row(type="Observation", id="a", version="6", last_updated=None, payload=b"6")
        assert store.ingest("r1", 1, "Observation", rows=[unstamped]) == ["older"]
        unnumbered = Row(type="Observation", id="a", version=None, last_updated=LATE, payload=b"8")
        assert store.ingest("r1", 2, "Observation", rows=[unnumbered]) == ["changed"]


def test_I6_what_was_deleted_stays_so_until_a_later_copy_comes(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        store.ingest("r1", 1, "Observation", rows=[row("2", payload=b"2")])
        store.bury({("Observation", "a"): "3"}, LATE)
        assert store.present("Observation") == frozenset()
        assert store.ingest("r1", 2, "Observation", rows=[row("2", payload=b"2")]) == ["older"]
        assert list(store.payloads()) == []
        assert store.ingest("r1", 3, "Observation", rows=[row("4", at=LATE, payload=b"2")]) == ["new"]
        assert list(store.payloads()) == [b"2"]


def test_I6_what_had_only_vanished_may_come_back_as_it_was(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        store.ingest("r1", 1, "Observation", rows=[row("2", payload=b"2")])
        store.bury({("Observation", "a"): None}, LATE)
        assert store.ingest("r1", 2, "Observation", rows=[row("2", payload=b"2")]) == ["new"]
        assert list(store.payloads()) == [b"2"]


def test_a_page_is_stored_whole_or_not_at_all(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        broken = Row(type="Observation", id=None, version=None, last_updated=None, payload=b"{}")  # type: ignore[arg-type]
        with pytest.raises(LocalIOError) as raised:
            store.ingest("r1", 0, "Observation", rows=[row("1"), broken], patients=["Patient/1"])
        assert raised.value.exit_code == 74
        assert list(store.payloads()) == []
        assert store.cohort() == {}


def test_I13_a_refused_resource_is_counted_until_it_can_be_read(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        bad = Refused(type="Observation", id="a", version="1", reason="resource-unreadable", path="code")
        store.ingest("r1", 0, "Observation", refused=[bad], now=EARLY)
        store.ingest("r1", 1, "Observation", refused=[bad], now=LATE)
        assert store.refusals() == {"resource-unreadable": 1}
        store.ingest("r1", 2, "Observation", rows=[row("2")])
        assert store.refusals() == {}


def test_I13_a_copy_that_cannot_be_read_takes_the_place_of_the_one_before_and_of_none_later(
    folder: Path,
) -> None:
    def bad(version: str, at: str) -> Refused:
        return Refused(
            type="Observation", id="a", version=version, reason="resource-unreadable", last_updated=at
        )

    with open_store(folder, BASE) as store:
        begun(store)
        store.ingest("r1", 0, "Observation", rows=[row("2", at=LATE)])
        assert store.ingest("r1", 1, "Observation", refused=[bad("1", EARLY)]) == ["older"]
        assert (len(list(store.payloads())), store.refusals()) == (1, {})
        assert store.ingest("r1", 2, "Observation", refused=[bad("3", LATE)]) == ["withdrawn"]
        assert (list(store.payloads()), store.refusals()) == ([], {"resource-unreadable": 1})


def test_I22_a_store_of_a_newer_version_is_refused_and_left_alone(folder: Path) -> None:
    with open_store(folder, BASE):
        pass
    with sqlite3.connect(folder / "store.sqlite") as database:
        database.execute("pragma user_version = 99")
    database.close()
    with pytest.raises(ConfigurationError, match="newer") as raised, open_store(folder, BASE):
        pass
    assert raised.value.exit_code == 78


def test_I22_a_file_that_is_no_store_is_an_error_of_ours_and_is_not_replaced(folder: Path) -> None:
    (folder / "store.sqlite").write_bytes(b"not a database" * 100)
    (folder / "store.sqlite").chmod(0o600)
    with pytest.raises(LocalIOError), open_store(folder, BASE):
        pass
    assert (folder / "store.sqlite").read_bytes().startswith(b"not a database")


def test_the_outbox_gives_back_what_was_put_in(folder: Path) -> None:
    key = "Observation/srs-a"
    line = Sent(key=key, id="srs-a", desired_sha="d", state="PENDING", base_version="3", retracted=True)
    with open_store(folder, BASE) as store:
        begun(store)
        store.post([line])
        store.ingest("r1", 0, "Observation", echoes={"srs-a": "4"})
    with open_store(folder, BASE) as store:
        (found,) = store.outbox().values()
    assert found.seen_version == "4"
    assert (found.key, found.state, found.base_version, found.retracted) == (key, "PENDING", "3", True)


def test_a_dry_run_works_on_a_copy(folder: Path, tmp_path: Path) -> None:
    secure_folder(tmp_path / "copy")
    with open_store(folder, BASE) as store:
        begun(store)
        store.copy_to(tmp_path / "copy")
        with open_store(tmp_path / "copy", BASE) as copy:
            copy.ingest("r1", 0, "Observation", rows=[row("1")])
            assert len(list(copy.payloads())) == 1
        assert list(store.payloads()) == []


def test_runs_of_long_ago_are_forgotten(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        for number in range(1100):
            store.begin_run(f"r{number}", started=EARLY, capabilities="{}")
            if number % 20 == 0:
                store.ingest(f"r{number}", 0, "Observation")
        found = [line.run for line in store.runs(2000)]
        assert (found[0], found[-1], len(found)) == ("r1099", "r99", 1001)
        assert store.problems() == []
    with sqlite3.connect(folder / "store.sqlite") as database:
        assert {row[0] for row in database.execute("select run from page")} == {"r1060", "r1080"}
    database.close()


def test_two_servers_share_a_store_and_not_their_rows(folder: Path) -> None:
    with open_store(folder, BASE) as store:
        begun(store)
        store.ingest("r1", 0, "Observation", rows=[row("1")])
        assert list(store.beside("https://y/fhir").payloads()) == []


def test_I19_the_last_success_is_the_last_one_though_the_clock_was_ahead_before(folder: Path) -> None:
    """Of a run that ended a year ahead an alert would hear for a year that all is well."""
    with open_store(folder, BASE) as store:
        assert store.last_success() is None
        for run, moment, status in (
            ("a", "2027-01-05T12:00:00Z", "done"),
            ("b", "2026-01-05T12:15:00Z", "done"),
            ("c", "2026-01-05T12:30:00Z", "failed"),
        ):
            store.end_run(run, started=moment, finished=moment, status=status, summary=b"{}")
        assert store.last_success() == "2026-01-05T12:15:00Z"
        assert [line.run for line in store.runs(10)] == ["c", "b", "a"]


def test_F44_a_full_disk_is_told_in_words() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("pragma max_page_count = 1")
    with pytest.raises(LocalIOError, match="the store: the disk is full"), local_errors():
        database.execute("create table one (text)")
    database.close()
