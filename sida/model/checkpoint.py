"""Weights in, weights out: our folders, the published layout as it is, and names of either.

A model is built without memory and takes its tensors one by one as they are read from disk, each
converted on the way; at no time is more there than the model and one shard.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sida.errors import CheckpointError, ConfigError
from sida.files import write_folder
from sida.model.calibration import Calibration
from sida.model.config import SidaConfig
from sida.model.hub import fetch, is_hub_name
from sida.model.keys import from_published, tower_name
from sida.model.names import EMBEDDED, HUB_NAMES
from sida.model.processor import SidaProcessor
from sida.model.published import ARCHITECTURES, LISA, config_from_published, write_published
from sida.model.sida import Sida
from sida.model.tokenizer import Tokenizer
from sida.model.weights import Shards, digest_of

__all__ = ["Loaded", "convert", "digest_of", "load", "load_base"]

NEW_IN_SIDA = ("class_head.", "fusion.")
"""What LISA's weights lack; a base for training gets these anew."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, and what it is."""

    model: Sida
    processor: SidaProcessor
    calibration: Calibration
    name: str
    version: str
    digest: str


def load(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Loaded:
    """Load a model that judges pictures.

    Args:
        name: one of `sida models`, a folder of ours or in the published layout, or a hub name.

    Raises:
        CheckpointError: no such thing, or weights that are incomplete, broken or of another model;
            LISA's are refused, since they cannot tell classes.
        DownloadError: the hub cannot be reached.
    """
    folder = find(name)
    fields = _fields(folder)
    if LISA in fields.get("architectures", ()):
        raise CheckpointError(
            f"{name} holds LISA weights, which have no class head: they are a base for training, "
            "not a detector."
        )
    model, processor = _open(folder, fields, device, dtype)
    digest = digest_of(folder)
    label = name if name in HUB_NAMES or name == EMBEDDED.name else folder.name
    version = str(fields.get("version", "1"))
    return Loaded(model, processor, Calibration.load(folder, digest), label, version, digest)


def load_base(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Sida, SidaProcessor]:
    """Load weights to train from: as `load`, and LISA's, whose missing heads are made anew."""
    folder = find(name)
    return _open(folder, _fields(folder), device, dtype)


def find(name: str) -> Path:
    """The folder of a model's name, path or hub name.

    Raises:
        CheckpointError: there is none.
    """
    if name == EMBEDDED.name:
        return EMBEDDED
    if Path(name).is_dir():
        return Path(name)
    if name in HUB_NAMES or is_hub_name(name):
        return fetch(HUB_NAMES.get(name, name))
    known = ", ".join([EMBEDDED.name, *HUB_NAMES])
    raise CheckpointError(
        f"There is no model {name!r}: expected one of {known}, a folder, or a hub name like "
        "saberzl/SIDA-7B."
    )


def _open(
    folder: Path, fields: dict[str, Any], device: torch.device | str, dtype: torch.dtype
) -> tuple[Sida, SidaProcessor]:
    kind = fields.get("architectures") or [None]
    if kind[0] in ARCHITECTURES:
        return _open_published(folder, fields, device, dtype)
    if kind[0] != Sida.__name__:
        raise CheckpointError(
            f"{folder} holds {kind[0] or 'an unnamed architecture'}, expected "
            f"{Sida.__name__} or {ARCHITECTURES[0]} in config.json."
        )
    processor = SidaProcessor.from_pretrained(folder)
    shards = Shards(folder)
    model = _build(processor.config, dtype)
    _fill(model, shards, {name: name for name in shards.shapes()}, device, dtype, folder)
    return _ready(model, device, dtype, folder), processor


def _open_published(
    folder: Path, fields: dict[str, Any], device: torch.device | str, dtype: torch.dtype
) -> tuple[Sida, SidaProcessor]:
    shards = Shards(folder)
    shapes = shards.shapes()
    tower, origin = _vision_tower(folder, fields)
    config = config_from_published(fields, shapes, _fields(tower), origin)
    tokenizer = Tokenizer.load(folder)
    if len(tokenizer) != config.language.vocab_size:
        raise CheckpointError(
            f"{folder} has {config.language.vocab_size} embedding rows and a tokenizer of "
            f"{len(tokenizer)}: added_tokens.json is not that of these weights."
        )
    model = _build(config, dtype)
    _fill(model, shards, from_published(shapes).names, device, dtype, folder)
    clip = Shards(tower)
    layers = len(model.encoder.clip.encoder.layers)
    names = {name: tower_name(name, layers) for name in clip.shapes()}
    kept = {name: ours for name, ours in names.items() if ours is not None}
    _fill(model, clip, kept, device, dtype, tower)
    fresh = NEW_IN_SIDA if LISA in fields["architectures"] else ()
    return _ready(model, device, dtype, folder, fresh), SidaProcessor(config, tokenizer)


def _vision_tower(folder: Path, fields: dict[str, Any]) -> tuple[Path, str]:
    """Folder of the vision tower, and how it is remembered; relative ones are relative to ours."""
    named = str(fields.get("mm_vision_tower") or fields.get("vision_tower") or "")
    if named and (folder / named).is_dir():
        found = (folder / named).resolve()
        return found, str(found)
    if not is_hub_name(named):
        raise CheckpointError(
            f"{folder} names {named or 'no'!r} vision tower, which is neither a folder nor a hub "
            "name: set mm_vision_tower in its config.json to the folder of the CLIP model."
        )
    return fetch(named), named


def _fields(folder: Path) -> dict[str, Any]:
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} is not a model: its config.json cannot be read ({error})."
        ) from error
    return fields


def _build(config: SidaConfig, dtype: torch.dtype) -> Sida:
    """The network without memory."""
    with _default_dtype(dtype), torch.device("meta"):
        return Sida(config)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _fill(
    model: Sida,
    shards: Shards,
    names: dict[str, str],
    device: torch.device | str,
    dtype: torch.dtype,
    folder: Path,
) -> None:
    """Put the tensors of a folder in their places, one after another."""
    expected = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in shards.tensors():
        if name not in names:
            continue
        place = names[name]
        if place not in expected:
            raise CheckpointError(
                f"{folder} holds the tensor {name}, which its configuration has no place for: "
                "weights and config.json do not belong together."
            )
        if tensor.shape != expected[place].shape:
            raise CheckpointError(
                f"{name} in {folder} is {tuple(tensor.shape)}, expected "
                f"{tuple(expected[place].shape)}: weights and config.json do not belong together."
            )
        parameter = nn.Parameter(tensor.to(device, dtype, copy=True))
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]
        owner, _, leaf = place.rpartition(".")
        setattr(model.get_submodule(owner), leaf, parameter)


def _ready(
    model: Sida,
    device: torch.device | str,
    dtype: torch.dtype,
    folder: Path,
    fresh: tuple[str, ...] = (),
) -> Sida:
    """Tie what is tied, make what no file holds, and see that nothing is missing."""
    model.tie_weights()
    missing = [n for n, p in model.named_parameters() if p.is_meta and not n.startswith(fresh)]
    if missing or (not fresh and any(p.is_meta for p in model.parameters())):
        raise CheckpointError(
            f"{folder} lacks {len(missing)} tensors, the first is {missing[0]}: it is not complete."
        )
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for leaf, tensor in table.items():
                if tensor is None or not tensor.is_meta:
                    continue
                empty = torch.empty_like(tensor, device=device)
                table[leaf] = nn.Parameter(empty) if table is module._parameters else empty
    model.initialize_weights()
    model.tie_weights()
    return model.eval()


def convert(src: str, to: str, out: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write a model as a folder of ours (`ours`) or in the published layout (`published`).

    Args:
        src: what `load` takes, or LISA weights.
        dtype: of the written weights; that of the source where None.

    Raises:
        ConfigError: `to` is neither, or the model has no published form.
        CheckpointError: the source cannot be read.
    """
    if to not in WRITERS:
        raise ConfigError(f"--to {to!r} is not a layout: choose ours or published.")
    source = find(src)
    kept = dtype or _stored_dtype(source)
    model, processor = load_base(src, dtype=kept)
    with write_folder(out) as unfinished:
        WRITERS[to](unfinished, model, processor, kept)
    return Path(out)


def _write_ours(folder: Path, model: Sida, processor: SidaProcessor, _: torch.dtype) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _write_published(
    folder: Path, model: Sida, processor: SidaProcessor, dtype: torch.dtype
) -> None:
    write_published(folder, model.config, model.state_dict(), dtype)
    processor.tokenizer.save(folder)


Writer = Callable[[Path, Sida, SidaProcessor, torch.dtype], None]
WRITERS: dict[str, Writer] = {"ours": _write_ours, "published": _write_published}


def _stored_dtype(folder: Path) -> torch.dtype:
    return next(tensor.dtype for _, tensor in Shards(folder).tensors())
