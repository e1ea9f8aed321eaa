"""HEAD for every GET: probes and link checkers use it, and FastAPI's routers do not have it."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HeadMethod"]


class HeadMethod:
    """Middleware that answers HEAD with the status and headers of GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started = asyncio.Event()

        async def head_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                started.set()

        as_get = {**scope, "method": "GET"}
        answering = asyncio.ensure_future(self._app(as_get, receive, head_only))
        waiting = asyncio.ensure_future(started.wait())
        try:
            await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not started.is_set():
                await answering  # raises what went wrong before there were headers
        finally:
            # The body may have no end, such as the events of a batch.
            for task in (answering, waiting):
                task.cancel()
            await asyncio.gather(answering, waiting, return_exceptions=True)
