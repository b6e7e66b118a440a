"""The careful reader: JSON that no decoder takes still falls into its parts."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs.fhir.careful import items, members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_an_object_falls_into_what_the_standard_library_reads(value: dict[str, object]) -> None:
    parts = members(json.dumps(value).encode())
    assert parts is not None
    assert {json.loads(b'"%b"' % name): json.loads(one) for name, one in parts.items()} == value


@settings(max_examples=50)
@given(st.lists(JSON, max_size=4))
def test_a_list_falls_into_what_the_standard_library_reads(value: list[object]) -> None:
    parts = items(json.dumps(value).encode())
    assert parts is not None
    assert [json.loads(one) for one in parts] == value


@pytest.mark.parametrize(
    "value", [b"NaN", b"1e999", b'"\\ud800"', b'"\xff"', b"[" * 100_000 + b"]" * 100_000]
)
def test_poison_stays_where_it_is(value: bytes) -> None:
    assert members(b'{"a": 1, "b": %b, "c": "}"}' % value) == {b"a": b"1", b"b": value, b"c": b'"}"'}
    assert items(b"[1, %b]" % value) == [b"1", value]


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"a": 1', b'{"a": "}', b'{"a" 1}', b"{1}", b'{"a":1}{}', b'{"a":[}']
)
def test_what_is_no_object_or_cut_off_has_no_members(body: bytes) -> None:
    assert members(body) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[1", b"[1][2]", b'["]'])
def test_what_is_no_list_or_cut_off_has_no_items(body: bytes) -> None:
    assert items(body) is None
