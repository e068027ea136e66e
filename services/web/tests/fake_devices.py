"""What the pages ask notification about devices, and the browser's push service, which headless ones lack."""

import base64
import hashlib
import secrets
from typing import Any

from fastapi import FastAPI, Request, Response

from laundry_service.http.problems import Problem

Item = dict[str, Any]

# Headless browsers cannot subscribe. The page's own code runs against this in place of it.
PUSH_MANAGER = """
  const kept = "subscription-of-this-browser";
  const plain = (text) => atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const decode = (text) => Uint8Array.from(plain(text), (character) => character.charCodeAt(0));
  const made = ({ endpoint, key }) => ({
    endpoint,
    options: { userVisibleOnly: true, applicationServerKey: decode(key).buffer },
    toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh: "BPoint", auth: "secret" } }),
    unsubscribe: async () => (localStorage.removeItem(kept), true),
  });
  const current = () => JSON.parse(localStorage.getItem(kept));
  PushManager.prototype.getSubscription = async () => current() && made(current());
  PushManager.prototype.subscribe = async ({ applicationServerKey: key }) => {
    const endpoint = `https://push.example/${crypto.randomUUID()}`;
    localStorage.setItem(kept, JSON.stringify({ endpoint, key }));
    return made({ endpoint, key });
  };
"""


class FakeDevices:
    """The devices of the one person who is signed in."""

    def __init__(self) -> None:
        self.key = base64.urlsafe_b64encode(b"\x04" + secrets.token_bytes(64)).rstrip(b"=").decode()
        self.registered: dict[str, Item] = {}
        self.asked: list[Item] = []
        self.tested: list[str] = []
        # Set it to make trouble.
        self.refuse: Problem | None = None

    def add(self, name: str, *, token: str = "", kind: str = "fcm", reached_at: str | None = None) -> Item:
        """Let there be a device."""
        token = token or secrets.token_hex(8)
        item = {
            "id": hashlib.sha256(token.encode()).hexdigest()[:32],
            "name": name,
            "platform": "web" if kind == "web_push" else "android",
            "kind": kind,
            "reached_at": reached_at,
        }
        self.registered[item["id"] or ""] = item
        return item

    def add_to(self, app: FastAPI) -> None:
        @app.get("/devices")
        async def listed() -> Item:
            return {"items": list(self.registered.values()), "limit": 10}

        @app.get("/devices/web-push/key")
        async def key() -> Item:
            return {"public_key": self.key}

        @app.post("/devices/web-push/subscriptions", status_code=201)
        async def register(request: Request) -> Item:
            asked = await request.json()
            self.asked.append(asked)
            if self.refuse is not None:
                raise self.refuse
            if asked.get("replaces"):
                self.registered.pop(hashlib.sha256(asked["replaces"].encode()).hexdigest()[:32], None)
            return self.add(asked.get("name", ""), token=asked["endpoint"], kind="web_push")

        @app.delete("/devices/{device_id}", status_code=204)
        async def forget(device_id: str) -> None:
            self.registered.pop(device_id, None)

        @app.post("/devices/{device_id}/test")
        async def test(device_id: str) -> Response:
            if device_id not in self.registered:
                raise Problem(410, "device-gone", "Its push service no longer knows this device.")
            self.tested.append(device_id)
            return Response(status_code=204)
