"""`Store`: the folder of a run, on a disk or in a bucket. What is written is there whole or not.

`exclusive` keeps a second driver out of it.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sida.errors import InputError, SidaError
from sida.files import remove_temporaries, write_bytes
from sida.run_folder import busy_error, locked

__all__ = ["Store", "exclusive", "reaching"]

BEAT = 5.0
"""Seconds between two signs of life of a driver that holds a bucket."""


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turn what a file system raises into a sentence. Every library has errors of its own."""
    try:
        yield
    except SidaError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{address!r} does not exist or is empty: check the address") from error
    except PermissionError as error:
        raise InputError(
            f"{address!r} refuses access: check the credentials, and what they allow"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{address!r} cannot be reached: {reason}") from error


class Store:
    """`RunFiles` below a path, or below an address such as `s3://bucket/run`.

    It may be sent to other processes and machines.
    """

    def __init__(self, out: str | Path) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.out = str(out)
        with reaching(self.out):
            self.files, self.root = fsspec.core.url_to_fs(self.out, use_listings_cache=False)
        self.local = isinstance(self.files, LocalFileSystem)

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def open(self, name: str) -> BinaryIO:
        """A file to be read anywhere in it."""
        stream: BinaryIO = self.files.open(self._path(name), "rb")
        return stream

    def has(self, name: str) -> bool:
        """True where a file exists."""
        return bool(self.files.exists(self._path(name)))

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where it is not there."""
        try:
            content: bytes = self.files.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, data: bytes) -> None:
        """Put a file in its place in one step; object stores do so by themselves."""
        if self.local:
            write_bytes(self._path(name), data)
        else:
            self.files.pipe_file(self._path(name), data)

    def names(self, folder: str) -> set[str]:
        """The names of the files in a folder; none where it is not there."""
        try:
            paths = self.files.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return set()
        return {str(path).rsplit("/", 1)[-1] for path in paths}

    def remove(self, name: str) -> None:
        """Remove a file that may be gone already."""
        try:
            self.files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def remove_matching(self, patterns: Iterable[str]) -> None:
        """Remove the files and folders that match, then folders that are left empty."""
        for pattern in patterns:
            for path in self.files.glob(self._path(pattern)):
                self.files.rm(path, recursive=True)
                parent = str(path).rpartition("/")[0]
                # Not empty, or a bucket, which has no folders.
                with suppress(OSError):  # it holds something; buckets have no folders
                    if parent != self.root.rstrip("/"):
                        self.files.rmdir(parent)

    def remove_temporaries(self) -> None:
        """Remove half-written files; an object store has none."""
        if self.local:
            remove_temporaries(self.root)


@contextmanager
def exclusive(store: Store) -> Iterator[None]:
    """Hold a folder for one driver.

    On a disk the system lets go of the lock when its holder ends, however it ends. A bucket has
    no locks: there the holder rewrites a file every few seconds, and who finds one watches for a
    while whether it changes.

    Raises:
        ConfigError: another driver writes there.
    """
    with locked(store.root, store.out) if store.local else _lease(store):
        yield


@contextmanager
def _lease(store: Store) -> Iterator[None]:
    token, ended = secrets.token_hex(8), threading.Event()

    def sign(beat: int) -> None:
        store.write("lock.json", json.dumps({"driver": token, "beat": beat}).encode())

    def keep_signing() -> None:
        beat = 0
        while not ended.wait(BEAT):
            beat += 1
            with suppress(Exception):  # the next may get through
                sign(beat)

    with reaching(store.out):
        if (lease := store.read("lock.json")) is not None:
            # A holder that is alive rewrites it within that time.
            time.sleep(3 * BEAT)
            if store.read("lock.json") not in (lease, None):
                raise busy_error(store.out)
        sign(0)
        time.sleep(BEAT / 5)
        if _driver(store.read("lock.json")) != token:  # two came at once
            raise busy_error(store.out)
    signing = threading.Thread(target=keep_signing, daemon=True)
    signing.start()
    try:
        yield
    finally:
        ended.set()
        signing.join()
        store.remove("lock.json")


def _driver(content: bytes | None) -> Any:
    return None if content is None else json.loads(content)["driver"]
