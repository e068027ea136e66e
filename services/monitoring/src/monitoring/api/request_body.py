"""Reads a body that is not validated as JSON by FastAPI."""

from fastapi import Request


async def read_body(request: Request, *, max_bytes: int) -> bytes | None:
    """Read the body; ``None`` as soon as it has more than ``max_bytes``."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)
