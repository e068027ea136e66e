"""Keeps out optional modules that libraries load and no service uses: 5 MB in each process.

A service's ``__main__`` imports this before everything else. The images contain most of it not at all; an
environment that the services share with the command-line tools does.
"""

import sys

LEFT_OUT = (
    # structlog's pictures of tracebacks, where ours are JSON.
    "rich",
    # throttled's second store, where ours is memory.
    "redis",
    # The command lines of httpx and uvicorn.
    "httpx._main",
    "watchfiles",
    # FastAPI checks each type against its models.
    "pydantic.v1",
    # httpcore's question which event loop this is; it looks in every folder at each connection, for 0.1 ms.
    "sniffio",
    # OpenTelemetry's description of this process, which nobody asks for.
    "psutil",
)

for _name in LEFT_OUT:
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]
