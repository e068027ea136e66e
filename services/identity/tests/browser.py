"""What a person's browser does at the identity service, and what the pages' backend asks of it."""

import base64
import hashlib
import html
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

CALLBACK = "/auth/callback"


class ToService(httpx.AsyncHTTPTransport):
    """Leads requests for the public address to where a test's service listens; the Host header stays."""

    def __init__(self, listens: httpx.URL) -> None:
        super().__init__()
        self._listens = listens

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(
            scheme=self._listens.scheme, host=self._listens.host, port=self._listens.port
        )
        led = httpx.Request(
            request.method,
            url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await super().handle_async_request(led)


@dataclass
class SignIn:
    """One sign-in as the web service begins it."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def query(self, client_id: str, pages: str, **changes: str | None) -> dict[str, str]:
        """The query of the authorization request; None leaves a parameter out."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=")
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": pages + CALLBACK,
            "scope": "openid profile offline_access",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in asked.items() if value is not None}


class Browser:
    """A browser with its cookies."""

    def __init__(self, listens: httpx.URL, issuer: str, *, language: str = "ko") -> None:
        self.issuer = issuer
        self.http = httpx.AsyncClient(
            base_url=issuer,
            transport=ToService(listens),
            headers={"Accept-Language": language},
            timeout=30,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def open(self, path: str, **query: str) -> httpx.Response:
        """Open a page, following redirects within the service; the last answer."""
        answer = await self.http.get(path, params=query or None)
        return await self.follow(answer)

    async def follow(self, answer: httpx.Response) -> httpx.Response:
        while answer.next_request is not None and str(answer.next_request.url).startswith(self.issuer):
            answer = await self.http.send(answer.next_request)
        return answer

    async def submit(self, page: httpx.Response, form: str = "sign-in", **fields: str) -> httpx.Response:
        """Fill in the form of a class and send it, as the page would."""
        found = re.search(rf'<form class="{form}"([^>]*)>(.*?)</form>', page.text, re.DOTALL)
        assert found is not None, page.text
        attributes, inside = found.groups()
        action = re.search(r'action="([^"]*)"', attributes)
        hidden = {
            name: html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', inside)
        }
        answer = await self.http.post(
            html.unescape(action[1]) if action else str(page.url),
            data={**hidden, **fields},
            headers={"Origin": self.issuer, "Referer": str(page.url)},
        )
        return await self.follow(answer)

    async def sign_in(self, email: str, password: str) -> httpx.Response:
        """Sign in on the page for it."""
        page = await self.open("/accounts/login/")
        return await self.submit(page, login=email, password=password)


def returned(answer: httpx.Response) -> dict[str, str]:
    """What a redirect back to the pages says."""
    location = answer.headers["location"]
    assert urlsplit(location).path == CALLBACK, location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


class Backend:
    """The web service, as far as the provider sees it."""

    def __init__(self, listens: httpx.URL, client_id: str, secret: str, pages: str) -> None:
        self.client_id, self.pages = client_id, pages
        self.http = httpx.AsyncClient(base_url=listens, auth=(client_id, secret), timeout=30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def ask(self, **asked: str) -> httpx.Response:
        return await self.http.post("/identity/o/api/token", data=asked)

    async def exchange(self, code: str, sign_in: SignIn, **changes: str) -> httpx.Response:
        asked = {"redirect_uri": self.pages + CALLBACK, "code_verifier": sign_in.verifier, **changes}
        return await self.ask(grant_type="authorization_code", code=code, **asked)

    async def refresh(self, tokens: dict[str, Any]) -> httpx.Response:
        return await self.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
