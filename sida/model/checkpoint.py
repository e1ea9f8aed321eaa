"""Weights in, weights out: our folders, the published layout as it is, and names of either.

A model is built without memory and takes its tensors one by one as they are read from disk, each
converted on the way; at no time is more there than the model and one shard.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from sida.assets import EMBEDDED, HUB_NAMES, TOKENIZER
from sida.errors import CheckpointError, DownloadError
from sida.model.adapter import apply_adapter, is_adapter_folder, read_adapter, split_name
from sida.model.budget import BudgetCalibration
from sida.model.calibration import Calibration
from sida.model.config import SidaConfig
from sida.model.hub import fetch, is_hub_name, revision
from sida.model.keys import from_published, from_tower, to_published
from sida.model.presets import PRESETS, from_sizes, preset
from sida.model.processor import SidaProcessor
from sida.model.published import ARCHITECTURES, LISA, config_from_published
from sida.model.sida import Sida
from sida.model.tokenizer import MARKERS, Tokenizer
from sida.model.weights import Shards, digest_of

__all__ = [
    "Loaded",
    "digest_of",
    "fill",
    "find",
    "load",
    "load_base",
    "load_random",
    "refuse_lisa",
    "stored_calibration",
]

log = logging.getLogger(__name__)

CONTRADICTIONS = (StrictDataclassError, LookupError, RuntimeError, ValueError, ZeroDivisionError)
"""Raised by transformers and torch for sizes of which no network can be made."""
NEW_IN_SIDA = ("class_head.", "fusion.")
"""Lacking in LISA's weights; a base for training gets these anew."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, and what it is."""

    model: Sida
    processor: SidaProcessor
    calibration: Calibration
    name: str
    version: str
    digest: str
    budget_calibration: BudgetCalibration | None = None


def load(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Loaded:
    """Load a model for detection.

    Args:
        name: one of `sida models`, a folder of ours or in the published layout, or a hub name;
            behind any of them `+` and the file of an adapter; or the folder of an adapter.

    Raises:
        CheckpointError: no such thing, or weights that are incomplete, broken or of another model;
            LISA's are refused, since they cannot tell classes, and adapters of other weights.
        DownloadError: the hub cannot be reached.
    """
    adapter_folder = Path(name) if is_adapter_folder(Path(name)) else None
    name, adapter = split_name(name)
    folder = find(name)
    fields = _fields(folder)
    refuse_lisa(name, folder)
    model, processor = _open(folder, fields, device, dtype)
    # Of the files, before an adapter: it names its base by this.
    digest = digest_of(folder)
    label = folder.resolve().name if Path(name).is_dir() else name
    calibration = Calibration.load(folder, digest)
    if adapter is not None:
        applied = apply_adapter(model, adapter, digest)
        label = adapter_folder.resolve().name if adapter_folder else f"{label}+{adapter.stem}"
        digest, calibration = applied.digest, applied.calibration
    # By the digest of what was loaded: scores of the base are none of an adapted model.
    budgets = BudgetCalibration.load(adapter.parent if adapter else folder, digest)
    return Loaded(model, processor, calibration, label, model.config.version, digest, budgets)


def load_base(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> tuple[Sida, SidaProcessor]:
    """Load weights to train from: as `load`, and LISA's, whose missing heads are made anew.

    Args:
        dtype: None leaves every tensor its own.
    """
    folder = find(name)
    return _open(folder, _fields(folder), device, dtype)


def refuse_lisa(name: str, folder: Path) -> None:
    """Raise CheckpointError where the folder that a name means holds LISA's weights."""
    if LISA in _architectures(_fields(folder)):
        raise CheckpointError(
            f"{name} holds LISA weights, which have no class head: they are a base for training, "
            "not a detector."
        )


def load_random(sizes: str, device: torch.device | str, dtype: torch.dtype) -> Loaded:
    """A network of a preset or a file of sizes with random weights, and the embedded tokenizer.

    Raises:
        ConfigError: there is no such preset or file.
    """
    config = preset(sizes) if sizes in PRESETS else from_sizes(sizes)
    with _default_dtype(dtype), torch.device(device):
        model = Sida(config).eval()
    processor = SidaProcessor(config, Tokenizer.load(TOKENIZER))
    name = f"random {Path(sizes).stem}"
    return Loaded(model, processor, Calibration(), name, "0", "0" * 64)


def stored_calibration(name: str) -> BudgetCalibration | None:
    """The calibration of budgets beside a model or an adapter; None without one.

    Raises as `find`, and ConfigError where the file is no calibration.
    """
    base, adapter = split_name(name)
    if adapter is None:
        folder = find(base)
        return BudgetCalibration.load(folder, digest_of(folder))
    return BudgetCalibration.load(adapter.parent, read_adapter(adapter).digest)


def find(name: str) -> Path:
    """The folder of a model's name, path or hub name.

    Raises:
        CheckpointError: there is none.
        DownloadError: it may be a hub name, but could not be had.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]
    if Path(name).is_dir():
        return Path(name)
    if Path(name).exists():
        raise CheckpointError(
            f"{name} is a file: expected the folder of a model, with config.json."
        )
    if name in HUB_NAMES:
        return fetch(HUB_NAMES[name])
    if is_hub_name(name):
        try:
            return fetch(name)
        except DownloadError as error:
            raise DownloadError(
                f"The folder {name!r} does not exist, and as a name on the hub: {error}"
            ) from error
    names = ", ".join([*EMBEDDED, *HUB_NAMES])
    expectation = (
        "that folder does not exist; expected" if "/" in name or "\\" in name else "expected"
    )
    raise CheckpointError(
        f"There is no model {name!r}: {expectation} one of {names}, a folder, or a hub name like "
        "saberzl/SIDA-7B."
    )


def _open(
    folder: Path, fields: dict[str, Any], device: torch.device | str, dtype: torch.dtype | None
) -> tuple[Sida, SidaProcessor]:
    architectures = _architectures(fields)
    if any(architecture in ARCHITECTURES for architecture in architectures):
        return _open_published(folder, fields, device, dtype)
    if Sida.__name__ not in architectures:
        raise CheckpointError(
            f"{folder} holds {' and '.join(architectures) or 'an unnamed architecture'}, expected "
            f"{Sida.__name__} or {ARCHITECTURES[0]} in config.json."
        )
    shards = Shards(folder)
    with _described(folder):
        config = SidaConfig.from_dict(_sizes(fields))
        model = _build(config, dtype)
    processor = SidaProcessor(config, Tokenizer.load(folder))
    _check_tokenizer(folder, processor.tokenizer, config.language.vocab_size)
    fill(model, shards.tensors(), {name: name for name in shards.shapes()}, device, dtype, folder)
    return _ready(model, device, folder), processor


def _open_published(
    folder: Path, fields: dict[str, Any], device: torch.device | str, dtype: torch.dtype | None
) -> tuple[Sida, SidaProcessor]:
    shards = Shards(folder)
    shapes = shards.shapes()
    renamed = from_published(shapes)
    lisa = LISA in _architectures(fields)
    tower, origin = _vision_tower(folder, fields)
    with _described(folder):
        config = config_from_published(folder, fields, shapes, _fields(tower), origin)
        config.version = revision(folder) or "unknown"
        model = _build(config, dtype)
    tokenizer = Tokenizer.load(folder)
    _check_tokenizer(folder, tokenizer, config.language.vocab_size, exactly=True, lisa=lisa)
    log.info("%s: %s", folder, renamed.summary())
    fill(model, shards.tensors(), renamed.names, device, dtype, folder)
    # Published folders do not hold CLIP: it comes from a folder of its own.
    clip = Shards(tower)
    renamed_tower = from_tower(clip.shapes(), dict(model.named_parameters()))
    log.info("%s: %s", tower, renamed_tower.summary())
    fill(model, clip.tensors(), renamed_tower.names, device, dtype, tower)
    _ready(model, device, folder, NEW_IN_SIDA if lisa else (), to_published(model.state_dict()))
    if lisa:  # once the embedding holds its weights, as a row is added to them
        tokenizer = tokenizer.with_token("[CLS]")
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model, SidaProcessor(model.config, tokenizer)


def _check_tokenizer(
    folder: Path, tokenizer: Tokenizer, rows: int, exactly: bool = False, lisa: bool = False
) -> None:
    """See that every id has its row and every marker its id."""
    if len(tokenizer) > rows or (exactly and len(tokenizer) < rows):
        raise CheckpointError(
            f"{folder} has {rows} embedding rows and a tokenizer of {len(tokenizer)}: "
            "added_tokens.json is not that of these weights."
        )
    required = [marker for marker in MARKERS if marker not in ("[END]", *(["[CLS]"] * lisa))]
    missing = [marker for marker in required if marker not in tokenizer.added]
    if missing:
        raise CheckpointError(
            f"The tokenizer of {folder} lacks {', '.join(missing)}: added_tokens.json is not that "
            "of these weights."
        )


def _vision_tower(folder: Path, fields: dict[str, Any]) -> tuple[Path, str]:
    """Folder of the vision tower, and how it is remembered.

    Two keys name it; one that is a folder, absolute or relative to the checkpoint's, goes first.
    """
    names = [str(fields[key]) for key in ("mm_vision_tower", "vision_tower") if fields.get(key)]
    for name in names:
        if (folder / name).is_dir():
            path = (folder / name).resolve()
            return path, str(path)
    for name in filter(is_hub_name, names):
        return fetch(name), name
    raise CheckpointError(
        f"{folder} names {repr(names[0]) if names else 'nothing'} as its vision tower, which is "
        "neither a folder nor a hub name: set mm_vision_tower in its config.json to the folder of "
        "the CLIP model."
    )


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


def _sizes(fields: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what says nothing of sizes: dtypes are those of the tensors."""
    return {
        name: _sizes(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if name not in ("dtype", "torch_dtype", "id2label", "label2id")
    }


def _architectures(fields: dict[str, Any]) -> list[str]:
    names = fields.get("architectures") or []
    return [str(name) for name in names] if isinstance(names, list) else [str(names)]


@contextmanager
def _described(folder: Path) -> Iterator[None]:
    """Turn errors of libraries about sizes that contradict each other into one sentence."""
    try:
        yield
    except CONTRADICTIONS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise CheckpointError(
            f"The sizes in {folder} make no network ({reason}): weights and config.json do not "
            "belong together, or one of them is broken."
        ) from error


def _build(config: SidaConfig, dtype: torch.dtype | None) -> Sida:
    """The network without memory."""
    # On "meta" nothing is allocated or drawn; `fill` puts the tensors of the file in their places.
    with _default_dtype(dtype or torch.float32), torch.device("meta"):
        return Sida(config)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def fill(
    model: Sida,
    tensors: Iterable[tuple[str, torch.Tensor]],
    names: Mapping[str, str],
    device: torch.device | str,
    dtype: torch.dtype | None,
    folder: Path,
) -> None:
    """Put the tensors of a folder in their places, one after another.

    Args:
        names: name in the folder -> place in the model; what has none is left out.

    Raises:
        CheckpointError: a tensor does not fit the place that it is for.
    """
    expected = model.state_dict(keep_vars=True)
    for name, tensor in tensors:
        if name not in names:
            continue
        target = names[name]
        if target not in expected:
            raise CheckpointError(
                f"{folder} holds the tensor {name}, which its configuration has no place for: "
                "weights and config.json do not belong together."
            )
        if tensor.shape != expected[target].shape:
            raise CheckpointError(
                f"{name} in {folder} is {tuple(tensor.shape)}, expected "
                f"{tuple(expected[target].shape)}: weights and config.json do not belong together."
            )
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{name} in {folder} holds {str(tensor.dtype).removeprefix('torch.')}, expected "
                "floating point: quantised weights cannot be read."
            )
        # A copy, since the tensor may be mapped from its file and would keep that open.
        value = tensor.to(device, dtype or tensor.dtype, copy=True)
        if isinstance(expected[target], nn.Parameter):
            value = nn.Parameter(value)
        # `initialize_weights` at the end would draw it anew otherwise.
        value._is_hf_initialized = True  # type: ignore[attr-defined]
        owner, _, leaf = target.rpartition(".")
        setattr(model.get_submodule(owner), leaf, value)


def _ready(
    model: Sida,
    device: torch.device | str,
    folder: Path,
    fresh: tuple[str, ...] = (),
    folder_names: Mapping[str, str] = MappingProxyType({}),
) -> Sida:
    """Tie what is tied, make what no file holds, and see that nothing is missing.

    Args:
        fresh: how the names begin that need not be in the folder.
        folder_names: our name -> that of the folder.
    """
    # First, or the tied head would count as missing.
    model.tie_weights()
    state = model.state_dict(keep_vars=True)
    missing = [name for name, t in state.items() if t.is_meta and not name.startswith(fresh)]
    if missing:
        suffix = f" and {len(missing) - 1} more tensors" if len(missing) > 1 else ""
        raise CheckpointError(
            f"{folder} lacks {folder_names.get(missing[0], missing[0])}{suffix}: it is not "
            "complete; copy or download it again."
        )
    # Still without memory are the heads made anew, and buffers that no file holds (rotary tables).
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for leaf, tensor in table.items():
                if tensor is None or not tensor.is_meta:
                    continue
                empty = torch.empty_like(tensor, device=device)
                table[leaf] = nn.Parameter(empty) if table is module._parameters else empty
    model.initialize_weights()
    model.tie_weights()
    model.eval()
    return model
