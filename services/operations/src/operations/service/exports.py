"""Collects what every service holds of a person into one document, with the caller's own token."""

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import IO

import httpx

from laundry_service.personal_data.held import PersonalData

TIMEOUT = httpx.Timeout(30, connect=3)
IN_MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024


class Incomplete(Exception):
    """A service did not give its part; an export is whole or there is none."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} gave no whole answer")
        self.service = service


class Exports:
    """Asks each service in turn; a document over a megabyte lies on disk until it is sent."""

    def __init__(self, own: PersonalData, services: Mapping[str, str | None]) -> None:
        """Take what operations holds itself, and the addresses of the others."""
        self._own = own
        self._services = services

    async def collect(self, person: str, authorization: str) -> IO[bytes]:
        """Return an open file with the document; the caller closes it.

        Raises:
            Incomplete: a service is away, or broke off.
        """
        file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
        try:
            head = {"person": person, "made_at": datetime.now(UTC).isoformat()}
            file.write(json.dumps(head, ensure_ascii=False).removesuffix("}").encode())
            file.write(b', "services": {"operations": ')
            await _write(file, self._own.export(person))
            async with httpx.AsyncClient(timeout=TIMEOUT, headers={"Authorization": authorization}) as http:
                for service, url in self._services.items():
                    file.write(f", {json.dumps(service)}: ".encode())
                    await _write(file, _of(http, service, url, person))
            file.write(b"}}\n")
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file


async def _write(file: IO[bytes], rows: AsyncIterator[tuple[str, object]]) -> None:
    """Write rows as an object of lists; those of one kind come one after another."""
    present: str | None = None
    file.write(b"{")
    async for kind, row in rows:
        if kind != present:
            file.write((b"" if present is None else b"], ") + json.dumps(kind).encode() + b": [")
        else:
            file.write(b", ")
        present = kind
        file.write(json.dumps(row, ensure_ascii=False).encode())
    file.write(b"}" if present is None else b"]}")


async def _of(
    http: httpx.AsyncClient, service: str, url: str | None, person: str
) -> AsyncIterator[tuple[str, object]]:
    if url is None:
        raise Incomplete(service)
    number, told = 0, None
    try:
        async with http.stream("POST", f"{url.rstrip('/')}/personal-data", json={"person": person}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Incomplete(service)
            async for line in answer.aiter_lines():
                said = json.loads(line)
                if "rows" in said:
                    told = said["rows"]
                    break
                number += 1
                yield said["kind"], said["row"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise Incomplete(service) from error
    if told != number:
        raise Incomplete(service)


def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Yield a file's bytes, then close it."""

    async def read() -> AsyncIterator[bytes]:
        with file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    return read()
