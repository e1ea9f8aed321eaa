"""Metrics for Prometheus: requests, pictures, slots; of this app alone."""

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sida.verdict import Failure, Verdict

__all__ = ["Metrics", "RequestMetrics"]


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        # Its own registry: two apps in one process, as in tests, would clash in the global one.
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "sida_requests", "Requests answered, by route and status.", ["route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "sida_request_seconds", "Seconds from a request to the end of its response.", ["route"],
            registry=self._registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
        )  # fmt: skip
        self._pictures = Counter(
            "sida_pictures", "Pictures processed, by their label or by the error.", ["result"],
            registry=self._registry,
        )  # fmt: skip

    def watch(self, active: Callable[[], float], queued: Callable[[], float]) -> None:
        """Call these two whenever the metrics are read."""
        for name, text, read in (
            ("sida_places_taken", "Requests being served.", active),
            ("sida_pictures_waiting", "Pictures queued for the model.", queued),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def pictures(self, result: Verdict | Failure) -> None:
        """Count one picture."""
        outcome = result.error if isinstance(result, Failure) else result.outcome
        self._pictures.labels(outcome).inc()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus's form."""
        return generate_latest(self._registry)


class RequestMetrics:
    """Middleware that counts requests by route, so that no path of a client's is a label."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            # Routing has put it into the scope by now; a path that matched nothing has none.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, status, time.perf_counter() - start)
