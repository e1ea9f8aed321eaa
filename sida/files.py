"""Paths, folders, globs and lists to inputs in a stable order; names of outputs; whole writes.

`find_pictures` turns what a user names into a list of `Input`, `output_paths` says where what
belongs to each is written, `write_whole` puts it there completely or not at all.
"""

import glob
import logging
import os
import platform
import re
import secrets
import shutil
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from sida.errors import DownloadError, InputError, SidaError
from sida.formats import FORMATS, PICTURE_SUFFIXES, alternatives

__all__ = [
    "Input",
    "find_pictures",
    "natural_key",
    "output_path",
    "output_paths",
    "remove_temporaries",
    "require_new",
    "require_space",
    "user_folder",
    "write_bytes",
    "write_folder",
    "write_text",
    "write_whole",
]

logger = logging.getLogger(__name__)

_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.part(\..*)?")
_EXPECTED = alternatives([format.suffixes[0] for format in FORMATS if format.is_common])


@dataclass(frozen=True)
class Input:
    """A picture to be read; it need not exist, reading it will say so.

    Attributes:
        path: where it lies.
        name: what is printed as "image": as the user wrote it, joined below a folder.
        relative: its place below the given folder, for outputs; the bare file name of a file.
    """

    path: Path
    name: str
    relative: PurePosixPath


def find_pictures(
    paths: Iterable[str | Path] = (),
    recursive: bool = True,
    from_list: str | Path | None = None,
    suffixes: Collection[str] = PICTURE_SUFFIXES,
) -> list[Input]:
    """Inputs for the paths that a user gives, in a stable order, each file once.

    Folders are walked in natural order (`img2` before `img10`), skipping hidden files and suffixes
    that are no picture's. Globs are expanded here, so quoted ones and those of Windows work; an
    existing file whose name looks like a glob is that file. A file that does not exist stays an
    input: it becomes a line that says `not_found`, and the others are judged.

    Args:
        paths: files, folders and globs, in the order in which they shall come.
        recursive: whether folders below folders are walked.
        from_list: a file with a path a line, relative to its own folder; blank lines are skipped.
        suffixes: which files of a folder are taken, in small letters.

    Raises:
        InputError: a folder without pictures, a glob without matches, a list that cannot be read
            or is empty, or nothing named at all.
    """
    inputs = [item for path in paths for item in _expand(str(path), recursive, suffixes)]
    if from_list is not None:
        inputs += _from_list(Path(from_list), recursive, suffixes)
    if not inputs:
        raise InputError("no picture was named: give files, folders, globs or a list of paths")
    once: dict[str, Input] = {}
    for item in inputs:
        once.setdefault(_identity(item.path), replace(item, name=_printable(item.name)))
    return list(once.values())


def _identity(path: Path) -> str:
    """Canonical spelling of a path: links to files are kept, links to folders are resolved."""
    return os.path.normcase(os.path.join(os.path.realpath(path.parent), path.name))


def _printable(name: str) -> str:
    """A name that JSON can hold: file names are bytes, and need not be UTF-8."""
    return name.encode(errors="replace").decode()


def _expand(name: str, recursive: bool, suffixes: Collection[str]) -> list[Input]:
    path = Path(name)
    if path.is_dir():
        return _folder(path, name, PurePosixPath(), recursive, suffixes)
    if glob.has_magic(name) and not os.path.lexists(path):
        return _matches(name, recursive, suffixes)
    return [Input(path, name, PurePosixPath(path.name))]


def _folder(
    folder: Path, name: str, above: PurePosixPath, recursive: bool, suffixes: Collection[str]
) -> list[Input]:
    """The pictures of a folder; `above` is the folder's own place in the outputs."""
    files = list(_walk(folder, recursive))
    inputs = [
        Input(folder / below, os.path.join(name, below), above / below)
        for below in files
        if below.suffix.lower() in suffixes
    ]
    if not inputs:
        raise InputError(
            f"the folder {name!r} holds no picture: found {_counted(files)}, expected files such "
            f"as {_EXPECTED}{'' if recursive else ' (folders below it were not searched)'}"
        )
    return inputs


def _walk(folder: Path, recursive: bool) -> Iterator[PurePosixPath]:
    """All files below a folder that are not hidden; a folder that links lead to again, once."""
    visited: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_report):
        real = os.path.realpath(here)
        is_visited, visited = real in visited, visited | {real}
        visible = [] if is_visited or not recursive else [f for f in folders if f[0] != "."]
        folders[:] = sorted(visible, key=natural_key)
        below = PurePosixPath(Path(here).relative_to(folder).as_posix())
        for name in [] if is_visited else sorted(files, key=natural_key):
            if not name.startswith("."):
                yield below / name


def _report(error: OSError) -> None:
    logger.warning("%s was left out: %s", error.filename, error.strerror)


def natural_key(name: str) -> tuple[object, ...]:
    """Numbers by their value, letters without case, then exactly: img2, Img10, img10."""
    parts = re.split(r"([0-9]+)", name.casefold())
    numbers = tuple(int(part) if odd % 2 else part for odd, part in enumerate(parts))
    return numbers, name


def _counted(files: Sequence[PurePosixPath]) -> str:
    if not files:
        return "no file"
    suffixes = Counter(file.suffix.lower() or "no suffix" for file in files).most_common(4)
    types = ", ".join(f"{suffix}: {count}" for suffix, count in suffixes)
    return f"{len(files)} other file{'s' * (len(files) > 1)} ({types})"


def _matches(pattern: str, recursive: bool, suffixes: Collection[str]) -> list[Input]:
    """The files that a glob matches, and the pictures of the folders that it matches."""
    base = Path(*_fixed_parts(pattern))
    inputs: list[Input] = []
    for match in sorted(glob.glob(pattern, recursive=True), key=natural_key):
        path = Path(match)
        below = PurePosixPath(path.relative_to(base).as_posix())
        if not path.is_dir():
            inputs.append(Input(path, match, below))
            continue
        with suppress(InputError):  # one match without pictures is no mistake
            inputs += _folder(path, match, below, recursive, suffixes)
    if not inputs:
        raise InputError(
            f"nothing that could be a picture matches {pattern!r}: check the pattern, or name the "
            "folder alone"
        )
    return inputs


def _fixed_parts(pattern: str) -> Iterator[str]:
    """The folders of a glob before its first part with a wildcard."""
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _from_list(file: Path, recursive: bool, suffixes: Collection[str]) -> list[Input]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"the list {str(file)!r} cannot be read: {error.strerror}") from error
    if "\0" in text:
        raise InputError(f"the list {str(file)!r} is not text: expected one path per line")
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise InputError(f"the list {str(file)!r} is empty: expected one path per line")
    return [item for line in lines for item in _list_line(file.parent, line, recursive, suffixes)]


def _list_line(folder: Path, line: str, recursive: bool, suffixes: Collection[str]) -> list[Input]:
    """A line is taken literally: a list needs no globs."""
    path = folder / line
    parts = PurePosixPath(Path(line).as_posix())
    below = PurePosixPath(parts.name) if parts.is_absolute() or ".." in parts.parts else parts
    if path.is_dir():
        return _folder(path, line, below, recursive, suffixes)
    return [Input(path, line, below)]


def output_path(folder: str | Path, item: Input, suffix: str) -> Path:
    """Where what belongs to one input is written: `folder/<below>/<stem><suffix>`."""
    return output_paths(folder, [item], suffix)[0]


def output_paths(folder: str | Path, inputs: Sequence[Input], suffix: str) -> list[Path]:
    """Where what belongs to each input is written, all different and all below `folder`.

    `sub/photo.png` becomes `folder/sub/photo<suffix>`. Where that would be the same for several
    inputs, all of them keep their suffix (`photo.png<suffix>`, `photo.jpg<suffix>`); where they
    also share that (files of one name from several folders), the later ones are numbered in the
    order of the inputs. Names that differ in case alone count as the same, as they do on many
    disks.
    """
    paths = [_inside(item.relative) for item in inputs]
    full = [str(path) for path in paths]
    short = [str(path).removesuffix(path.suffix) for path in paths]
    return [Path(folder, name + suffix) for name in _distinct(short, full)]


def _inside(relative: PurePosixPath) -> PurePosixPath:
    """The path without anything that leads out of the folder it is put below."""
    parts = [part for part in relative.parts if part not in ("/", "//", "..")]
    if os.name == "nt":
        parts = [re.sub(r'[<>:"\\|?*]', "_", part) for part in parts]
    return PurePosixPath(*parts or ["picture"])


def _distinct(short: Sequence[str], full: Sequence[str]) -> list[str]:
    """The short names where they are different, else the full ones, else those numbered."""
    names = list(short)
    while clashing := [i for i in _repeated(names) if names[i] != full[i]]:
        for index in clashing:  # a full name may clash with another's short one: look again
            names[index] = full[index]
    used = set(map(_folded, names))
    numbers: Counter[str] = Counter()
    for index, name in enumerate(names):
        numbers[_folded(name)] += 1
        if (number := numbers[_folded(name)]) > 1:
            while _folded(f"{name}-{number}") in used:
                number += 1
            numbers[_folded(name)] = number
            names[index] = f"{name}-{number}"
    return names


def _repeated(names: Sequence[str]) -> list[int]:
    counts = Counter(map(_folded, names))
    return [index for index, name in enumerate(names) if counts[_folded(name)] > 1]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Write a file completely or not at all.

        with write_whole("masks/photo_mask.png") as temporary:
            image.save(temporary)

    Gives the path of an empty temporary file beside `path`, with the same suffix; when the block
    ends well its content is forced to disk and takes the place of `path`, else it is removed and
    `path` stays as it was. Missing folders are made. Permissions are the usual ones, or those of
    the file that is replaced.

    Raises:
        SidaError: the file cannot be written; its text says why.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.is_dir():
        raise SidaError(f"{str(path)!r} cannot be written: it is a folder; name a file")
    if target.exists() and not target.is_file():
        yield target  # /dev/null or a pipe must not be replaced by a file
        return
    temporary = None
    try:
        temporary = _temporary(target)
        yield temporary
        _force_to_disk(temporary)
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SidaError(f"{str(path)!r} cannot be written: {reason}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = target.with_name(f".{secrets.token_hex(6)}.part{target.suffix}")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            if target.exists():
                shutil.copymode(target, path)
            return path


def remove_temporaries(folder: str | Path) -> None:
    """Remove what `write_whole` and `write_folder` leave below a folder when they are killed."""
    for path in [*Path(folder).rglob(".*.part*")]:
        if not _TEMPORARY.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def require_new(path: str | Path) -> None:
    """Raise SidaError where there is something at `path`: what is written stands in no other's."""
    if Path(path).exists():
        raise SidaError(f"{str(path)!r} is there already: choose another folder, or remove it")


@contextmanager
def write_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder completely or not at all; gives an empty temporary folder beside `path`.

    Raises:
        SidaError: `path` is there already, or the disk refuses; its text says why.
    """
    require_new(path)
    target = Path(path)
    unfinished = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        for file in sorted(unfinished.rglob("*")):
            if file.is_file():
                _force_to_disk(file)
        unfinished.rename(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SidaError(f"{str(path)!r} cannot be written: {reason}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _force_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write bytes completely or not at all; see `write_whole`."""
    with write_whole(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text completely or not at all, line ends as they are; see `write_whole`."""
    write_bytes(path, text.encode())


def user_folder(purpose: Literal["cache", "data"]) -> Path:
    """Where this user's programs keep such files on this system, with a folder for sida.

    `~/.cache/sida` and `~/.local/share/sida` on Linux (or what XDG_CACHE_HOME and XDG_DATA_HOME
    say), their like on macOS and Windows.
    """
    home, system = Path.home(), platform.system()
    if system == "Darwin":
        library = {"cache": "Caches", "data": "Application Support"}
        return home / "Library" / library[purpose] / "sida"
    if system == "Windows":
        local = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
        return Path(local) / "sida" / purpose
    defaults = {"cache": home / ".cache", "data": home / ".local" / "share"}
    return Path(os.environ.get(f"XDG_{purpose.upper()}_HOME") or defaults[purpose]) / "sida"


def require_space(folder: str | Path, size: int, title: str) -> None:
    """Raise DownloadError if the disk of `folder` (which need not exist yet) has no `size` bytes.

    `title` names the thing to be stored, for the message: "saberzl/SIDA-7B".
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < size:
        raise DownloadError(
            f"{title} needs {size / 1e9:.1f} GB, {str(folder)!r} has {free / 1e9:.1f} GB left: "
            "make room, or choose a folder on another disk"
        )
