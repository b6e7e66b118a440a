"""docs/reliability.md: every invariant, fault and rule of access, what we do, and the tests of it."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"

# What must hold, and how: the ids are those of the specification and of the tests' names.
INVARIANTS = {
    "I1": ("After faults one clean sync leaves the store as the server is, and our results as the plan.",
           "searches are proven by the server's count; nothing is planned after an incomplete pull"),
    "I2": ("What grew by increments is byte for byte what a rebuild makes.",
           "whoever a full load would not find leaves; `rebuild` pulls into a new store and compares"),
    "I3": ("A second sync without a change at the source writes nothing.",
           "results are compared with the server's copies before anything is sent"),
    "I4": ("No version is lost, however early it is stamped, if it is visible within the lag.",
           "the watermark stays `lag` (300 s) behind the server's clock; windows overlap"),
    "I5": ("A watermark moves forward alone, and only after all pages of all types.",
           "one transaction after the last page; a trigger refuses an older one"),
    "I6": ("An older copy never replaces a newer one.",
           "by lastUpdated and number of the version; where these disagree the resource is read by its id"),
    "I7": ("At most one live result for one study, version, lesion, endpoint and window.",
           "the id of a result is a hash of these; PUT, never POST"),
    "I8": ("A run may be killed at any instruction.",
           "every step is a transaction; killed at every failpoint and at random moments"),
    "I9": ("A write whose answer is lost is settled by reading, never sent again blindly.",
           "state UNKNOWN until the server's copy was read"),
    "I10": ("A result goes when its sources go, and comes back with them.",
            "entered-in-error under the same id; census and history find what was deleted"),
    "I11": ("Absence proves nothing.",
            "each missing id is read; more than the brake allows stops the run (65)"),
    "I12": ("Results follow the patient who survives a merge.", "Patient.link, and back when it is undone"),
    "I13": ("An unreadable resource harms itself alone.",
            "quarantine with type, id, version and place; a page is taken apart where a decoder refuses it"),
    "I14": ("Our results are never inputs.", "known by our identifier system; counted, not stored"),
    "I15": ("One writer for one state folder.", "`flock`, on a local disk alone; the second exits 75"),
    "I16": ("Credentials go to the configured origin alone.",
            "links and redirects are checked before connecting; TLS before anything is said"),
    "I17": ("Nothing of a patient in logs, summaries, metrics or file names.",
           "counts and reasons only; canaries in all test data"),
    "I18": ("Bodies, pages, waits and tries have bounds.",
            "64 MiB a body, ratio 200, 10,000 pages, 600 s; a part of the cohort in memory"),
    "I19": ("A wrong clock of ours changes stamps alone.", "watermarks and cutoff are the server's time"),
    "I20": ("A dry run sends reads alone, the state stays as it was.", "a copy of the store, thrown away"),
    "I21": ("Files that we write are complete or absent.", "written beside, flushed, renamed"),
    "I22": ("A damaged or newer store is refused, never recreated.",
            "each content is hashed when it is read; migrations in one transaction"),
    "I23": ("The order of arrival changes no byte.", "everything is sorted before it is mapped"),
    "I24": ("Only the types that we need are asked for, and nothing is deleted.",
            "a closed list of types; DELETE does not exist in the client"),
}  # fmt: skip
FAULTS = {
    "F1": ("500, 502, 503, 504", "waited out with jitter, six tries, 600 s a run, then 69"),
    "F2": ("Retry-After of any shape", "seconds, dates and epochs by the server's clock, held to 600 s"),
    "F3": ("408, 425", "as F1"),
    "F4": ("400, 422", "never repeated; code and place are told, no diagnostics; a refused unit fails alone"),
    "F5": ("401, 403", "renewed once where that can help, else 77 with the type"),
    "F6": ("reset before the answer", "reads again; a write is read back"),
    "F7": ("half of a promised body", "again"),
    "F8": ("half a body that passes as whole", "it does not parse: again, three times"),
    "F9": ("no JSON, empty, null, a list, a byte order mark", "three tries, then incomplete (65)"),
    "F10": ("HTML, a wrong media type", "incomplete, \"a login page?\", nothing of it told"),
    "F11": ("another Bundle, an OperationOutcome, an error among the rows", "incomplete"),
    "F12": ("410 on a page", "the search begins again in smaller pages, three times"),
    "F13": ("pages without end", "a repeated link, three pages without news or 10,000 pages: incomplete"),
    "F14": ("next at another origin", "blocked before connecting, 76"),
    "F15": ("redirects", "GET alone, three, within the origin; else 76 or 65"),
    "F16": ("a name that resolves to another address meanwhile, private addresses", ""),
    "F17": ("entries twice, older after newer, in any order", "I6"),
    "F18": ("a search that ends early", "the server's count is not reached: again, then incomplete"),
    "F19": ("an ignored filter, or nothing found", "self must show the filter, rows must fit it; then I11"),
    "F20": ("a gzip bomb", "decompressed in bounds, dropped"),
    "F21": ("a body without end", "dropped at the cap"),
    "F22": ("a drip", "a request has one deadline over all its reads"),
    "F23": ("nobody answers", "timeouts, then as F1"),
    "F24": ("the token expires, the token endpoint is down", "renewed once, then as F1"),
    "F25": ("an answer that is no token", "refused, nothing of it told"),
    "F26": ("clocks wrong, stamps of the future",
           "watermarks go neither back nor ahead; behind one, everything is asked for again"),
    "F27": ("TLS: expired, wrong host, self-signed, unknown CA, too old", "76, never repeated, no fallback"),
    "F28": ("NaN, Infinity, 1e999", "the resource is quarantined, or its element an issue"),
    "F29": ("5,000 digits, -0.0", "an issue; -0.0 is the score 0"),
    "F30": ("lists 100,000 deep", "the resource is quarantined"),
    "F31": ("half a character, bytes that are no UTF-8", "the resource is quarantined"),
    "F32": ("an element twice", "the last counts, as in every parser that we use"),
    "F33": ("24 digits", "all are kept"),
    "F34": ("impossible dates", "an issue"),
    "F35": ("codes that do not exist, numbers as text", "an issue"),
    "F36": ("a bad entry, an unknown element", "the entry is quarantined; the element passed over"),
    "F37": ("references elsewhere, contained, with ../", "nobody's here; never followed"),
    "F38": ("ETag missing or another", "the version is that of the body"),
    "F39": ("409, 412, 202, 204", "read, compared, sent again at most five times, else told as a conflict"),
    "F40": ("said stored, and was not", "what was written is read back: 65"),
    "F41": ("429 for minutes", "75 beyond the budget; the next run goes on"),
    "F42": ("proxies of the environment, .netrc", "ignored"),
    "F43": ("signals", "the first ends after the page at hand (143, 130), the second at once"),
    "F44": ("a full disk, a folder that cannot be written", "74; nothing half done counts"),
    "F45": ("two syncs, one killed with the lock", "75; the kernel gives the lock back"),
    "F46": ("bulk export", ""),
    "F47": ("formulas, escapes, bidi, newlines, 1 MB names", "names are not stored; none of it is printed"),
}  # fmt: skip
ACCESS = {
    "A1": ("RS384 or ES384, by the key", "weak keys are refused"),
    "A2": ("header with alg, kid and typ", "kid of the JWKS"),
    "A3": ("an assertion is never sent twice", "a new jti for each attempt, 240 s"),
    "A4": ("a form, no refresh token", "client_credentials"),
    "A5": ("discovery", "at the configured origin, or pinned"),
    "A6": ("a token lives in memory", "renewed with a fifth of its life left, by one thread"),
    "A7": ("granted scopes are compared", "read missing: 77; write missing: pulls, writes nothing, says so"),
    "A8": ("https", "http to this machine, or without credentials to an origin that is listed"),
    "A9": ("references elsewhere are never followed", "see F37"),
    "A10": ("401 in mid-pull", "renewed once"),
    "A11": ("a bare 400 on renewal", "asked again once"),
    "A12": ("least scopes", "the types that are read and written; never d, never *"),
    "A13": ("key and token files", "ours, 0400 or 0600, no symlink"),
    "A14": ("rotation of keys", "`keys` makes a pair; publish both, sign with the one that `key_id` names"),
}  # fmt: skip
# What HAPI does (section 5 of the specification, hapi.md part 2) and what we make of it; the tests are on a
# real HAPI, beside those of our own guards.
HAPI = {
    "H1": ("identical searches and counts are given again for 60 s",
           "`Cache-Control: no-cache`; windows overlap"),
    "H2": ("pages expire: 410", "the search begins again; never the end of the data"),
    "H3": ("`_count` is lowered without a word", "the end is never inferred from a count of rows"),
    "H4": ("`next` with nothing behind it", "an empty page is no fault"),
    "H5": ("`next` missing although there is more",
           "the server's count is not reached: again, then incomplete"),
    "H6": ("pages repeat and skip", "rows are taken once, the newest wins"),
    "H7": ("links of pages are nobody's to make", "opaque: only their origin is judged"),
    "H8": ("links are wrong behind proxies",
           "another origin ends the run (76), unless `internal_bases` says that it is the server"),
    "H9": ("`_history` can skip and repeat", "a hint, confirmed by reads; the census decides"),
    "H10": ("history may be switched off", "all ids are compared in each run, and the summary says so"),
    "H11": ("of two `_lastUpdated` bounds one may be ignored",
           "one bound is sent; `self` and the rows are judged"),
    "H12": ("visible at commit, later than stamped", "lag and overlap"),
    "H13": ("tags are added, never taken away", "no state in tags; `meta` is not compared"),
    "H14": ("an unchanged PUT makes no version", "results are compared first; either answer is fine"),
    "H15": ("a stale `If-Match` is 409", "409 and 412 alike: read, compare, at most five times"),
    "H16": ("conditional writes duplicate under concurrency", "ids of our making and PUT alone"),
    "H17": ("numeric ids are refused", "`srs-` and 40 characters of base32"),
    "H18": ("PUT raises what was deleted", "410 is left so, and told"),
    "H19": ("`$expunge` leaves no trace", "the census; a second life from version 1 is read by id"),
    "H20": ("merges", "Patient.link; a lesion's id rests on identifiers and content"),
    "H21": ("subscriptions", "-"),
    "H22": ("bulk export", "-"),
    "H23": ("an unknown parameter is 400", "`handling=strict`; `self` is judged"),
    "H24": ("what is referred to cannot be deleted", "`references = \"logical\"` names inputs by identifier"),
    "H25": ("a transaction is all or nothing, and may be too large",
           "50 entries; halved where it is refused"),
    "H26": ("`_elements` gives parts of resources", "for ids alone; never stored"),
    "H27": ("chains, `_has`, `_filter` are partial",
           "not used: types, bounds, codes and lists of patients alone"),
    "H28": ("`:in` and `:below` have limits", "not used"),
    "H29": ("diagnostics echo identifiers", "code and expression are kept, nothing else"),
    "H30": ("versions are cut from references",
           "input versions stand in `what.identifier`; compared without"),
}  # fmt: skip
_FACTS, _CONTRACT = "tests/hapi/test_facts.py::test_", "tests/server/contract/"
# Tests whose names do not carry the id.
ALSO = {
    "H1": [
        f"{_FACTS}a_search_is_given_again_unless_no_cache_asks_for_a_fresh_one",
        f"{_FACTS}a_count_is_given_again_unless_no_cache_asks_for_a_fresh_one",
        f"{_FACTS}no_store_alone_cuts_a_search_without_a_word",
    ],
    "H2": ["tests/hapi/test_launcher.py::test_an_expired_page_is_gone"],
    "H3": ["tests/hapi/test_launcher.py::test_the_page_cap_lowers_count_without_a_word"],
    "H7": [
        f"{_CONTRACT}test_results_of_search.py::test_next_is_opaque",
        f"{_FACTS}next_is_a_whole_address_at_the_host_that_was_asked",
    ],
    "H8": ["tests/server/test_pull.py::test_F14_a_next_link_to_another_origin_is_never_followed"],
    "H9": ["tests/server/test_sync_invariants.py::test_I11_a_hint_that_a_read_does_not_confirm_is_none"],
    "H10": [
        "tests/server/test_sync_invariants.py"
        "::test_I10_what_vanished_without_a_trace_is_found_by_a_server_without_history"
    ],
    "H11": [
        f"{_FACTS}both_bounds_of_lastupdated_are_honoured_and_shown_in_self",
        "tests/server/test_fault_matrix.py::test_F19_an_ignored_filter_lets_no_stranger_in",
    ],
    "H13": [f"{_FACTS}tags_are_added_never_taken_away"],
    "H14": [f"{_FACTS}an_unchanged_put_makes_no_version"],
    "H15": [
        f"{_FACTS}a_stale_if_match_is_a_conflict",
        f"{_FACTS}if_match_on_what_is_not_there_creates_it",
        f"{_FACTS}a_mismatch_of_ifmatch_fails_the_whole_transaction",
    ],
    "H16": [
        "tests/server/test_sync_invariants.py"
        "::test_I24_only_the_types_of_the_decision_are_asked_for_and_nothing_is_deleted"
    ],
    "H17": [f"{_FACTS}a_numeric_id_is_refused"],
    "H18": [
        f"{_FACTS}a_deleted_resource_is_gone_and_comes_back_with_the_next_version",
        "tests/server/test_sync_deletes.py"
        "::test_a_result_that_another_deleted_is_told_and_stays_deleted_until_an_operator_asks_for_it",
    ],
    "H20": ["tests/hapi/test_sync_deletes.py::test_results_follow_what_becomes_of_their_sources"],
    "H23": [f"{_FACTS}an_unknown_parameter_is_refused"],
    "H24": [
        f"{_FACTS}what_is_referred_to_cannot_be_deleted",
        f"{_FACTS}a_logical_reference_is_kept_as_it_is",
    ],
    "H25": ["tests/server/test_write.py::test_a_server_that_takes_fewer_entries_gets_halves"],
    "H26": [
        f"{_CONTRACT}test_results_of_search.py::test_elements_cut_the_resource_and_say_so",
        f"{_CONTRACT}test_results_of_search.py::test_elements_hold_on_the_next_page",
    ],
    "H29": [
        "tests/server/test_client_faults.py"
        "::test_F4_a_refusal_is_not_repeated_and_keeps_code_and_expression_only"
    ],
    "H30": [f"{_FACTS}references_lose_their_version_and_keep_their_identifier"],
    "I21": ["tests/unit/test_report.py::test_a_saved_file_is_complete_or_absent"],
    "F43": [
        "tests/server/test_schedule_serve.py"
        "::test_a_run_that_a_signal_cuts_short_exits_143_and_a_second_signal_ends_it_at_once"
    ],
    "A9": ["tests/server/test_fault_matrix_data.py::test_F37_a_treatment_of_nobody_here_makes_no_cohort"],
}
# What cannot be tested, and why.
WITHOUT = {
    "F16": "not built: optional; a base address is trusted as the operator wrote it",
    "F46": "not built: there is no bulk client",
    "H21": "not built: runs are started by the clock",
    "H22": "not built: there is no bulk client",
    "H27": "not used",
    "H28": "not used",
}
PARTS = {"Invariants": INVARIANTS, "Faults": FAULTS, "SMART Backend Services": ACCESS, "HAPI FHIR": HAPI}
HEAD = """# Reliability

Made by `make docs` from the names of the tests; the check fails where an id has none. Tests in `tests/hapi`
and `tests/server/contract` run on a real HAPI server too (`make test-hapi`). The faults are there for your
own tests: `fhir-srs testserver --faults` lists them, `fhir-srs testserver --fault NAME` makes one happen.
"""


def reliability(_: str) -> str:
    """The page."""
    tests = named_tests()
    parts = [HEAD]
    for title, rows in PARTS.items():
        parts.append(f"## {title}\n")
        parts.append("| id | what | what we do | tests |\n|---|---|---|---|")
        parts += [
            f"| {key} | {what} | {does or '-'} | {_cell(key, tests)} |" for key, (what, does) in rows.items()
        ]
        parts.append("")
    return "\n".join(parts)


def _cell(key: str, tests: dict[str, list[str]]) -> str:
    if key in WITHOUT:
        return WITHOUT[key]
    return "<br>".join(f"[{one.partition('::')[2]}](../{one.partition('::')[0]})" for one in tests[key])


def named_tests() -> dict[str, list[str]]:
    """The tests of each id, `path::name`: those whose names carry it, and those of ALSO."""
    found: dict[str, list[str]] = {key: [] for rows in PARTS.values() for key in rows}
    for test in sorted(_tests()):
        name = test.partition("::")[2]
        for key in re.findall(r"[A-Z][0-9]+(?=_)", re.match(r"test_((?:[A-Z][0-9]+_)*)", name)[1]):  # type: ignore[index]
            found.setdefault(key, []).append(test)
    for key, more in ALSO.items():
        found[key] += more
    return found


@cache
def _tests() -> frozenset[str]:
    return frozenset(
        f"tests/{path.relative_to(TESTS).as_posix()}::{node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def untested() -> list[str]:
    """What is wrong: an id without a test, a test that is named here and does not exist."""
    there, named = _tests(), named_tests()
    problems = [
        f"docs/reliability.md: {key} has no test"
        for rows in PARTS.values()
        for key in rows
        if not named[key] and key not in WITHOUT
    ]
    gone = [one for more in ALSO.values() for one in more if one not in there]
    return problems + [f"docs/render_reliability.py: {one} does not exist" for one in gone]
