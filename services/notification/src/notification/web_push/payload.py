"""What a push tells a browser's service worker: JSON that is cut until it fits."""

import base64
import hashlib
import json

from notification.push import Push
from notification.texts import clip
from notification.web_push.encryption import MAX_PLAINTEXT_BYTES

NAMES = "equipment_ids"
# What the worker opens the right page with.
ESSENTIAL = frozenset(
    {"kind", "event_id", "branch_id", "notification_id", "fault_id", "tag", "link", "stop_key", "stop_link"}
)
SMALLEST_TEXT_BYTES = 16


def payload_of(push: Push) -> bytes:
    """Return the message, at most 3,993 bytes of UTF-8.

    What is too long loses the names of further machines first, then the end of its text, then the data that
    no page needs.

    Raises:
        ValueError: it is too long even so.
    """
    text, data = {"title": push.text["title"], "body": push.text["body"]}, dict(push.data)

    def excess() -> int:
        return len(_encoded(push, text, data)) - MAX_PLAINTEXT_BYTES

    names = data.get(NAMES, "").split(",")
    while excess() > 0 and len(names) > 1:
        names.pop()
        data[NAMES] = ",".join(names)
    for part in ("body", "title"):
        while (over := excess()) > 0 and text[part]:
            room = len(text[part].encode()) - over
            text[part] = clip(text[part], room) if room >= SMALLEST_TEXT_BYTES else ""
        if part == "body" and excess() > 0:
            data = {name: value for name, value in data.items() if name in ESSENTIAL}
    if excess() > 0:
        raise ValueError("its data alone are longer than a push may be")
    return _encoded(push, text, data)


def _encoded(push: Push, text: dict[str, str], data: dict[str, str]) -> bytes:
    message: dict[str, object] = {
        **text,
        "tag": push.tag,
        "renotify": push.sound,
        "silent": push.urgent and not push.sound,
        "data": data,
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def topic_of(tag: str) -> str:
    """Return the ``Topic`` of a tag: a later push replaces an earlier one that was not delivered yet.

    32 characters of base64url are all that the standard allows; Apple decodes them, so none is too many.
    """
    return base64.urlsafe_b64encode(hashlib.sha256(tag.encode()).digest())[:32].decode()
