"""Tensors of a folder, shard by shard: `.bin` or safetensors, in one file or with an index."""

import hashlib
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from sida.errors import CheckpointError

__all__ = ["SCALE", "SINGLE", "Shards", "digest_of", "is_quantized"]

SINGLE = ("model.safetensors", "pytorch_model.bin")
ZIP, PICKLE, LFS = b"PK", b"\x80", b"version https://git-lfs"
"""How a `.bin` of today begins, one of torch before 1.6, and what git leaves in its place."""
SCALE = ".scale"
"""Ends the name of the float32 scales (out,) of an int8 matrix (out, in)."""
WHOLE_DIGEST = 256 * 2**20
"""Bytes up to which a digest is over all of the weights."""


class Shards:
    """The tensors of a folder by name.

    A matrix stored as int8 with a scale per output channel (`SCALE`) is read as float32.

    Raises:
        CheckpointError: there are no weights, or a shard that the index names is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.files = weight_files(folder)

    @classmethod
    def of_files(cls, files: Sequence[Path]) -> "Shards":
        """The tensors of these files."""
        # Past `__init__`, which would look for the index of a whole folder.
        shards = cls.__new__(cls)
        shards.files = list(files)
        return shards

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor; nothing but headers is read."""
        shapes: dict[str, tuple[int, ...]] = {}
        for path in self.files:
            if path.suffix == ".safetensors":
                with _opened(path) as file:
                    names = _without_scales(file)
                    shapes.update({name: tuple(file.get_slice(name).get_shape()) for name in names})
            else:
                shapes.update({name: tuple(t.shape) for name, t in _read_bin(path).items()})
        return shapes

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and tensors, mapped from disk; one shard is open at a time."""
        for path in self.files:
            if path.suffix == ".safetensors":
                with _opened(path) as file:
                    for name in _without_scales(file):
                        yield name, _dequantized(file, name)
            else:
                yield from _read_bin(path).items()


def is_quantized(folder: Path) -> bool:
    """True for a folder with a matrix that is stored as int8 with scales."""
    if not folder.is_dir():
        return False
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            with _opened(path) as file:
                if any(name.endswith(SCALE) for name in file.keys()):  # noqa: SIM118
                    return True
    return False


def weight_files(folder: Path) -> list[Path]:
    """The shards of a folder, in the order of their names."""
    for single in SINGLE:
        index = folder / f"{single}.index.json"
        if index.is_file():
            return _indexed(folder, index)
        if (folder / single).is_file():
            return [folder / single]
    content = "shards but no index of them" if any(folder.glob("*-of-*")) else "no weights"
    raise CheckpointError(
        f"{folder} holds {content}: expected {' or '.join(SINGLE)}, or shards with an index such "
        f"as {SINGLE[0]}.index.json; copy or download the folder again."
    )


def digest_of(folder: Path) -> str:
    """SHA-256 of the weights in a folder, as hex.

    Of more than 256 MB only sizes, heads, tails and 64 evenly spaced samples a file are read, so
    that starting a large model does not mean reading it twice.
    """
    files = weight_files(folder)
    total = sum(path.stat().st_size for path in files)
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        # With names and sizes, or moving bytes from one shard to the next would not show.
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            if total <= WHOLE_DIGEST:
                for block in iter(lambda: file.read(2**20), b""):
                    digest.update(block)
            else:
                for part in range(66):  # 0 is the head, 65 the tail
                    file.seek(max(0, size - 2**16) * part // 65)
                    digest.update(file.read(2**16))
    return digest.hexdigest()


def _without_scales(file: Any) -> list[str]:
    # A name that ends in `.scale` without a matrix of that name is a tensor like others.
    names = set(file.keys())
    return [name for name in sorted(names) if name.removesuffix(SCALE) not in names - {name}]


def _dequantized(file: Any, name: str) -> torch.Tensor:
    """A tensor as it is used: int8 matrices times their scales."""
    tensor: torch.Tensor = file.get_tensor(name)
    if tensor.dtype != torch.int8 or f"{name}{SCALE}" not in set(file.keys()):
        return tensor
    # In float32, so that a smaller dtype of the model rounds the product once.
    scale: torch.Tensor = file.get_tensor(f"{name}{SCALE}")
    return tensor.float() * scale[:, None]


def _indexed(folder: Path, index: Path) -> list[Path]:
    try:
        weight_map: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = [folder / Path(name).name for name in sorted(set(weight_map.values()))]
        if not files:
            raise ValueError("no shard")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{index} is not an index of shards: copy the folder again."
        ) from error
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}, {len(missing)} of the {len(files)} shards that "
            f"{index.name} names: copy or download the folder again."
        )
    return files


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise _broken(path, error) from error


def _read_bin(path: Path) -> dict[str, torch.Tensor]:
    head = _head(path)
    # Only today's zip format can be mapped; `weights_only` refuses pickles that would run code.
    try:
        table = torch.load(path, weights_only=True, mmap=head.startswith(ZIP), map_location="cpu")
    except pickle.UnpicklingError as error:
        if not head.startswith((ZIP, PICKLE)):
            raise _broken(path, error) from error
        raise CheckpointError(
            f"{path} holds more than tensors, and such a file could run code: it was not loaded; "
            "get the weights as safetensors."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise _broken(path, error) from error
    if not isinstance(table, dict) or not all(
        isinstance(name, str) and isinstance(t, torch.Tensor) for name, t in table.items()
    ):
        raise CheckpointError(f"{path} is not a table of tensors by name, as weights are.")
    return table


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError:
        return b""  # reading it will say why


def _broken(path: Path, error: Exception) -> CheckpointError:
    if _head(path).startswith(LFS):
        return CheckpointError(
            f"{path} is a pointer of Git LFS in place of the weights: run `git lfs pull` there."
        )
    if isinstance(error, pickle.UnpicklingError):
        reason = "it begins like no file of weights"
    else:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
    return CheckpointError(
        f"{path} cannot be read as weights ({reason}): it may be cut short; copy it again."
    )
