"""`find`: all pictures that paths and addresses mean, one by one and in a stable order.

A picture is a file, a member of a tar (as WebDataset writes them) or a row of a parquet file.
"""

import glob
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from sida.data.formats.table import require_pyarrow
from sida.errors import InputError
from sida.files import find_pictures, natural_key
from sida.formats import PICTURE_SUFFIXES
from sida.scale.store import reaching

__all__ = ["Item", "find", "is_address"]

SUFFIXES = PICTURE_SUFFIXES | {".parquet", ".tar"}


@dataclass(frozen=True)
class Item:
    """Where one picture lies; it need not be readable, reading it will say so.

    Attributes:
        name: what is printed as "image".
        relative: its place below the given folder, for masks.
        place: an absolute path, or an address; of the file that holds it.
        row: of a parquet file.
        offset: of its first byte in a tar.
        size: its bytes there.
        error: what is wrong with a tar or parquet file that cannot be listed.
    """

    name: str
    relative: str
    place: str
    row: int | None = None
    offset: int | None = None
    size: int | None = None
    error: str | None = None


def is_address(path: str) -> bool:
    """True for an address such as `s3://bucket/folder`, False for a path."""
    return "://" in path


def find(
    paths: Iterable[str | Path],
    recursive: bool = True,
    from_list: str | Path | None = None,
) -> Iterator[Item]:
    """Pictures of paths (as `sida.files.find_pictures`), then those of addresses.

    Args:
        paths: files, folders, globs; addresses of any file system that fsspec knows. A tar or
            parquet file stands for the pictures in it.
        recursive: whether folders below folders are walked.
        from_list: a file with a path a line, or with an address a line.

    Raises:
        InputError: nothing is there, it refuses access, or it holds no picture.
    """
    names = [str(path) for path in paths]
    if from_list is not None and (addresses := _addresses(Path(from_list))):
        names, from_list = [*names, *addresses], None
    local = [name for name in names if not is_address(name)]
    if local or from_list is not None or not names:
        yield from _local(local, recursive, from_list)
    seen_addresses: set[str] = set()
    for address in filter(is_address, names):
        for file_address, below in _remote(address, recursive):
            if file_address not in seen_addresses:
                seen_addresses.add(file_address)
                yield from _pictures(file_address, below, file_address)


def _addresses(file: Path) -> list[str]:
    """The lines of a list of addresses; nothing where it is one of paths."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):  # the reader of paths says what is wrong
        return []
    lines = [line for line in lines if line.strip()]
    return lines if all(map(is_address, lines)) else []


def _local(files: list[str], recursive: bool, from_list: str | Path | None) -> Iterator[Item]:
    inputs = find_pictures(files, recursive, from_list, SUFFIXES)
    if not any(os.path.lexists(item.path) for item in inputs):
        rest_of_list = ", nor any other" if len(inputs) > 1 else ""
        raise InputError(f"{inputs[0].name!r} does not exist{rest_of_list}: check the path")
    for item in inputs:
        relative = str(item.relative).encode(errors="replace").decode()
        yield from _pictures(item.name, relative, os.path.abspath(item.path))


def _remote(address: str, recursive: bool) -> Iterator[tuple[str, str]]:
    """Addresses of files, each with its place below the given one."""
    import fsspec

    with reaching(address):
        files, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
        if glob.has_magic(root) and not files.exists(root):
            fixed = takewhile(lambda part: not glob.has_magic(part), root.split("/"))
            base = "/".join(fixed)
            paths: Iterable[str] = sorted(files.glob(root), key=natural_key)
        elif files.info(root)["type"] == "directory":
            base, paths = root, _walk(files, root, recursive)
        else:
            base, paths = "", [root]
        is_found = False
        for path in paths:
            is_found = True
            below = path.removeprefix(base).lstrip("/") if base else PurePosixPath(path).name
            yield str(files.unstrip_protocol(path)), below
    if not is_found:
        raise InputError(
            f"{address!r} holds no picture: expected files such as .jpg, .png, .tar or .parquet"
        )


def _walk(files: Any, folder: str, recursive: bool) -> Iterator[str]:
    """All pictures below a folder in natural order, hidden files left out."""
    entries = {entry["name"].rstrip("/"): entry["type"] for entry in files.ls(folder, detail=True)}
    entries.pop(folder.rstrip("/"), None)  # some stores keep an empty file for a folder
    paths = [
        path
        for path in sorted(entries, key=natural_key)
        if not PurePosixPath(path).name.startswith(".")
    ]
    for path in paths:
        if entries[path] != "directory" and PurePosixPath(path).suffix.lower() in SUFFIXES:
            yield path
    for path in paths if recursive else ():
        if entries[path] == "directory":
            yield from _walk(files, path, recursive)


def _pictures(name: str, relative: str, address: str) -> Iterator[Item]:
    """Pictures of a file: itself, or those in a tar or parquet file; a broken one says so."""
    list_inside = {".tar": _members, ".parquet": _rows}.get(PurePosixPath(address).suffix.lower())
    if list_inside is None:
        yield Item(name, relative, address)
        return
    try:
        with reaching(name):
            for below, location in list_inside(address):
                yield Item(f"{name}/{below}", f"{relative}/{below}", address, **location)
    except InputError as error:
        yield Item(name, relative, address, error=str(error))


def _members(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pictures of a tar, with where their bytes lie; only the headers are read."""
    import fsspec

    with fsspec.open(address, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            if member.isreg() and PurePosixPath(member.name).suffix.lower() in PICTURE_SUFFIXES:
                location = {"offset": member.offset_data, "size": member.size}
                yield member.name.encode(errors="replace").decode(), location
            archive.members = []  # type: ignore[attr-defined]  # it keeps them all otherwise


def _rows(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a parquet file, by the names of their pictures where it has them."""
    import fsspec

    parquet = require_pyarrow()
    with fsspec.open(address, "rb") as stream, parquet.ParquetFile(stream) as file:
        schema = file.schema_arrow
        if "image" not in schema.names:
            raise ValueError(f"found the columns {', '.join(schema.names)}, expected image")
        image_type = schema.field("image").type
        inside = [image_type.field(i).name for i in range(image_type.num_fields)]
        columns = ["image.path"] if "path" in inside else []
        columns += ["img_id"] if "img_id" in schema.names else []
        numbers = range(file.metadata.num_rows)
        batches = file.iter_batches(batch_size=1024, columns=columns) if columns else ()
        titles = chain.from_iterable(map(_titles, batches)) if columns else (None for _ in numbers)
        for number, title in zip(numbers, titles, strict=True):
            yield title or f"row {number}", {"row": number}


def _titles(batch: Any) -> list[str | None]:
    return [
        str((row.get("image") or {}).get("path") or row.get("img_id") or "") or None
        for row in batch.to_pylist()
    ]
