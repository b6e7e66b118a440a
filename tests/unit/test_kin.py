"""Merged records: against a closure by brute force, record by record until nothing is added."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_srs.sync.kin import kin, same_persons
from fhir_srs.sync.opt_out import LISTED, OPT_OUT, PURGED, TEST_PATIENT

NAMES = st.sampled_from("abcdefgh")
LINKS = st.dictionaries(NAMES, st.frozensets(NAMES, max_size=2))


def closure(seeds, links):
    """Whoever shares a link with somebody found, again and again."""
    found = set(seeds)
    for _ in range(len("abcdefgh")):
        for name, linked in links.items():
            for other in linked:
                if found & {name, other}:
                    found |= {name, other}
    return found


@given(seeds=st.frozensets(NAMES), links=LINKS)
def test_the_same_person_is_whoever_a_chain_of_merges_reaches_whichever_end_tells(seeds, links):
    assert same_persons(seeds, links) == closure(seeds, links)


@given(out=st.dictionaries(NAMES, st.sampled_from([OPT_OUT, LISTED, PURGED, TEST_PATIENT])), links=LINKS)
def test_whoever_is_the_same_person_as_one_left_out_is_left_out_for_a_reason_of_that_person(out, links):
    found = kin(out, links)
    spread = {name for name, why in out.items() if why != TEST_PATIENT}
    assert found.keys() == closure(spread, links) | out.keys()
    assert {name: found[name] for name in out} == out
    for name, why in found.items():
        assert why in {out[one] for one in closure({name}, links) if one in out}
