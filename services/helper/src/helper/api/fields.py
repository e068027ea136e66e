"""The fields beside a photo, as every endpoint that takes photos checks them."""

import re
from typing import Any

from helper.schemas import BRANCH
from laundry_service.http.problems import Problem

NOTE_CHARS = 500
KEY = re.compile(r"[\x21-\x7e]{1,200}")
LOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")

BRANCH_FIELD = {"type": "string", "pattern": f"^{BRANCH.pattern}$"}


def form_body(*required: str, **fields: dict[str, Any]) -> dict[str, Any]:
    """Describe a form for the OpenAPI document: FastAPI does not see the fields that are read by hand."""
    schema = {"type": "object", "required": list(required), "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def photo_field(description: str) -> dict[str, Any]:
    """Describe a file of a form."""
    return {"type": "string", "format": "binary", "description": description}


def branch_of(text: str | None) -> str:
    """Return the branch of a photo. Raises a Problem (422) if there is none."""
    if text is None or not BRANCH.fullmatch(text):
        raise Problem(
            422,
            "branch-invalid",
            "Send the field 'branch_id': 1 to 40 lower-case letters, digits and hyphens.",
        )
    return text


def note_of(text: str | None) -> str | None:
    """Return a note, None for an empty one. Raises a Problem (422) if it is too long."""
    if text is not None and len(text) > NOTE_CHARS:
        raise Problem(422, "note-too-long", f"A note has at most {NOTE_CHARS} characters.")
    return text or None


def load_of(text: str | None) -> str | None:
    """Return what the photos of one load have in common. Raises a Problem (422)."""
    if text and not LOAD.fullmatch(text):
        raise Problem(422, "load-invalid", "A load_id is 1 to 64 letters, digits, hyphens and underscores.")
    return text or None


def check_key(key: str | None) -> None:
    """Check an Idempotency-Key, if there is one. Raises a Problem (400)."""
    if key is not None and not KEY.fullmatch(key):
        raise Problem(
            400, "idempotency-key-invalid", "An Idempotency-Key is 1 to 200 visible ASCII characters."
        )
