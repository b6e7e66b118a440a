"""Lines of `map` as Arrow tables, pandas frames and Parquet files, for those who have the extra `frames`.

The columns are the keys of the lines (design.md section 4.2), all of them in every table. Numbers are
floats there: whose digits matter reads the NDJSON. The value of an event is a number or a text, so it has two
columns, `value` and `value_text`. Days stay texts: `2024-03` is no date.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fhir_srs.errors import LocalIOError, MissingExtra
from fhir_srs.model import Mapped, event_row, lesion_row, to_json
from fhir_srs.report.schema import LINES, Line

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIX = ".parquet"
# Arrow's name of the type of each column that is no text.
_TYPES = {
    **dict.fromkeys(("dose_gy", "value"), "float64"),
    **dict.fromkeys(("cord_compression", "reirradiation", "used"), "bool_"),
    "fractions": "int64",
}
_LISTS = frozenset({"levels", "sources", "issues", "flags"})


def arrow_table(mapped: Mapped, line: Line) -> "pa.Table":
    """The lesions, events or issues of *mapped* as one Arrow table. MissingExtra without pyarrow."""
    pa = _arrow()
    return pa.Table.from_pylist([_columns(one, line) for one in _rows(mapped, line)], schema=_schema(line))


def pandas_frame(mapped: Mapped, line: Line) -> "pd.DataFrame":
    """As `arrow_table`, as a pandas frame."""
    return arrow_table(mapped, line).to_pandas()


def need_arrow() -> None:
    """Raise MissingExtra, with the command that installs it, without pyarrow."""
    _arrow()


def save_parquet(path: Path, blocks: Iterable[bytes], line: Line, *, group: int = 20_000) -> None:
    """
    Write the NDJSON lines in *blocks* to the Parquet file *path*, in one step, readable by its owner alone.

    *group*: lines of one row group; memory stays flat however many there are.

    MissingExtra without pyarrow, LocalIOError if it cannot be written.
    """
    _arrow()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        try:
            _write(Path(beside), blocks, line, group)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LocalIOError(f"cannot write {path}: {error.strerror}") from None


def _write(path: Path, blocks: Iterable[bytes], line: Line, group: int) -> None:
    pa, schema = _arrow(), _schema(line)
    import pyarrow.parquet as pq

    rows = (_columns(json.loads(one), line) for block in blocks for one in block.splitlines())
    with path.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
        while taken := list(islice(rows, group)):
            writer.write_table(pa.Table.from_pylist(taken, schema=schema))
        file.flush()
        os.fsync(file.fileno())


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtra("frames") from None
    return pa


def _rows(mapped: Mapped, line: Line) -> Iterator[dict[str, Any]]:
    rows: dict[Line, Iterable[Any]] = {
        "lesion": map(lesion_row, mapped.lesions),
        "event": map(event_row, mapped.events),
        "issue": mapped.issues,
    }
    return (json.loads(to_json(one)) for one in rows[line])


def _names(line: Line) -> tuple[str, ...]:
    names = [field.encode_name for field in msgspec.structs.fields(LINES[line])]
    return tuple(name for one in names for name in ((one, "value_text") if one == "value" else (one,)))


def _schema(line: Line) -> "pa.Schema":
    pa = _arrow()
    return pa.schema([(name, _type(name, pa)) for name in _names(line)])


def _type(name: str, pa: Any) -> Any:
    return pa.list_(pa.string()) if name in _LISTS else getattr(pa, _TYPES.get(name, "string"))()


def _columns(row: dict[str, Any], line: Line) -> dict[str, Any]:
    """*row* with every column, its value where it belongs."""
    value = row.get("value")
    told = {name: row.get(name) for name in _names(line)}
    if "value" in told:
        told |= {"value_text": value} | {"value": None} if isinstance(value, str) else {"value_text": None}
    return told


__all__ = ["SUFFIX", "arrow_table", "need_arrow", "pandas_frame", "save_parquet"]
