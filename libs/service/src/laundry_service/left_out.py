"""Keeps out what libraries load wherever they find it and no service uses: 5 MB in each process.

A service's ``__main__`` imports this before everything else. The images contain most of it not at all; an
environment that the services share with the command-line tools does.
"""

import sys

LEFT_OUT = (
    # structlog's pictures of tracebacks, where ours are JSON.
    "rich",
    # throttled's second store, where ours is memory.
    "redis",
    # Programs that httpx and uvicorn are, too.
    "httpx._main",
    "watchfiles",
    # FastAPI looks at each type whether it is a model of that API.
    "pydantic.v1",
)

for _name in LEFT_OUT:
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]
