"""The tables of the store, and how a store of an older fhir-srs becomes one of today."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from fhir_srs.errors import Busy, ConfigurationError
from fhir_srs.store.failpoints import passing
from fhir_srs.store.folder import HELD, local_errors, open_private

SCHEMA = 5

# Schema 1. A trigger, not a habit: I5 holds whatever code writes the cursor.
_TABLES = """
create table server (
  id integer primary key, base text not null unique, capabilities text,
  generation integer not null default 1);
create table run (
  id text primary key, server integer not null references server, started text not null, finished text,
  status text, summary blob);
create table page (
  run text not null references run, number integer not null, type text not null, rows integer not null,
  primary key (run, number));
create table cursor (
  server integer not null references server, type text not null, watermark text not null,
  resume_at text, lag integer not null, mode text not null, primary key (server, type));
create trigger cursor_forward before update on cursor when new.watermark < old.watermark
begin select raise(abort, 'watermark moved back'); end;
create table cohort (
  server integer not null references server, patient text not null, loaded text,
  primary key (server, patient)) without rowid;
create table raw (
  server integer not null references server, type text not null, id text not null, version_id text,
  last_updated text, sha256 blob not null, payload blob not null, deleted_at text,
  primary key (server, type, id));
create table quarantine (
  server integer not null references server, type text not null, id text not null, version text not null,
  reason text not null, path text, first_seen text not null, attempts integer not null default 1,
  primary key (server, type, id));
create table definition (
  server integer not null references server, name text not null, sha text not null,
  primary key (server, name)) without rowid;
create table outbox (
  server integer not null references server, key text not null, id text not null,
  grp text not null default '', desired_sha text not null,
  provenance_sha text, confirmed_sha text, confirmed_provenance text, stored_sha text, base_version text,
  state text not null check (state in
    ('PENDING','UNKNOWN','CONFIRMED','FAILED','CONFLICT','EXTERNALLY_DELETED')),
  attempts integer not null default 0, next_at text, seen_version text, retracted integer not null default 0,
  primary key (server, key));
"""

# Schema 2: whose each resource is, who is left out and why, when all ids were last compared. The owner is
# read from what is stored; a reference to our own base loses it, a version its number.
_OWNED = """
alter table server add column census text;
alter table cohort add column left_out text;
alter table raw add column patient text;
alter table quarantine add column patient text;
update raw set patient = case type when 'Patient' then 'Patient/' || id else replace(coalesce(
  json_extract(cast(payload as text), '$.subject.reference'),
  json_extract(cast(payload as text), '$.patient.reference')),
  (select base from server where server.id = raw.server) || '/', '') end;
update raw set patient = substr(patient, 1, instr(patient, '/_history/') - 1)
  where instr(patient, '/_history/') > 0;
create index raw_patient on raw (server, patient);
"""

# Schema 3: marks. That all is settled holds until a resource, or one of our results on the server, changes;
# again by triggers, whatever code it is that writes.
_MARKS = """
create table mark (
  server integer not null references server, name text not null, text text not null,
  primary key (server, name)) without rowid;
create trigger raw_new after insert on raw
begin delete from mark where server = new.server and name = 'settled'; end;
create trigger raw_changed after update on raw
begin delete from mark where server = new.server and name = 'settled'; end;
create trigger raw_gone after delete on raw
begin delete from mark where server = old.server and name = 'settled'; end;
create trigger result_changed after update of seen_version on outbox
when new.seen_version is not old.seen_version
begin delete from mark where server = new.server and name = 'settled'; end;
create trigger result_gone after delete on outbox
begin delete from mark where server = old.server and name = 'settled'; end;
"""

# Schema 4: by what a write is known whose answer was never heard, and the last line of the audit.
_KNOWN_AGAIN = """
alter table outbox add column desired_core text;
alter table server add column audit text;
"""

# Schema 5: each run tells how many lines are in each state, without reading them. That all of it belongs
# here holds, like that all is settled, until a resource changes.
_COUNTED = """
create index outbox_state on outbox (server, state);
drop trigger raw_new;
drop trigger raw_changed;
drop trigger raw_gone;
create trigger raw_new after insert on raw
begin delete from mark where server = new.server and name in ('settled', 'dismissed'); end;
create trigger raw_changed after update on raw
begin delete from mark where server = new.server and name in ('settled', 'dismissed'); end;
create trigger raw_gone after delete on raw
begin delete from mark where server = old.server and name in ('settled', 'dismissed'); end;
"""

_STEPS = (_TABLES, _OWNED, _MARKS, _KNOWN_AGAIN, _COUNTED)

_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    "secure_delete = on",
    "temp_store = memory",
    "trusted_schema = off",
)


def connect(folder: Path) -> sqlite3.Connection:
    """The database in *folder*, made or brought to today's schema; one of a newer fhir-srs is refused."""
    path = folder / "store.sqlite"
    # SQLite gives -wal and -shm the mode of the database file: making it first makes all three private.
    os.close(open_private(path))
    with local_errors():
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                database.execute(f"pragma {pragma}")
            _migrate(database)
        except BaseException:
            database.close()
            raise
    return database


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """
    The database in *folder*, to be read while another process writes to it.

    Busy where that has not made it yet, or is of another version.
    """
    path = (folder / "store.sqlite").resolve()
    if not path.exists():
        raise Busy(HELD)
    with local_errors():
        reading = f"file:{quote(str(path))}?mode=ro"
        database = sqlite3.connect(reading, uri=True, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("query_only = on", "temp_store = memory", "trusted_schema = off"):
                database.execute(f"pragma {pragma}")
            if database.execute("pragma user_version").fetchone()[0] != SCHEMA:
                raise Busy(HELD)
        except BaseException:
            database.close()
            raise
    return database


def _migrate(database: sqlite3.Connection) -> None:
    """Bring *database* to today's schema in one transaction: a crash leaves the old one whole (I22)."""
    version = database.execute("pragma user_version").fetchone()[0]
    if version > SCHEMA:
        raise ConfigurationError("store", ["was written by a newer fhir-srs"])
    if version == SCHEMA:
        return
    passing("before-migration")
    database.execute("begin immediate")
    for step in _STEPS[version:]:
        for statement in _statements(step):
            database.execute(statement)
    passing("in-migration")
    database.execute(f"pragma user_version = {SCHEMA}")
    database.execute("commit")


def _statements(script: str) -> list[str]:
    """The statements of *script*; a trigger's inner semicolon ends none."""
    found, text = [], ""
    for piece in script.split(";")[:-1]:
        text += piece + ";"
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found
