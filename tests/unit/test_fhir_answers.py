"""The pure side of fhir: Retry-After, links, ids, filters, batches."""

import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_srs.errors import Conflict, FhirSrsError, ProtocolViolation, TransportTransient
from fhir_srs.fhir import answers, sansio
from fhir_srs.fhir.answers import Answer, RetryAfter, parse_retry_after

NOW = "Mon, 05 Jan 2026 10:00:00 GMT"
EPOCH = int(datetime(2026, 1, 5, 10, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("0", None, RetryAfter(0.0, False)),
        ("120", None, RetryAfter(120.0, False)),
        (" 5 ", None, RetryAfter(5.0, False)),
        ("601", None, RetryAfter(600.0, True)),
        ("1000000000", None, RetryAfter(600.0, True)),  # the longest that still reads as seconds
        (str(EPOCH + 30), NOW, RetryAfter(30.0, False)),
        (str((EPOCH + 30) * 1000), NOW, RetryAfter(30.0, False)),
        (str(EPOCH - 30), NOW, RetryAfter(0.0, True)),
        ("9" * 30, NOW, RetryAfter(600.0, True)),
        (str(EPOCH + 30), None, None),  # absolute, and the server does not say what time it is
        ("Mon, 05 Jan 2026 10:01:00 GMT", NOW, RetryAfter(60.0, False)),
        ("Mon, 05 Jan 2026 09:00:00 GMT", NOW, RetryAfter(0.0, True)),
        ("Monday, 05-Jan-26 10:01:00 GMT", NOW, RetryAfter(60.0, False)),
        ("Mon, 05 Jan 2026 10:01:00 GMT", None, None),
        ("-5", NOW, None),
        ("soon", NOW, None),
        ("1.5", NOW, None),
        ("", NOW, None),
        (None, NOW, None),
    ],
)
def test_retry_after_is_read_by_the_table_of_section_6(
    value: str | None, date: str | None, expected: RetryAfter | None
) -> None:
    assert parse_retry_after(value, date) == expected


@given(st.text(), st.one_of(st.none(), st.just(NOW), st.text()))
def test_no_retry_after_is_too_odd_to_read(value: str, date: str | None) -> None:
    wait = parse_retry_after(value, date)
    assert wait is None or 0 <= wait.seconds <= 600


@given(st.text(max_size=80))
def test_a_link_is_at_our_origin_or_refused(link: str) -> None:
    base = "https://ehr.example/fhir"
    try:
        url = sansio.guarded(link, base=base)
    except FhirSrsError:
        return
    assert re.match(r"https://ehr\.example(:443)?(/|\?|#|$)", url)


@given(st.binary(max_size=200), st.sampled_from(["application/fhir+json", "text/html", ""]))
def test_any_body_is_a_page_or_one_of_our_errors(body: bytes, media: str) -> None:
    answer = Answer(status=200, headers={"content-type": media}, body=body)
    with pytest.raises(FhirSrsError):
        answers.decipher_page(answer, "GET Observation")


@pytest.mark.parametrize("name", ["..", "a/b", "a?b", "", "x" * 65, "a b", "ä"])
def test_an_id_that_fhir_does_not_allow_never_reaches_an_address(name: str) -> None:
    with pytest.raises(ProtocolViolation):
        sansio.read_request("Patient", name)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", "Patient/1"),
        ("https://x/fhir/Patient/1", "Patient/1"),
        ("Patient/1/_history/2", "Patient/1"),
        ("https://y/fhir/Patient/1", None),
        ("urn:uuid:1", None),
        ("#p", None),
        ("Patient/../x", None),
        (None, None),
    ],
)
def test_only_references_on_our_server_are_kept(reference: str | None, expected: str | None) -> None:
    assert sansio.relative(reference, base="https://x/fhir") == expected


def test_code_lists_stay_below_the_length_that_servers_take_and_lose_nothing() -> None:
    codes = [("http://snomed.info/sct", str(n)) for n in range(1000)]
    lists = list(sansio.code_lists(codes))
    assert all(len(sansio.quote(one, safe="")) <= 4100 for one in lists)
    assert [token for one in lists for token in one.split(",")] == [f"{s}|{c}" for s, c in codes]


def test_self_must_show_each_filter_as_often_as_it_was_sent() -> None:
    search = sansio.Search(type="X", filters=(("_lastUpdated", "ge1"), ("_lastUpdated", "lt2")), count=1)
    assert sansio.shows_filters("http://x/X?_lastUpdated=ge1&_lastUpdated=lt2&_count=1", search)
    assert not sansio.shows_filters("http://x/X?_lastUpdated=ge1&_count=1", search)
    assert sansio.shows_filters(None, search)


def test_a_moment_is_sent_in_utc_to_the_millisecond() -> None:
    moment = datetime.fromisoformat("2026-01-05T12:00:00.123999+02:00")
    assert sansio.since(moment) == ("_lastUpdated", "ge2026-01-05T10:00:00.123Z")


def _batch(*entries: object) -> Answer:
    body = {"resourceType": "Bundle", "type": "batch-response", "entry": entries}
    return Answer(
        status=200, headers={"content-type": "application/fhir+json"}, body=msgspec.json.encode(body)
    )


def test_a_batch_of_reads_tells_present_absent_and_deleted_apart() -> None:
    there = {"resourceType": "Observation", "id": "a", "meta": {"versionId": "3"}}
    found = answers.decipher_copies(
        _batch(
            {"response": {"status": "200 OK", "etag": 'W/"2"'}, "resource": there},
            {"response": {"status": "404 Not Found"}},
            {"response": {"status": "410"}},
        ),
        "POST batch",
        3,
    )
    assert [(one.state, one.version) for one in found] == [
        ("present", "3"),
        ("absent", None),
        ("deleted", None),
    ]


def test_a_batch_with_another_number_of_answers_is_not_read() -> None:
    with pytest.raises(ProtocolViolation):
        answers.decipher_copies(_batch(), "POST batch", 1)


def test_a_write_that_is_only_accepted_is_not_known_to_be_done() -> None:
    with pytest.raises(TransportTransient):
        answers.decipher_written(Answer(status=202, headers={}, body=b""), "POST transaction", 1)


@pytest.mark.parametrize("status", [409, 412])
def test_both_kinds_of_lost_race_are_a_conflict(status: int) -> None:
    with pytest.raises(Conflict):
        answers.check(Answer(status=status, headers={}, body=b""), "POST transaction")


@pytest.mark.parametrize(
    ("etag", "version"),
    [('W/"3"', "3"), ('"3"', "3"), ('W/"1", W/"2"', None), ("3", None), (None, None)],
)
def test_an_etag_gives_a_version_or_nothing(etag: str | None, version: str | None) -> None:
    assert answers.parse_etag(etag) == version


def test_what_an_outcome_says_beyond_code_and_expression_is_not_kept() -> None:
    body = msgspec.json.encode(
        {
            "resourceType": "OperationOutcome",
            "issue": [
                {"severity": "error", "code": "Jane Doe", "expression": ["where(name='Doe')"]},
                {"severity": "information", "code": "informational"},
            ],
        }
    )
    assert answers.issue_codes(body) == ("unknown",)
