"""`fetch`: the bytes of a picture, wherever it lies."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from sida.data.formats.parquet import ParquetShard
from sida.errors import PictureError, SidaError
from sida.image.read import MAX_FILE_BYTES
from sida.scale.listing import Item, is_address

__all__ = ["fetch"]


def fetch(item: Item) -> Path | bytes | PictureError:
    """A picture for the detector; an error that is this picture's alone is returned.

    A store that cannot be reached raises OSError: that is not a picture's fault, and the run goes
    on from there another time.
    """
    if item.error is not None:
        return PictureError(item.error)
    if (item.size or 0) > MAX_FILE_BYTES:
        return _too_large(item)
    alone = item.row is None and item.offset is None
    if alone and not is_address(item.place):
        return Path(item.place)
    try:
        data = _cell(item) if item.row is not None else _range(item)
    except FileNotFoundError:
        return PictureError(f"{item.name!r} was not found: check the address", "not_found")
    except PermissionError:
        return PictureError(f"{item.name!r} may not be read: ask for permission to read it")
    # A store that does not answer is not this picture's fault: raised, so that the run stops
    # and goes on from here another time.
    except (OSError, ValueError, SidaError) as error:
        if is_address(item.place) and (item.row is None or not _answers(item.place)):
            raise
        reason = " ".join(str(error).split())
        return PictureError(f"{item.name!r} cannot be read ({reason}): write its file again")
    return _too_large(item) if len(data) > MAX_FILE_BYTES else data


def _too_large(item: Item) -> PictureError:
    return PictureError(
        f"{item.name!r} has more than {MAX_FILE_BYTES / 1e9:.1f} GB: save the picture in a smaller "
        "file",
        "too_large",
    )


def _range(item: Item) -> bytes:
    """A file, no more of it than is allowed, or its piece of a tar."""
    files, path = _system(item.place)
    start = item.offset or 0
    end = start + (MAX_FILE_BYTES + 1 if item.size is None else item.size)
    data: bytes = files.cat_file(path, start=start, end=end)
    return data


def _cell(item: Item) -> bytes:
    assert item.row is not None
    return _parquet_shard(item.place).bytes_of(item.row, "image")


def _answers(address: str) -> bool:
    """True where a file can be reached, so that an error lies in its content."""
    files, path = _system(address)
    return bool(files.exists(path))


@lru_cache(maxsize=4)
def _parquet_shard(address: str) -> ParquetShard:
    """Rows come in order, so the file stays open where the last one was."""
    files, path = _system(address)
    return ParquetShard(Path(path), files)


def _system(address: str) -> tuple[Any, str]:
    import fsspec

    files, path = fsspec.core.url_to_fs(address)
    return files, str(path)
