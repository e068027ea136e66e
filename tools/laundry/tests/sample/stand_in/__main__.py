import os
import subprocess
import sys

import asyncpg
import uvicorn
from aio_pika import connect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def readyz(_: Request) -> JSONResponse:
    """Ready when the broker takes the login and the migration made the table."""
    connection = await connect(os.environ["LAUNDRY_AMQP_URL"], timeout=5)
    await connection.close()
    database = await asyncpg.connect(os.environ["LAUNDRY_DATABASE_URL"].replace("+asyncpg", ""), timeout=5)
    try:
        await database.execute("SELECT count(*) FROM towels")
    finally:
        await database.close()
    return JSONResponse({"status": "ok", "pid": os.getpid()})


if __name__ == "__main__":
    if "--with-child" in sys.argv:
        # A careless service: its child knows nothing of the parent's death.
        subprocess.Popen(["/bin/sleep", "600"])
    app = Starlette(routes=[Route("/readyz", readyz)])
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["LAUNDRY_PORT"]), log_level="warning")
