"""Content credentials in a file of their own: `photo.c2pa` beside `photo.jpg`."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sidecar", "read_sidecar", "sidecar_of"]

SUFFIX = ".c2pa"
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Sidecar:
    """Credentials as they lie in their file.

    Attributes:
        name: of the file, without its folder.
        problem: why it could not be read; it follows "The content credentials in NAME".
        is_asked_for: whether a person named the file; those in the picture itself stand back then.
    """

    name: str
    data: bytes = b""
    problem: str | None = None
    is_asked_for: bool = False


def sidecar_of(picture: Path) -> Sidecar | None:
    """The sidecar of a picture: its name with another suffix, or with one more; None without."""
    for name in (f"{picture.stem}{SUFFIX}", f"{picture.name}{SUFFIX}"):
        path = picture.parent / name
        try:
            if name != picture.name and path.is_file():  # a pipe of that name would be waited for
                return read_sidecar(path)
        except (OSError, ValueError):
            continue
    return None


def read_sidecar(path: Path, is_asked_for: bool = False) -> Sidecar:
    """A sidecar; why it could not be read is its `problem`."""
    data, problem = b"", None
    try:
        if path.is_file():
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                data, problem = b"", f"are longer than {MAX_BYTES:,} bytes"
            elif not data:
                problem = "are an empty file"
        else:
            problem = "are not there, or no file"
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return Sidecar(path.name, data, problem, is_asked_for)
