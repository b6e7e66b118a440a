"""Sources: which files are read, where each line stood, and ranges that together are the whole file."""

import gzip
import json
import os
import random

import pytest

from fhir_srs import files, load_profile, map_resources
from fhir_srs.errors import LocalIOError
from fhir_srs.files import Piece, Place, pieces, read_piece, read_sources, unpacked_size
from tests.unit.mapping_given import patient, surgical

PROFILE = load_profile("mcode")


def mapped_with_places(*paths):
    """What is mapped, and what is said of the items that could not be read."""
    said, place = [], Place()
    found = map_resources(
        read_sources(paths, said.append, place),
        profile=PROFILE,
        unread=lambda path: said.append(place.unread(path)),
    )
    return found, said


def test_sources_are_files_and_folders_of_any_kind(tmp_path):
    lines = b"\n".join(json.dumps(one).encode() for one in (patient(), surgical()))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.ndjson").write_bytes(lines + b"\r\n\n")
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "c.json").write_text(
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": patient()}]})
    )
    (tmp_path / "notes.txt").write_text("x")
    said = []
    assert len(list(read_sources([tmp_path], said.append))) == 5
    assert said == [f"{tmp_path / 'notes.txt'}: skipped, neither .ndjson, .ndjson.gz nor .json"]


def test_what_a_folder_holds_and_is_no_file_is_said(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.ndjson").write_text(json.dumps(patient()))
    (tmp_path / "b.ndjson").symlink_to(tmp_path / "real" / "a.ndjson")
    for name in ("folder", "gone.ndjson"):
        (tmp_path / name).symlink_to(tmp_path / {"folder": "real"}.get(name, "nothing"))
    os.mkfifo(tmp_path / "pipe.ndjson")
    said = []
    assert len(list(read_sources([tmp_path], said.append))) == 2
    assert said == [
        f"{tmp_path / name}: skipped, no file" for name in ("folder", "gone.ndjson", "pipe.ndjson")
    ]


def test_a_folder_within_that_cannot_be_read_is_an_error_not_an_absence(tmp_path, monkeypatch):
    """As root every folder can be read, so the refusal is the system call's, played."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.ndjson").write_text(json.dumps(patient()))
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(LocalIOError, match="closed: PermissionError"):
        list(read_sources([tmp_path], print))


def test_a_truncated_line_is_said_with_file_and_offset_and_the_rest_is_read(tmp_path):
    file = tmp_path / "a.ndjson"
    first, last = json.dumps(patient()).encode() + b"\n", json.dumps(surgical()).encode() + b"\n"
    file.write_bytes(first + b'{"resourceType":"Procedure","id":"S3CRET\n' + last)
    found, said = mapped_with_places(file)
    assert said == [f"{file}: offset {len(first)}: not a readable resource"]
    assert (len(found.lesions), found.counts.refused, found.issues[0].resource) == (1, 1, None)


def test_an_element_that_is_not_what_fhir_says_is_said_with_its_path(tmp_path):
    file = tmp_path / "a.ndjson"
    first, bad = patient(), surgical(bodySite="S3CRET")
    file.write_text(f"{json.dumps(first)}\n\n{json.dumps(bad)}")
    found, said = mapped_with_places(file)
    assert said == [f"{file}: offset {len(json.dumps(first)) + 2}: bodySite cannot be read"]
    assert [one.path for one in found.issues if one.reason == "resource-unreadable"] == ["bodySite"]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz"])
def test_a_line_that_is_too_long_is_refused_and_those_around_it_are_read(tmp_path, monkeypatch, name):
    """No line end must not fill the memory; a line of just that length is read."""
    first, last = json.dumps(patient()).encode() + b"\n", json.dumps(surgical()).encode() + b"\n"
    monkeypatch.setattr(files, "LONGEST_LINE", len(last))
    endless = b'"S3CRET' * files._BUFFER + b"\n"
    content = b"".join([first, endless, last, endless.strip()])
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found, said = mapped_with_places(tmp_path / name)
    places = [len(first), len(first) + len(endless) + len(last)]
    assert said == [f"{tmp_path / name}: offset {place}: longer than 0 MiB" for place in places]
    assert (len(found.lesions), found.counts.read, found.counts.refused) == (1, 4, 2)


def test_an_archive_that_ends_early_gives_what_it_had(tmp_path):
    file = tmp_path / "a.ndjson.gz"
    many = b"".join(json.dumps(patient(f"p{n}")).encode() + b"\n" for n in range(3000))
    file.write_bytes(gzip.compress(many)[:-200])
    found, said = mapped_with_places(file)
    assert (found.counts.refused, found.counts.used > 0) == (1, True)
    assert len(said) == 1
    assert said[0].endswith("the archive ends early")


def test_what_is_no_archive_is_said_once(tmp_path):
    (tmp_path / "a.ndjson.gz").write_bytes(b"no archive")
    found, said = mapped_with_places(tmp_path)
    assert (found.counts.refused, len(said)) == (1, 1)


def test_a_named_file_that_cannot_be_read_is_an_error(tmp_path):
    absent = tmp_path / "absent.ndjson"
    for read in (
        lambda: list(read_sources([absent], print)),
        lambda: list(pieces([absent], print, 100)),
        lambda: unpacked_size([absent]),
    ):
        with pytest.raises(LocalIOError):
            read()


def lines_with_offsets(read):
    place = Place()
    return [(place.offset, line) for line in read(place)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000, 1 << 20])
def test_ranges_of_any_size_give_each_line_once_in_order_where_it_stands(tmp_path, size, end):
    draw = random.Random(size)
    lines = [b"%d" % n * draw.choice([0, 1, 1, 5, 300]) for n in range(100, 160)]
    file = tmp_path / "a.ndjson"
    for content in (end.join(lines), end.join([*lines, b""]), b"", end * 3):
        file.write_bytes(content)
        whole = lines_with_offsets(lambda place: read_sources([file], print, place))
        parts = [
            pair
            for piece in pieces([file], print, size)
            for pair in lines_with_offsets(lambda place, piece=piece: read_piece(piece, place))
        ]
        assert parts == whole
        assert [line.strip() for _, line in whole] == content.split()
        assert all(content[offset:].startswith(line) for offset, line in whole)


def test_archives_documents_and_small_files_are_one_piece(tmp_path):
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(b"{}\n" * 100))
    (tmp_path / "b.json").write_bytes(b"{}" * 100)
    (tmp_path / "c.ndjson").write_bytes(b"{}\n" * 3)
    names = {name: tmp_path / name for name in ("a.ndjson.gz", "b.json", "c.ndjson")}
    assert list(pieces([tmp_path], print, 9)) == [
        Piece(names["a.ndjson.gz"]),
        Piece(names["b.json"]),
        Piece(names["c.ndjson"], 0, 9),
    ]
