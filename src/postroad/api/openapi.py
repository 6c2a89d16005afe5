"""The OpenAPI 3.1 document of the API, made of the same types that requests are decoded with. Pure.

Invariant: what a request or an answer looks like stands in `schema` alone; here is only which of them go where, and why
a request can fail. Nothing of the configuration is in it, so that anybody may read it.
"""

from typing import Final

import msgspec

from postroad import VERSION
from postroad.api.problem import CONTENT_TYPE
from postroad.api.schema import Batch, Message, MessageState, Problem, Results, Taken

_TYPES: Final = (Batch, Message, MessageState, Problem, Results, Taken)
_Json = dict[str, object]
_WORDS: Final = (
    (400, "The request cannot be read."),
    (401, "There is no key, or not a valid one."),
    (403, "The key may not do this, or a policy refuses the mail."),
    (404, "There is no such message of this key."),
    (405, "This method means nothing here."),
    (408, "The request did not arrive in time."),
    (409, "A request with this Idempotency-Key is being answered."),
    (413, "The request or the message is too large."),
    (415, "Another form of content is needed."),
    (417, "Expect asks for something else than 100-continue."),
    (422, "The message is not valid or refused, or the Idempotency-Key was used for another request."),
    (429, "The key has too many requests running, or there were too many wrong keys."),
    (500, "Something broke on our side."),
    (503, "The server is busy, or the message cannot be taken now."),
    (507, "There is no room for mail now."),
)
_WAITING: Final = frozenset({409, 429, 503, 507})


def document() -> bytes:
    """The document as JSON."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    security = {"key": {"type": "http", "scheme": "bearer", "description": "A key of [api.keys.NAME]."}}
    paths = {
        "/v1/messages": {"post": _post_message()},
        "/v1/messages/batch": {"post": _post_batch()},
        "/v1/messages/{id}": {"get": _get_message()},
    }
    whole: _Json = {
        "openapi": "3.1.0",
        "info": {"title": "Postroad", "version": VERSION, "description": "Mail in by HTTP, and what became of it."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security},
        "security": [{"key": []}],
    }
    return msgspec.json.encode(whole)


def _example() -> _Json:
    return {"from": {"email": "shop@example.com", "name": "The Shop"}, "subject": "Your order", "text": "Thank you!"}


def _idempotency() -> _Json:
    words = "The same key with the same request gets the same answer, and sends nothing anew."
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    return {"name": "Idempotency-Key", "in": "header", "description": words, "schema": schema}


def _replayed() -> _Json:
    return {"Idempotency-Replayed": {"description": "The answer was given before.", "schema": {"type": "string"}}}


def _post_message() -> _Json:
    raw: _Json = {"type": "string", "contentMediaType": "message/rfc822"}
    location = {"description": "Where to ask about the message.", "schema": {"type": "string"}}
    taken = _content("The message is durable in the queue.", Taken)
    state = {"operationId": "getMessage", "parameters": {"id": "$response.body#/id"}}
    one = {**_example(), "to": ["anna@example.net"]}
    text: _Json = {"type": "string"}
    several: _Json = {"type": "array", "items": {"type": "string"}}
    query = (
        ("from", "the return address; it may be empty.", text),
        ("to", "a recipient, as often as needed.", several),
        ("notify", "which reports are wanted, as often as needed.", several),
        ("ret", "full or headers.", text),
        ("envid", "the envelope's name in reports.", text),
    )
    return {
        "operationId": "sendMessage",
        "summary": "Send one message",
        "description": "As JSON; or as message/rfc822, with the envelope in the query.",
        "parameters": [_idempotency(), *(_query(*one) for one in query)],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref(Message), "example": one},
                "message/rfc822": {"schema": raw},
            },
        },
        "responses": {
            "202": {**taken, "headers": {"Location": location, **_replayed()}, "links": {"state": state}},
            **_problems(400, 401, 403, 405, 408, 409, 413, 415, 417, 422, 429, 500, 503, 507),
        },
    }


def _post_batch() -> _Json:
    all_taken = _content("All messages are durable in the queue.", Results)
    people = [{"to": ["anna@example.net"]}, {"to": ["bert@example.net"], "text": "Hello, Bert!"}]
    several: _Json = {"defaults": _example(), "messages": people}
    some = _content("Some are, and some are not: each has its own result.", Results)
    return {
        "operationId": "sendBatch",
        "summary": "Send several messages",
        "parameters": [_idempotency()],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(Batch), "example": several}}},
        "responses": {
            "202": {**all_taken, "headers": _replayed()},
            "207": {**some, "headers": _replayed()},
            **_problems(400, 401, 403, 405, 408, 409, 413, 415, 417, 422, 429, 500, 503, 507),
        },
    }


def _get_message() -> _Json:
    return {
        "operationId": "getMessage",
        "summary": "What became of a message",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {
            "200": _content("Where the message and its recipients stand.", MessageState),
            **_problems(400, 401, 403, 404, 405, 429, 500, 503),
        },
    }


def _query(name: str, words: str, schema: _Json) -> _Json:
    return {"name": name, "in": "query", "description": f"With message/rfc822: {words}", "schema": schema}


def _ref(kind: type) -> _Json:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _content(words: str, kind: type) -> _Json:
    return {"description": words, "content": {"application/json": {"schema": _ref(kind)}}}


def _problems(*statuses: int) -> _Json:
    found: _Json = {}
    for status, words in _WORDS:
        if status in statuses:
            one: _Json = {"description": words, "content": {CONTENT_TYPE: {"schema": _ref(Problem)}}}
            if status in _WAITING:
                one["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
            found[str(status)] = one
    return found
