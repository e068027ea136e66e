"""What the customer's page asks of search, notification and operations: tastes, branches, consent, data."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Header, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from laundry_catalogue.tags import TAGS
from laundry_events import new_id
from laundry_service.http.problems import Problem

if TYPE_CHECKING:
    from .fake_services import FakeServices

Item = dict[str, Any]
WORDS = {
    "version": "v1",
    "title": "Tell me of branches (optional)",
    "body": "At most 2 a week, never at night.",
}


class FakeCustomers:
    """Their state, of one customer; a test reads what the page did."""

    def __init__(self) -> None:
        self.taste: dict[str, float] = {}
        self.saved: list[dict[str, float]] = []
        self.matches: list[Item] = []
        self.hold_matches: asyncio.Event | None = None
        self.own_tags: list[Item] = []
        self.consent: Item = {"given": False, "changed_at": None}
        self.words = dict(WORDS)
        self.said: list[Item] = []
        self.erasures: list[Item] = []
        self.preferences: list[Item] = []
        self.keys: list[str] = []
        self.away: set[str] = set()

    def suit(self, branch_id: str, **tags: tuple[float, float]) -> None:
        """Let a branch suit: each tag with what the customer wants and what the branch offers."""
        shares = [
            {"tag": tag, "yours": yours, "theirs": theirs, "adds": 0.3}
            for tag, (yours, theirs) in tags.items()
        ]
        self.matches.append(
            {
                "branch_id": branch_id,
                "score": 0.75,
                "reasons": list(tags),
                "shares": shares,
                "preference": {
                    "title": "조용한 아침 사우나",
                    "text": "6시부터 열어요.",
                    "tags": {tag: theirs for tag, (_, theirs) in tags.items()} | {"parking": 0.5},
                },
            }
        )

    def add_to(self, app: FastAPI, services: "FakeServices") -> None:
        def check(what: str) -> None:
            if what in self.away:
                raise Problem(503, "service-away", "It is being restarted.")

        @app.get("/branches/tags")
        async def tags() -> Item:
            check("tags")
            known = [
                {"tag": tag.name, "group": tag.group, "ko": tag.ko, "en": tag.en, "branches": 1}
                for tag in TAGS
            ]
            return {"items": known + self.own_tags, "next_cursor": None}

        self._add_branches(app, check)

        @app.get("/customers/me/preference")
        async def taste() -> Item:
            if not self.taste:
                raise Problem(404, "no-preference", "You have not said what you like yet.")
            return {"tags": self.taste}

        @app.put("/customers/me/preference")
        async def state(body: dict[str, dict[str, float]]) -> Item:
            check("taste")
            self.taste = body["tags"]
            self.saved.append(body["tags"])
            return {"tags": self.taste}

        @app.delete("/customers/me/preference", status_code=204)
        async def forget() -> None:
            self.taste = {}
            self.saved.append({})

        @app.get("/branches/matching")
        async def matching(limit: int = 20, cursor: int = 0) -> Item:
            check("matching")
            end = cursor + limit
            more = str(end) if end < len(self.matches) else None
            found = {"items": self.matches[cursor:end], "next_cursor": more}
            if self.hold_matches is not None:
                await self.hold_matches.wait()
            return found

        @app.get("/branches/matching/stream", response_class=EventSourceResponse)
        async def stream() -> AsyncIterator[ServerSentEvent]:
            async for event in services.events("matches", "match"):
                yield event

        def consent() -> Item:
            limits = {"per_week": 2, "quiet_from": "21:00", "quiet_until": "08:00", "time_zone": "Asia/Seoul"}
            return {**self.consent, "text_version": None, "text": self.words, **limits}

        @app.get("/customers/me/consent")
        async def read_consent() -> Item:
            check("consent")
            return consent()

        @app.put("/customers/me/consent")
        async def say(body: Item) -> Item:
            self.said.append(body)
            if body["given"] and body.get("text_version") != self.words["version"]:
                raise Problem(409, "consent-text-changed", "Show the text again.")
            self.consent = {"given": body["given"], "changed_at": "2026-03-09T03:00:00Z"}
            return consent()

        @app.get("/people/me/export")
        async def export() -> Response:
            check("export")
            headers = {"Content-Disposition": 'attachment; filename="personal-data.json"'}
            return Response('{"person": "kim"}', media_type="application/json", headers=headers)

        @app.get("/people/me/erasure")
        async def erasure() -> Item:
            if not self.erasures:
                raise Problem(404, "erasure-unknown", "No erasure is under way.")
            return {"state": "running"}

        @app.post("/people/me/erasure", status_code=202)
        async def erase(body: Item) -> Item:
            self.erasures.append(body)
            return {"id": new_id(), "state": "running"}

    def _add_branches(self, app: FastAPI, check: Callable[[str], None]) -> None:
        @app.get("/branches/{branch_id}/preferences")
        async def stated(branch_id: str) -> Item:
            check("preferences")
            items = [each for each in self.preferences if each["branch_id"] == branch_id]
            return {"items": items, "next_cursor": None}

        @app.post("/branches/{branch_id}/preferences", status_code=201)
        async def say_of(branch_id: str, body: Item, idempotency_key: Annotated[str, Header()]) -> Item:
            self.keys.append(idempotency_key)
            check("preferences")
            return self.state(branch_id, body["title"], body["text"], **body["tags"])

        @app.delete("/branches/{branch_id}/preferences/{preference_id}", status_code=204)
        async def withdraw(branch_id: str, preference_id: str) -> None:
            found = [each for each in self.preferences if each["id"] == preference_id]
            if not found or found[0]["branch_id"] != branch_id:
                raise Problem(404, "preference-unknown", "This branch has stated no such preference.")
            self.preferences.remove(found[0])

    def state(self, branch_id: str, title: str, text: str, **tags: float) -> Item:
        """Let a branch have said what it is like."""
        made: Item = {
            "id": new_id(),
            "branch_id": branch_id,
            "tags": tags,
            "title": title,
            "text": text,
            "matched": len(self.preferences) + 2,
            "created_at": "2026-03-09T03:00:00Z",
        }
        self.preferences.insert(0, made)
        return made

    def tell(self, services: "FakeServices", *, minutes_ago: float = 5) -> Item:
        """Let the customer be told of a branch."""
        item: Item = {
            "id": new_id(),
            "kind": "branch_match",
            "title": {
                "ko": "(광고) 취향에 맞는 지점: 조용한 아침 사우나",
                "en": "(Ad) A branch for you: Morning sauna",
            },
            "body": {
                "ko": "b1 (조용해요, 사우나) · 6시부터 열어요.",
                "en": "b1 (Quiet, Sauna) · Open from six.",
            },
            "branch_id": "b1",
            "event_id": new_id(),
            "created_at": services.at(minutes_ago),
            "sent_at": None,
            "state": "sent",
            "data": {},
        }
        services.notifications[item["id"]] = item
        services.tell("notifications", item)
        return item
