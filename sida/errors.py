"""Every error a user can meet, in one small family.

    SidaError               anything below; its text is one sentence for a person
    ├── PictureError        one picture cannot be judged; has a `code` of the failure contract
    ├── InputError          a path, folder, glob or list leads to nothing that can be used
    ├── DataError           a labelled data set is not what its layout says
    ├── ConfigError         an option or a configuration contradicts itself or is unknown
    ├── CheckpointError     weights are missing, broken or of another model
    ├── DownloadError       a hub could not be reached, or the disk is too small for what it holds
    ├── DeviceError         a device, number type or quantization that this machine does not have
    └── MissingExtra        an optional dependency is not installed

Each message says what was found, what was expected, and what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "DownloadError",
    "FailureCode",
    "InputError",
    "MissingExtra",
    "PictureError",
    "SidaError",
    "optional_package",
]

FailureCode = Literal["unreadable_image", "too_large", "not_found", "out_of_memory"]


class SidaError(Exception):
    """Base of all errors that are the input's or the machine's fault, not the library's.

    It keeps its type and its code on the way from another process.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the constructor with the sentence, and some want more than that.
        return _restored, (type(self), self.args, self.__dict__)


class PictureError(SidaError):
    """Failure of a single picture; the others of a batch go on.

    `code` is one of the four words of the `sida.failure/1` contract.
    """

    def __init__(self, message: str, code: FailureCode = "unreadable_image") -> None:
        super().__init__(message)
        self.code: FailureCode = code


class InputError(SidaError):
    """A path, folder, glob or list leads to nothing that can be used."""


class DataError(SidaError):
    """A labelled data set is not what its layout says."""


class ConfigError(SidaError):
    """An option or a configuration contradicts itself or is unknown."""


class CheckpointError(SidaError):
    """Weights are missing, broken, or belong to another model."""


class DownloadError(SidaError):
    """A hub could not be reached, or the disk is too small for what it holds."""


class DeviceError(SidaError):
    """A device, number type or quantization that this machine does not have."""


class MissingExtra(SidaError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"run `pip install 'sida[{extra}]'`."
        )


@contextmanager
def optional_package(package: str, extra: str, purpose: str) -> Iterator[None]:
    """Raise MissingExtra where an import inside the block fails.

    with optional_package("pyarrow", "data", "Parquet"):
        import pyarrow.parquet
    """
    try:
        yield
    except ImportError:
        raise MissingExtra(package, extra, purpose) from None


def _restored(
    error_type: type[SidaError], arguments: tuple[str, ...], attributes: dict[str, Any]
) -> SidaError:
    error = error_type.__new__(error_type, *arguments)
    error.__dict__.update(attributes)
    return error
