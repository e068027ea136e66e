"""Identity as the pages see it: branches, people, invitations, credentials of machines."""

import io
from typing import Any
from uuid import uuid4

import segno
from fastapi import FastAPI, Request, Response

from laundry_service.http.problems import Problem

Item = dict[str, Any]
LINK = "https://id.example/invitation/once-only"
THEN = "2026-05-01T10:00:00Z"
LATER = "2026-05-04T10:00:00Z"


def qr_svg(link: str) -> str:
    """Draw a QR code as the service does."""
    out = io.BytesIO()
    segno.make(link).save(out, kind="svg", xmldecl=False, scale=4, light="#fff")
    return out.getvalue().decode()


class FakeIdentity:
    """Its state; a test reads ``asked`` for what a page wanted."""

    def __init__(self, app: FastAPI) -> None:
        self.branches = [self.branch("gangnam-1", "강남 1호점", "Gangnam 1")]
        self.people: list[Item] = []
        self.invitations: list[Item] = []
        self.credentials: list[Item] = []
        self.asked: list[tuple[str, Item]] = []
        self.refuse: Problem | None = None
        app.get("/branches")(self.list_branches)
        app.post("/branches", status_code=201)(self.make_branch)
        app.patch("/branches/{id}")(self.rename_branch)
        app.get("/people")(self.list_people)
        app.get("/people/audit")(self.audit)
        app.delete("/people/{sub}", status_code=204)(self.remove)
        app.get("/invitations")(self.list_invitations)
        app.post("/invitations", status_code=201)(self.invite)
        app.delete("/invitations/{id}", status_code=204)(self.withdraw)
        app.get("/equipment-credentials")(self.list_credentials)
        app.post("/equipment-credentials", status_code=201)(self.give)
        app.post("/equipment-credentials/{id}/rotation")(self.rotate)
        app.delete("/equipment-credentials/{id}", status_code=204)(self.revoke)

    def branch(self, id_: str, korean: str, english: str) -> Item:
        return {"id": id_, "name_ko": korean, "name_en": english}

    def add(
        self, name: str, role: str = "helper", *, sub: str | None = None, branches: tuple[str, ...] = ()
    ) -> Item:
        """Let somebody work in the first branch, unless others are named."""
        places = branches or ("gangnam-1",) if role != "operator" else ()
        person: Item = {
            "sub": sub or str(uuid4()),
            "name": name,
            "email": f"{len(self.people)}@example.com",
            "role": role,
            "branches": list(places),
            "joined_at": THEN,
        }
        self.people.append(person)
        return person

    def note(self, what: str, **more: Any) -> None:
        """Keep what was asked for; it is refused where a test says so."""
        self.asked.append((what, more))
        if self.refuse is not None:
            raise self.refuse

    def page(self, items: list[Item], limit: int, cursor: str | None) -> Item:
        start = int(cursor or 0)
        more = str(start + limit) if start + limit < len(items) else None
        return {"items": items[start : start + limit], "next_cursor": more}

    async def list_branches(self, limit: int = 50, cursor: str | None = None) -> Item:
        if self.refuse is not None:
            raise self.refuse
        return self.page(self.branches, limit, cursor)

    async def make_branch(self, request: Request) -> Item:
        body: Item = await request.json()
        self.note("branch", **body)
        if any(each["id"] == body["id"] for each in self.branches):
            raise Problem(409, "branch-exists", "There is a branch of that name already.")
        self.branches.append(body)
        return body

    async def rename_branch(self, id: str, request: Request) -> Item:  # noqa: A002
        body: Item = await request.json()
        self.note("rename", id=id, **body)
        branch = next(each for each in self.branches if each["id"] == id)
        branch |= body
        return branch

    async def list_people(self, q: str = "", limit: int = 50, cursor: str | None = None) -> Item:
        return self.page([each for each in self.people if q in each["name"]], limit, cursor)

    async def audit(self) -> Item:
        return {"items": [], "next_cursor": None}

    async def remove(self, sub: str) -> Response:
        self.note("remove", sub=sub)
        self.people = [each for each in self.people if each["sub"] != sub]
        return Response(status_code=204)

    async def list_invitations(self, limit: int = 50, cursor: str | None = None) -> Item:
        return self.page(self.invitations, limit, cursor)

    async def invite(self, request: Request) -> Item:
        body: Item = await request.json()
        self.note("invite", **body)
        return {**self.invited(**body), "link": LINK, "qr_svg": qr_svg(LINK)}

    def invited(self, role: str = "helper", branches: tuple[str, ...] = (), note: str = "") -> Item:
        """Let an invitation be open."""
        made: Item = {
            "id": str(uuid4()),
            "role": role,
            "branches": branches,
            "note": note,
            "expires_at": LATER,
        }
        self.invitations.insert(0, made)
        return made

    async def withdraw(self, id: str) -> Response:  # noqa: A002
        self.note("withdraw", id=id)
        self.invitations = [each for each in self.invitations if each["id"] != id]
        return Response(status_code=204)

    async def list_credentials(self, limit: int = 50, cursor: str | None = None) -> Item:
        return self.page(self.credentials, limit, cursor)

    def credential(self, equipment_id: str, branch_id: str) -> Item:
        """Let a machine have a credential."""
        made: Item = {
            "id": str(uuid4()),
            "equipment_id": equipment_id,
            "branch_id": branch_id,
            "client_id": "equipment-0123456789abcdef",
            "created_at": THEN,
            "rotated_at": None,
        }
        self.credentials.append(made)
        return made

    async def give(self, request: Request) -> Item:
        body: Item = await request.json()
        self.note("give", **body)
        if any(each["equipment_id"] == body["equipment_id"] for each in self.credentials):
            raise Problem(409, "credential-exists", "Replace its secret, or revoke it first.")
        return {
            **self.credential(**body),
            "client_secret": "first-secret",
            "token_url": "https://id.example/token",
        }

    async def rotate(self, id: str) -> Item:  # noqa: A002
        self.note("rotate", id=id)
        found = next(each for each in self.credentials if each["id"] == id)
        return {**found, "client_secret": "second-secret", "token_url": "https://id.example/token"}

    async def revoke(self, id: str) -> Response:  # noqa: A002
        self.note("revoke", id=id)
        self.credentials = [each for each in self.credentials if each["id"] != id]
        return Response(status_code=204)
