"""A small JSON document of the identity provider, polled over HTTP."""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import httpx

Content = TypeVar("Content")


class Unavailable(Exception):
    """The document cannot be fetched; the message says why, for the log."""


class Malformed(ValueError):
    """A document, or a part of it, that is not what it should be."""


class Remote(Generic[Content]):
    """Fetches one address, with conditional requests (ETag).

    Redirects are not followed: whoever controls one would choose the keys.
    """

    def __init__(self, url: str, read: Callable[[Any], Content], *, max_bytes: int, timeout_s: float) -> None:
        """Take the address and what makes the content of the parsed JSON (Malformed for what it is not).

        Args:
            timeout_s: for the whole fetch, however slowly it trickles.
        """
        self._url = url
        self._read = read
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._etag: str | None = None
        self._tls: ssl.SSLContext | bool = False

    async def fetch(self) -> Content | None:
        """Return the content; none if it is the same as the last time.

        Raises:
            Unavailable: it cannot be fetched, or is not what it should be.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._fetch()
        except TimeoutError as error:
            raise Unavailable(f"no whole answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error

    async def _fetch(self) -> Content | None:
        if self._url.startswith("https:") and self._tls is False:
            # Loading the CA bundle blocks the event loop for noticeably long.
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._etag is not None:
            headers["If-None-Match"] = self._etag
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=self._timeout_s, follow_redirects=False) as client,
            client.stream("GET", self._url, headers=headers) as answer,
        ):
            if answer.status_code == httpx.codes.NOT_MODIFIED and self._etag is not None:
                return None
            if answer.has_redirect_location:
                raise Unavailable("it redirects, which is not followed: configure the address it leads to")
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"HTTP {answer.status_code}")
            content = self._parse(await self._body(answer))
            etag = answer.headers.get("etag")
        self._etag = etag
        return content

    async def _body(self, answer: httpx.Response) -> bytes:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Unavailable("it is compressed, which was not asked for")
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > self._max_bytes:
                raise Unavailable(f"it is larger than {self._max_bytes} bytes")
        return bytes(body)

    def _parse(self, body: bytes) -> Content:
        try:
            return self._read(json.loads(body))
        # RecursionError: brackets nested a thousand deep.
        except (ValueError, RecursionError) as error:
            raise Unavailable(
                f"it is not what it should be: {type(error).__name__}: {error}"[:300]
            ) from error
