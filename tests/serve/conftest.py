"""The service around a small detector, and around one that waits until it is told to go on."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sida.serve import Options, create_app
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
    with TestClient(create_app(small_detector())) as each:
        yield each


def serving(detector: Any, **options: Any) -> TestClient:
    """A client, to be entered, of a service with these options."""
    return TestClient(create_app(detector, Options(**options)), raise_server_exceptions=False)
