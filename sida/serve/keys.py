"""API keys, kept as their SHA-256, and the pictures a minute that each is good for."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sida.errors import ConfigError
from sida.serve.errors import HttpError
from sida.settings import read_settings

__all__ = ["Key", "KeyRing", "read_keys"]

NOBODY = ""
"""The owner of what is asked where no keys are asked for."""


class Key(BaseModel):
    """A key: its owner's name, the SHA-256 of its text, and its pictures a minute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    per_minute: Annotated[int, Field(ge=1)] = 600


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[Key], Field(min_length=1)]

    @field_validator("keys")
    @classmethod
    def _different_names(cls, keys: list[Key]) -> list[Key]:
        if len({key.name for key in keys}) < len(keys):
            raise ValueError("two keys have the same name, expected a name for each")
        return keys


def read_keys(path: str | Path) -> tuple[Key, ...]:
    """The keys of a YAML file (`keys:`, a list of `name`, `sha256`, `per_minute`).

    Raises ConfigError where it is not such a file.
    """
    if not Path(path).is_file():
        raise ConfigError(f"there is no file {str(path)!r}: write one as docs/serve.md says")
    return tuple(read_settings(_KeyFile, path).keys)


class KeyRing:
    """Finds the key of a request, and counts what it is used for; for one thread."""

    def __init__(self, keys: Sequence[Key], clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = {key.name: key for key in keys}
        self._clock = clock
        # A token bucket for each key: pictures left, and when that was counted.
        self._left = {key.name: (float(key.per_minute), clock()) for key in keys}

    def owner(self, headers: Mapping[str, str]) -> str:
        """The name of the key that a request brings; "" where no key is asked for.

        Raises HttpError with 401.
        """
        if not self._keys:
            return NOBODY
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        digest = hashlib.sha256((headers.get("x-api-key") or bearer).encode()).hexdigest()
        # All are compared in constant time, so that timing says nothing of which it was.
        matching = [key for key in self._keys.values() if hmac.compare_digest(key.sha256, digest)]
        if not matching:
            raise HttpError(
                401,
                "not_allowed",
                "this service requires a key: send it as `Authorization: Bearer KEY`",
                {"WWW-Authenticate": "Bearer"},
            )
        return matching[0].name

    def require_left(self, owner: str) -> None:
        """Raises HttpError with 429 where the minute of a key is used up."""
        if owner == NOBODY:
            return
        key, now = self._keys[owner], self._clock()
        interval = 60 / key.per_minute
        left, at = self._left[owner]
        left = min(key.per_minute, left + (now - at) / interval)
        self._left[owner] = (left, now)
        if left < 1:
            raise HttpError(
                429,
                "over_capacity",
                f"{key.per_minute} pictures per minute are used up: retry later",
                {"Retry-After": str(1 + int((1 - left) * interval))},
            )

    def charge(self, owner: str, pictures: int) -> None:
        """Count pictures; what goes beyond the minute's is taken from the time to come."""
        if owner != NOBODY:
            left, at = self._left[owner]
            self._left[owner] = (left - pictures, at)
