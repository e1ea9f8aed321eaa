"""Adapters: what was trained of a model, in a small file beside the digest of its base.

`NAME+ADAPTER` loads both: `tiny+runs/mine/adapter.safetensors`. A folder with an adapter and no
weights loads as well, with the base that the adapter names.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sida.assets import EMBEDDED, HUB_NAMES
from sida.errors import CheckpointError
from sida.files import write_bytes
from sida.model.calibration import Calibration
from sida.model.sida import Sida

__all__ = [
    "FILE",
    "Adapter",
    "apply_adapter",
    "is_adapter_folder",
    "read_adapter",
    "save_adapter",
    "split_name",
]

KEY = "sida.adapter/1"
"""Of the one entry of the file's metadata, which is JSON: a `Header`."""
FILE = "adapter.safetensors"
"""Its name in the folder that `--model` takes."""
CORRECTION = "correction."
"""How the names of tensors begin that the base has no place for until one is added."""
DIGITS = 12
"""Of a digest, as many as tell weights apart for a person."""


class Header(BaseModel):
    """Metadata of the file: base and rows of its tensors, and the calibration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    base_digest: str = Field(min_length=1)
    rows: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    calibration: Calibration


@dataclass(frozen=True)
class Adapter:
    """Trained tensors of a model, and what they belong to.

    Attributes:
        base: name of the model that was trained.
        base_digest: SHA-256 of its weights.
        tensors: by the names of the model's parameters, which they replace.
        rows: parameter -> the rows that its tensor holds; all where it is not named.
        calibration: of the model with these tensors, bound to `digest`.
    """

    base: str
    base_digest: str
    tensors: Mapping[str, torch.Tensor]
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    calibration: Calibration = Calibration()  # noqa: RUF009 - it is frozen

    @property
    def digest(self) -> str:
        """SHA-256 of base and tensors, as hex: of the weights of the adapted model."""
        digest = hashlib.sha256(self.base_digest.encode())
        # By name, as a file of safetensors has an order of its own.
        for name, tensor in sorted(self.tensors.items()):
            entry = [name, str(tensor.dtype), list(tensor.shape), list(self.rows.get(name, ()))]
            digest.update(json.dumps(entry).encode())
            # As bytes: NumPy has no bfloat16.
            plain = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(plain.numpy().data)
        return digest.hexdigest()


def save_adapter(path: str | Path, adapter: Adapter) -> None:
    """Write an adapter, whole or not at all.

    Raises:
        SidaError: the file cannot be written.
    """
    header = Header(
        base=adapter.base,
        base_digest=adapter.base_digest,
        rows=dict(adapter.rows),
        calibration=adapter.calibration,
    )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in adapter.tensors.items()}
    write_bytes(path, save(tensors, metadata={KEY: header.model_dump_json()}))


def read_adapter(path: str | Path) -> Adapter:
    """Read what `save_adapter` wrote; a calibration of other tensors is left out.

    Raises:
        CheckpointError: it is no safetensors file, or no adapter.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header_json = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as an adapter ({error}): it may be cut short; copy it again."
        ) from error
    if header_json is None:
        raise CheckpointError(
            f"{path} is not an adapter: expected a file that `sida train finetune heads_only=true` "
            "wrote; a model is named by its folder."
        )
    try:
        header = Header.model_validate_json(header_json)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            f"{path} is no adapter that can be read: {'.'.join(map(str, first['loc']))} in its "
            f"header ({first['msg']}); copy it again."
        ) from error
    read = Adapter(header.base, header.base_digest, tensors, header.rows, header.calibration)
    # A file put together of two runs must not calibrate one by the other.
    if header.calibration.digest == read.digest:
        return read
    return Adapter(header.base, header.base_digest, tensors, header.rows)


@torch.no_grad()
def apply_adapter(model: Sida, path: str | Path, base_digest: str) -> Adapter:
    """Put an adapter's tensors in their places; each takes the dtype that was there.

    Args:
        base_digest: of the model's weights (`digest_of`).

    Raises:
        CheckpointError: it cannot be read, belongs to other weights, or does not fit.
    """
    adapter = read_adapter(path)
    if adapter.base_digest != base_digest:
        raise CheckpointError(
            f"{path} is an adapter of {adapter.base} with the weights "
            f"{adapter.base_digest[:DIGITS]}, not of these ({base_digest[:DIGITS]}): load it with "
            "its own base, or train it again on this one."
        )
    if any(name.startswith(CORRECTION) for name in adapter.tensors):
        model.add_correction()  # which changes nothing before it has its weights
    # All are checked before the first is written: a refused adapter leaves the model as it was.
    parameters = {name: _parameter(model, path, adapter, name) for name in adapter.tensors}
    for name, tensor in adapter.tensors.items():
        rows = adapter.rows.get(name)
        value = tensor.to(parameters[name])
        if rows is None:
            parameters[name].copy_(value)
        else:
            parameters[name][list(rows)] = value
    return adapter


def _parameter(model: Sida, path: str | Path, adapter: Adapter, name: str) -> torch.nn.Parameter:
    """The parameter that a tensor of an adapter is for, once it is known to fit."""
    parameters: dict[str, torch.nn.Parameter] = dict(model.named_parameters(remove_duplicate=False))
    parameter = parameters.get(name)
    tensor, rows = adapter.tensors[name], adapter.rows.get(name)
    if parameter is None or not tensor.is_floating_point():
        problem = "which the model has no place for" if parameter is None else f"of {tensor.dtype}"
        raise CheckpointError(f"{path} holds {name}, {problem}: it is broken; copy it again.")
    expected = tuple(parameter.shape) if rows is None else (len(rows), *parameter.shape[1:])
    outside = [row for row in rows or () if not 0 <= row < parameter.shape[0]]
    if tuple(tensor.shape) != expected or outside:
        raise CheckpointError(
            f"{name} in {path} is {tuple(tensor.shape)}"
            f"{f' for the rows {rows}' if rows else ''}, expected {expected} of "
            f"{tuple(parameter.shape)}: it is broken; copy it again."
        )
    return parameter


def is_adapter_folder(path: Path) -> bool:
    """True for a folder that holds an adapter and no weights of its own."""
    return (path / FILE).is_file() and not (path / "config.json").is_file()


def split_name(name: str) -> tuple[str, Path | None]:
    """`NAME+ADAPTER` as name and file; what has no adapter, or is there as it is, stays whole.

    A folder with an adapter and no weights of its own is the adapter on the base that it names.

    Raises:
        CheckpointError: the adapter is not there, or that of a folder cannot be read.
    """
    if is_adapter_folder(Path(name)):
        file = Path(name) / FILE
        return read_adapter(file).base, file
    if Path(name).exists():
        return name, None
    positions = [position for position, sign in enumerate(name) if sign == "+" and position]
    cuts = [(name[:position], Path(name[position + 1 :])) for position in positions]
    for base, path in cuts:
        if path.is_file():
            return base, path
    for base, path in cuts:
        if base in (*EMBEDDED, *HUB_NAMES) or Path(base).is_dir():
            raise CheckpointError(
                f"There is no adapter {str(path)!r}: expected the file that `sida train finetune "
                "heads_only=true` wrote, such as small+runs/mine/adapter.safetensors."
            )
    return name, None
