"""What the processes of the stack share: libraries that the fork server imports once for all of them.

None of our own packages, but for what keeps others out: a service that starts again runs its code as it is
now. And none that begins threads when it is imported, which a fork loses.
"""

SHARED = (
    # Before what it keeps out.
    "laundry_service.left_out",
    "fastapi.openapi.utils",
    "pydantic_settings",
    "email_validator",
    "python_multipart.multipart",
    "structlog",
    "prometheus_client",
    "opentelemetry.propagate",
    "opentelemetry.semconv.trace",
    "jwt",
    "httpx",
    "cryptography.x509",
    "throttled",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "faststream.rabbit",
    "faststream.asgi",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
