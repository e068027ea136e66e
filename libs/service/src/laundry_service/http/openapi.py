"""Completes the OpenAPI document: every problem that an operation can answer, in its media type."""

from typing import Any

from fastapi import FastAPI

from laundry_service.http.problems import MEDIA_TYPE, ProblemDocument

SCHEMA = "#/components/schemas/ProblemDocument"
# Written by the framework for every body and parameter; here that is a problem document too.
FRAMEWORK = {"HTTPValidationError", "ValidationError"}

WHY = {
    "400": "The request is malformed",
    "401": "There is no valid token",
    "403": "The token's role or branches do not allow it",
    "404": "There is no such thing, or not for this caller",
    "413": "The body is too large",
    "415": "The body has another media type",
    "422": "A value is not valid",
    "429": "Too much was asked; Retry-After says when to ask again",
    "503": "What it needs is away; Retry-After says when to ask again",
    "4XX": "Another problem of the request",
    "5XX": "Another problem of the service",
}


def document_problems(app: FastAPI) -> None:
    """Let an app's ``openapi()`` document its problems."""
    framework = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = framework()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for name in FRAMEWORK:
                schemas.pop(name, None)
            schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
            document["components"]["responses"] = {status: _problem(why) for status, why in WHY.items()}
            for path in document["paths"].values():
                for operation in path.values():
                    _complete(operation)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": SCHEMA}}}}


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in _statuses(operation):
        # What an endpoint says itself is more precise.
        if responses.get(status, {}).get("description") in (None, "Validation Error"):
            responses[status] = {"$ref": f"#/components/responses/{status}"}
    for status, response in responses.items():
        if status[0] in "45" and "$ref" not in response:
            responses[status] = _problem(response["description"])
    operation["responses"] = dict(sorted(responses.items()))


def _statuses(operation: dict[str, Any]) -> list[str]:
    parameters = operation.get("parameters", [])
    found = ["400", "429", "4XX", "503", "5XX"]
    if operation.get("security"):
        found += ["401", "403"]
    if any(each["in"] == "path" for each in parameters):
        found.append("404")
    if "requestBody" in operation:
        found += ["413", "415", "422"]
    if parameters or "422" in operation["responses"]:
        found.append("422")
    return found
