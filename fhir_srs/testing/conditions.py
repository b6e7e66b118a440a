"""Writes on a condition: If-None-Exist and PUT by query (https://hl7.org/fhir/R4/http.html#cond-update)."""

from urllib.parse import parse_qsl

from fhir_srs.testing.search import matches, read_search
from fhir_srs.testing.versions import Json, Refusal, Version, Versions, Written


def matched(versions: Versions, resource_type: str, condition: str) -> Version | None:
    """The one resource that fits *condition* (`identifier=a|b`, or with `Type?` before it), or None.

    Refusal 412 if several fit, 400 if the condition says nothing.
    """
    pairs = parse_qsl(condition.removeprefix(f"{resource_type}?"), keep_blank_values=True)
    search = read_search(resource_type, pairs)
    if not search.matchers:
        raise Refusal(400, "invalid", "the condition has no search parameter")
    found = matches(search, versions)
    if len(found) > 1:
        raise Refusal(412, "multiple-matches", "the condition matches several")
    return found[0] if found else None


def conditional_create(
    versions: Versions, resource_type: str, body: Json, condition: str | None, id_: str | None = None
) -> Written:
    """The one that fits, else a new one, under *id_* if that was reserved."""
    found = matched(versions, resource_type, condition) if condition else None
    if found is not None:
        return Written(found, created=False)
    if condition is None:
        return Written(versions.create(resource_type, body, id_), created=True)
    return _created(versions, resource_type, body, condition, id_)


def conditional_update(
    versions: Versions, resource_type: str, body: Json, condition: str, id_: str | None = None
) -> Written:
    """Update the one that fits, else create, under *id_* if that was reserved."""
    found = matched(versions, resource_type, condition)
    if "id" in body and (found is None or body["id"] != found.id):
        raise Refusal(400, "invalid", "the id of the body is not that of the match")
    if found is None:
        return _created(versions, resource_type, body, condition, id_)
    return versions.update(resource_type, found.id, body | {"id": found.id})


def _created(versions: Versions, resource_type: str, body: Json, condition: str, id_: str | None) -> Written:
    """A new resource, refused if it does not fit the condition itself, as HAPI does."""
    with versions.together():
        version = versions.create(resource_type, body, id_)
        if matched(versions, resource_type, condition) is None:
            raise Refusal(400, "processing", "the resource does not fit its own condition")
    return Written(version, created=True)
