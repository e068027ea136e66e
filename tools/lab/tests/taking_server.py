"""A server that takes what it is sent and does nothing: what is measured of it is the generator's own.

``python taking_server.py [SECONDS]`` prints its port and serves until its standard input ends; each answer
takes so many seconds.
"""

import asyncio
import socket
import sys
import uuid

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TAKES_S = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0


async def take(request: Request) -> JSONResponse:
    await request.body()
    await asyncio.sleep(TAKES_S)
    return JSONResponse({"id": str(uuid.uuid4())}, status_code=201)


async def main() -> None:
    app = Starlette(routes=[Route("/tasks", take, methods=["GET", "POST"])])
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print(listener.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    # Not on asyncio: an accepted socket would keep small answers back for 40 ms (Nagle and delayed ACKs).
    uvloop.run(main())
