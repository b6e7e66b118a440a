"""The local store: allow-listed resources, cursors, runs and the outbox, in one SQLite file.

Every page is one transaction; a watermark moves only forward and only in the transaction that ends a
complete pull (`spec/reliability.md` section 2). The folder is ours alone: 0700, files 0600. What is stored
is the re-encoding of the r4 Structs: no names, addresses, telecom, photo or narrative ever reach the disk.
"""

from fhir_srs.store.database import Store, open_store, read_store
from fhir_srs.store.folder import secure_folder, state_folder
from fhir_srs.store.marks import CAPABILITIES, COMPARED, DISMISSED, REREAD, SEARCHED, SETTLED
from fhir_srs.store.rows import Change, Cursor, OutboxState, Refused, Row, RunLine, Sent
from fhir_srs.store.schema import SCHEMA

__all__ = [
    "CAPABILITIES",
    "COMPARED",
    "DISMISSED",
    "REREAD",
    "SCHEMA",
    "SEARCHED",
    "SETTLED",
    "Change",
    "Cursor",
    "OutboxState",
    "Refused",
    "Row",
    "RunLine",
    "Sent",
    "Store",
    "open_store",
    "read_store",
    "secure_folder",
    "state_folder",
]
