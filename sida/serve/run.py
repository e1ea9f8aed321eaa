"""uvicorn around the app: the socket is bound before the model is loaded, and the end is quiet."""

import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from sida.errors import InputError

__all__ = ["bind", "serve"]


def bind(host: str, port: int) -> socket.socket:
    """A socket at that address; port 0 takes a free one. Raises InputError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"port {port} of {host} cannot be used ({reason}): give another --host or --port"
        ) from error
    return bound


def serve(app: FastAPI, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, then finish what was accepted, and return."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    # uvicorn raises the signal again when it has ended; that shall not be this process's status.
    signal.signal(signal.SIGTERM, lambda *_: None)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False
    )
    Server(config).run(sockets=[bound])
