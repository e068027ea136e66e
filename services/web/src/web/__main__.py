"""Serve the pages: ``python -m web``."""

import socket

import uvicorn
from fastapi import FastAPI

from web.app import create_app
from web.settings import WebSettings


class Server(uvicorn.Server):
    """Ends open event streams first: they have no end of their own to wait for."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        """Take the app whose streams end when this stops."""
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests, end the streams, finish the rest."""
        self._app.state.stopping.set()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = WebSettings()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.graceful_timeout_s),
        timeout_keep_alive=30,
    )
    Server(config, app).run()


if __name__ == "__main__":
    main()
