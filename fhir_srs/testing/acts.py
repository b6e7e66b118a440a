"""What faults of the test server do: answers instead of the server's, and answers of it that are changed."""

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from fhir_srs.testing.answers import MEDIA_TYPE, outcome
from fhir_srs.testing.exchange import Act, Answer, Asked, Exchange

Json = dict[str, Any]
_EMPTY: Mapping[str, str] = {}


def instead(
    status: int,
    body: bytes | None = None,
    *,
    media: str = MEDIA_TYPE,
    header: str = "",
    more: Mapping[str, str] = _EMPTY,
) -> Act:
    """The server is not asked: *status*, *body* (None: an OperationOutcome), and *header* with the value."""
    said = json.dumps(outcome("transient" if status >= 500 else "processing", "a fault on request")).encode()

    async def act(one: Exchange) -> None:
        headers = {"content-type": media, **more}
        if header and one.value:
            headers[header] = one.value.replace("{base}", one.asked.base)
        await one.give(Answer(status, headers, said if body is None else body))

    return act


def changed(change: Callable[[Answer, Exchange], Answer]) -> Act:
    """The server is asked, and its answer changed."""

    async def act(one: Exchange) -> None:
        await one.give(change(await one.passed(), one))

    return act


def rewritten(pattern: str, replacement: str, *, count: int = 1) -> Act:
    """The first *count* places of a good answer that match *pattern* are another text (0: all)."""

    def change(answer: Answer, _one: Exchange) -> Answer:
        if answer.status == 200:
            answer.body = re.sub(pattern.encode(), replacement.encode(), answer.body, count=count)
        return answer

    return changed(change)


def headed(**headers: str) -> Act:
    """Headers of the answer are others; an empty one is left out."""

    def change(answer: Answer, _one: Exchange) -> Answer:
        for name, value in headers.items():
            answer.headers.pop(name.replace("_", "-"), None)
            if value:
                answer.headers[name.replace("_", "-")] = value
        return answer

    return changed(change)


def paged(change: Callable[[Json, Exchange], Json]) -> Act:
    """A Bundle that is answered is changed."""

    def applied(answer: Answer, one: Exchange) -> Answer:
        if answer.status == 200:
            answer.body = json.dumps(change(answer.json(), one)).encode()
        return answer

    return changed(applied)


def with_link(page: Json, relation: str, url: str | None) -> Json:
    """*page* with *url* as its link of that *relation*; None: without one."""
    links = [one for one in page.get("link", []) if one["relation"] != relation]
    return page | {"link": [*links, *([{"relation": relation, "url": url}] if url else [])]}


def elsewhere(page: Json, one: Exchange) -> Json:
    """The next link goes to another origin."""
    return with_link(page, "next", one.value)


def looping(page: Json, one: Exchange) -> Json:
    """From the third page on next leads back to the page before: A, B, A."""
    if one.asked.kind != "page":
        return page
    before = one.memory.get("page")
    one.memory["page"] = f"{one.asked.base}?{one.asked.query}"
    return with_link(page, "next", before) if before else page


def itself(page: Json, one: Exchange) -> Json:
    """The next link of a further page is its own."""
    return with_link(page, "next", f"{one.asked.base}?{one.asked.query}")


async def endless(one: Exchange) -> None:
    """Next always has another page, with nothing on it."""
    number = int(dict(one.asked.parameters).get("endless", "0"))
    link = f"{one.asked.base}?{urlencode({'endless': number + 1})}"
    page: Json = {"resourceType": "Bundle", "type": "searchset"}
    if not number:
        answer = await one.passed()
        page = answer.json() if answer.status == 200 else page
    body = json.dumps(with_link(page, "next", link)).encode()
    await one.give(Answer(200, {"content-type": MEDIA_TYPE}, body))


def twice(page: Json, _one: Exchange) -> Json:
    """Every entry comes two times."""
    return page | {"entry": [each for each in page.get("entry", []) for _ in range(2)]}


def older_after(page: Json, _one: Exchange) -> Json:
    """After each entry an older copy of it, with another value."""
    return page | {"entry": [two for each in page.get("entry", []) for two in (each, _aged(each))]}


def _aged(entry: Json) -> Json:
    body = entry["resource"]
    meta = {**body.get("meta", {}), "versionId": "0", "lastUpdated": "2001-01-01T00:00:00.000Z"}
    old = {**body, "meta": meta}
    if "valueQuantity" in body:
        old["valueQuantity"] = {**body["valueQuantity"], "value": 10}
    return {**entry, "resource": old}


def backwards(page: Json, _one: Exchange) -> Json:
    """The entries of each page in the opposite order."""
    return page | {"entry": page.get("entry", [])[::-1]}


def emptied(page: Json, _one: Exchange) -> Json:
    """Nothing is found, and nothing counted."""
    kept = {name: value for name, value in page.items() if name not in {"entry", "link"}}
    return with_link(kept | {"total": 0}, "self", _self_of(page))


def _self_of(page: Json) -> str | None:
    return next((one["url"] for one in page.get("link", []) if one["relation"] == "self"), None)


def without_next(page: Json, _one: Exchange) -> Json:
    """The next link is missing."""
    return with_link(page, "next", None)


def without_total(page: Json, _one: Exchange) -> Json:
    """The total is missing."""
    return {name: value for name, value in page.items() if name != "total"}


def history_instead(page: Json, _one: Exchange) -> Json:
    """A Bundle of another type."""
    return page | {"type": "history"}


def with_outcome(page: Json, _one: Exchange) -> Json:
    """An entry tells of an error among the rows."""
    told = {"resource": outcome("timeout", "a fault on request"), "search": {"mode": "outcome"}}
    return page | {"entry": [*page.get("entry", []), told]}


def bad_entry(page: Json, _one: Exchange) -> Json:
    """One entry more, which is a text."""
    return page | {"entry": [*page.get("entry", []), "not an entry"]}


async def capped(one: Exchange) -> None:
    """`_count` is lowered to the value without a word, and the search ends there (H3)."""
    answer = await one.passed()
    if answer.status == 200:
        page = answer.json()
        page = page | {"entry": page.get("entry", [])[: int(one.value)]}
        answer.body = json.dumps(without_next(page, one)).encode()
    await one.give(answer)


async def ignoring(one: Exchange) -> None:
    """The parameter named by the value does nothing, and self does not show it."""
    dropped = rf"(?:^|(?<=&)){re.escape(one.value)}=[^&]*&?"
    body = one.asked.body
    if one.asked.path.endswith("/_search"):
        body = re.sub(dropped.encode(), b"", body)
    await one.give(await one.passed(query=re.sub(dropped, "", one.asked.query), body=body))


async def stale(one: Exchange) -> None:
    """An identical search is answered as it was the first time (H1: HAPI does so for a minute)."""
    key = (one.asked.path, one.asked.query, one.asked.body)
    if key not in one.memory:
        one.memory[key] = await one.passed()
    kept = one.memory[key]
    await one.give(Answer(kept.status, dict(kept.headers), kept.body))


async def slow(one: Exchange) -> None:
    """The answer comes after so many seconds."""
    answer = await one.passed()
    await asyncio.sleep(float(one.value))
    await one.give(answer)


async def dripping(one: Exchange) -> None:
    """The body comes in two hundred pieces, each after so many seconds."""
    answer = await one.passed()
    await one.start(answer.status, answer.headers)
    step = max(1, len(answer.body) // 200)
    for begin in range(0, len(answer.body), step):
        await asyncio.sleep(float(one.value))
        await one.more(answer.body[begin : begin + step])
    await one.more(b"", last=True)


async def reset(one: Exchange) -> None:
    """The connection is reset; the server never saw the request."""
    await one.hang_up()


async def reset_after(one: Exchange) -> None:
    """The server did what was asked, then the connection is reset: was it done?"""
    await one.passed()
    await one.hang_up()


async def garbage(one: Exchange) -> None:
    """Bytes that are no HTTP."""
    one.raw(b"\x16\x03\x00 this is no answer\r\n\r\n")
    await one.end()


async def cut(one: Exchange) -> None:
    """A length is promised, and half of it sent."""
    answer = await one.passed()
    lines = [f"HTTP/1.1 {answer.status} Cut", f"content-length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    one.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + answer.body[: len(answer.body) // 2])
    await one.end()


def half(answer: Answer, _one: Exchange) -> Answer:
    """Half of the body passes as all of it."""
    answer.body = answer.body[: len(answer.body) // 2]
    return answer


async def bomb(one: Exchange) -> None:
    """20 MB of blanks in 20 kB of gzip."""
    headers = {"content-type": MEDIA_TYPE, "content-encoding": "gzip"}
    await one.give(Answer(200, headers, gzip.compress(b"{" + b" " * 20_000_000)))


async def flood(one: Exchange) -> None:
    """A body that goes on to 200 MB, without a length."""
    await one.start(200, {"content-type": MEDIA_TYPE})
    for _ in range(200):
        await one.more(b" " * 1_000_000)
    await one.more(b"", last=True)


def not_stored(asked: Asked) -> Json:
    """A transaction-response that says of every entry that it was stored."""
    sent = json.loads(asked.body or b"{}")
    said = {"status": "201 Created", "etag": 'W/"1"'}
    entries = [
        {"response": said, "resource": each.get("resource")} if "resource" in each else {"response": said}
        for each in sent.get("entry", [])
    ]
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}


async def pretended(one: Exchange) -> None:
    """The server says that it stored, and did not."""
    body = json.dumps(not_stored(one.asked)).encode()
    await one.give(Answer(200, {"content-type": MEDIA_TYPE}, body))


async def applied_202(one: Exchange) -> None:
    """The server does it and says 202, without a body."""
    await one.passed()
    await one.give(Answer(202, {}, b""))


async def applied_204(one: Exchange) -> None:
    """The server does it and says 204."""
    await one.passed()
    await one.start(204, {})
    await one.more(b"", last=True)
