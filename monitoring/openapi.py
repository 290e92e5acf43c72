"""``docs/openapi.json``, the HTTP side, from the structs that are sent (``python -m monitoring.openapi``).

References
----------
https://spec.openapis.org/oas/v3.1.0, https://www.rfc-editor.org/rfc/rfc9457
"""

import json
from typing import Any

import msgspec

from monitoring.api import SignIn, Who
from monitoring.ask import Answers, Asking
from monitoring.control import ActionRequest, ActionState, Problem
from monitoring.view import History, View

FILE = "docs/openapi.json"
STRUCTS = (View, History, Who, SignIn, ActionRequest, ActionState, Asking, Answers, Problem)
PARTITION = {
    "name": "partition",
    "in": "query",
    "description": "A partition number; left out, or `all`: all of them.",
    "schema": {"type": "string", "default": "all"},
}
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key again gives the same action, once.",
    "schema": {"type": "string"},
}
IDENTIFIER = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def _ref(struct: type[Any]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _json(struct: type[Any], kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": _ref(struct)}}}


def _problems(*statuses: int) -> dict[str, Any]:
    words = {
        400: "Not JSON",
        401: "No token, or a wrong one",
        403: "Asked by another site",
        404: "Not known here",
        409: "Changed meanwhile, or against the policy",
        411: "Not said how long the body is",
        413: "Too large",
        415: "Not application/json",
        421: "Asked by a name that is not ours",
        422: "A field is wrong",
        429: "Too many attempts, or too many events",
        503: "Kafka does not answer, nothing is restored yet, or too many are watching",
    }
    problem = _json(Problem, "application/problem+json")
    return {str(status): {"description": words[status], **problem} for status in sorted(statuses)}


def _get(summary: str, struct: type[Any], *parameters: dict[str, Any], problems: tuple[int, ...]) -> Any:
    answers = {"200": {"description": summary, **_json(struct)}, **_problems(*problems)}
    return {"summary": summary, "parameters": list(parameters), "responses": answers}


def document() -> dict[str, Any]:
    """Return the document."""
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    sent = (400, 403, 411, 413, 415, 421, 422)
    stream = {
        "summary": "The state, once a second: server-sent events called `state`",
        "parameters": [PARTITION],
        "responses": {
            "200": {"description": "Events", "content": {"text/event-stream": {"schema": _ref(View)}}},
            **_problems(421, 422, 503),
        },
    }
    act = {
        "summary": "Ask for an action: one command goes to each partition concerned",
        "security": [{"token": []}, {"session": []}, {}],
        "parameters": [KEY],
        "requestBody": {"required": True, **_json(ActionRequest)},
        "responses": {
            "202": {
                "description": "On the control topic. Follow it at Location.",
                "headers": {"Location": {"schema": {"type": "string"}}},
                **_json(ActionState),
            },
            **_problems(*sent, 401, 409, 503),
        },
    }
    session = {
        "post": {
            "summary": "Sign in with a token: a cookie for eight hours",
            "requestBody": {"required": True, **_json(SignIn)},
            "responses": {
                "200": {"description": "Signed in", **_json(Who)},
                **_problems(*sent, 401, 429),
            },
        },
        "delete": {
            "summary": "Sign out",
            "responses": {"204": {"description": "Signed out"}, **_problems(403, 421)},
        },
    }
    ask = {
        "summary": "Answer events at once, as the predictions topic would; a worker's server only",
        "security": [{"token": []}, {"session": []}, {}],
        "requestBody": {"required": True, **_json(Asking)},
        "responses": {
            "200": {"description": "One answer for each event, in order", **_json(Answers)},
            **_problems(*sent, 401, 429, 503),
        },
    }
    following = _get("How far an action has come", ActionState, IDENTIFIER, problems=(404, 421))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Meander operations",
            "version": "1",
            "description": "What a worker, or `meander ops`, answers. The page uses nothing else.",
        },
        "paths": {
            "/api/v1/state": {"get": _get("Everything the page shows", View, PARTITION, problems=(421, 422))},
            "/api/v1/history": {
                "get": _get("The error curves so far", History, PARTITION, problems=(421, 422))
            },
            "/api/v1/stream": {"get": stream},
            "/api/v1/whoami": {"get": _get("Who you are here", Who, problems=(421,))},
            "/api/v1/predict": {"post": ask},
            "/api/v1/session": session,
            "/api/v1/actions": {"post": act},
            "/api/v1/actions/{id}": {"get": following},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "meander-session"},
            },
        },
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    from pathlib import Path

    Path(FILE).write_text(text(), encoding="utf-8")
