"""The service around a small detector, and around one that waits until it is told to go on."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from sida.serve import ServeSettings, bind, create_app
from tests.pictures import encoded, photo
from tests.small import small_detector


def picture(seed: int = 0) -> bytes:
    """A small PNG."""
    return encoded(photo(seed=seed), "PNG")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the service around the small detector."""
    with TestClient(create_app(small_detector())) as item:
        yield item


def serving(detector: Any, **settings: Any) -> TestClient:
    """A client, to be entered, of a service with these settings."""
    app = create_app(detector, ServeSettings(**settings))
    return TestClient(app, raise_server_exceptions=False)


@contextmanager
def listening(detector: Any, **settings: Any) -> Iterator[int]:
    """A server in a thread of this process; gives its port on loopback."""
    bound = bind("127.0.0.1", 0)
    app = create_app(detector, ServeSettings(**settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        waits(lambda: server.started)
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def waits(condition: Callable[[], object]) -> None:
    """Until something is so; a minute at most."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
