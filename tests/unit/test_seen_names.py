"""How many different rows of a search came, counted in eight bytes each."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_srs.sync.walk import Seen

NAMES = st.integers(0, 400).map(lambda number: f"Observation/{number}")


@given(st.lists(st.lists(NAMES, max_size=40), max_size=40))
def test_names_are_counted_as_a_set_counts_them(pages):
    seen, expected = Seen(), set()
    for page in pages:
        assert seen.add(page) == bool({*page} - expected)
        expected |= {*page}
        assert seen.count == len(expected)


@given(st.lists(st.lists(NAMES, max_size=40), max_size=10))
def test_what_several_counted_is_counted_once(parts):
    whole = Seen()
    for names in parts:
        one = Seen()
        one.add(names)
        whole.join(one)
    assert whole.count == len({name for names in parts for name in names})


class OneHash(str):
    """A name whose hash is that of all others."""

    __slots__ = ()

    def __hash__(self):
        return 7


def test_two_names_of_one_hash_make_too_few_and_never_too_many():
    seen = Seen()
    assert seen.add([OneHash("a")])
    assert not seen.add([OneHash("b")])
    assert seen.count == 1
