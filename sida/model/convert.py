"""Weights from one layout to the other, and from what the published training left."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from sida.errors import CheckpointError, ConfigError
from sida.files import require_new, require_space, write_folder
from sida.model.calibration import Calibration
from sida.model.checkpoint import fill, find, load_base, refuse_lisa
from sida.model.deepspeed import is_deepspeed_folder, read_deepspeed
from sida.model.keys import from_published
from sida.model.processor import SidaProcessor
from sida.model.published import write_published
from sida.model.saving import save_model
from sida.model.sida import Sida
from sida.model.tokenizer import Tokenizer
from sida.model.weights import digest_of

__all__ = ["convert"]

log = logging.getLogger(__name__)


def convert(
    src: str,
    to: str,
    out: str | Path,
    dtype: torch.dtype | None = None,
    base: str | None = None,
) -> Path:
    """Write a model as a folder of ours (`ours`) or in the published layout (`published`).

    Args:
        src: what `load` takes, or a folder of DeepSpeed's checkpoints of the published training.
        dtype: of the written weights; None leaves every tensor its own, and takes for DeepSpeed's
            that which the run was in.
        base: for DeepSpeed's, the weights that training began with: SIDA's, or LISA's.

    Raises:
        ConfigError: `to` is neither, the model has no published form, or `base` is missing or
            superfluous.
        CheckpointError: the source cannot be read, or holds LISA weights.
        SidaError: `out` is there already, or its disk is too small.
    """
    if to not in WRITERS:
        raise ConfigError(f"--to {to!r} is not a layout: choose ours or published.")
    require_new(out)  # before minutes of reading
    model, processor = _source(src, dtype, base)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    require_space(out, size, f"{src} in {'our' if to == 'ours' else 'the published'} layout")
    with write_folder(out) as unfinished:
        WRITERS[to](unfinished, model, processor)
        if to == "ours" and not is_deepspeed_folder(src):
            _keep_calibration(find(src), unfinished)
    return Path(out)


def _keep_calibration(source: Path, written: Path) -> None:
    """Another dtype hardly changes what a model says, so its calibration still holds."""
    calibration = Calibration.load(source, digest_of(source))
    if calibration.fitted:
        calibration.model_copy(update={"digest": digest_of(written)}).save(written)


def _source(src: str, dtype: torch.dtype | None, base: str | None) -> tuple[Sida, SidaProcessor]:
    if is_deepspeed_folder(src):
        if base is None:
            raise ConfigError(
                f"{src} holds a checkpoint of DeepSpeed, which has neither sizes nor tokenizer: "
                "name with --base the weights that training began with."
            )
        return _from_deepspeed(Path(src), base, dtype)
    if base is not None:
        raise ConfigError(
            f"--base is for checkpoints of DeepSpeed, and {src} is none: leave it out."
        )
    refuse_lisa(src, find(src))
    return load_base(src, dtype=dtype)


def _from_deepspeed(
    folder: Path, base: str, dtype: torch.dtype | None
) -> tuple[Sida, SidaProcessor]:
    """A base as the published training left it; what that did not save is the base's."""
    tensors = read_deepspeed(folder)
    renamed = from_published(tensors)
    if not any(name.startswith("class_head.") for name in renamed.names.values()):
        raise CheckpointError(
            f"{folder} has no class head, so it is of LISA's training: expected SIDA's."
        )
    log.info("%s: %s", folder, renamed.summary())
    dtype = dtype or min((t.dtype for t in tensors.values()), key=lambda dtype: dtype.itemsize)
    model, processor = load_base(base, dtype=dtype)
    rows = len(tensors["model.embed_tokens.weight"])
    tokenizer = _grown(processor.tokenizer, rows)
    if len(tokenizer) != rows:
        raise CheckpointError(
            f"{folder} has {rows} embedding rows and the tokenizer of {base} {len(tokenizer)}: "
            "--base is not what this training began with."
        )
    model.resize_token_embeddings(rows, mean_resizing=False)
    fill(model, tensors.items(), renamed.names, "cpu", dtype, folder)
    return model.eval(), SidaProcessor(model.config, tokenizer)


def _grown(tokenizer: Tokenizer, rows: int) -> Tokenizer:
    """A tokenizer with what training adds, as far as there are rows."""
    for marker in ("[CLS]", "[END]"):
        if len(tokenizer) < rows and marker not in tokenizer.added:
            tokenizer = tokenizer.with_token(marker)
    return tokenizer


def _write_ours(folder: Path, model: Sida, processor: SidaProcessor) -> None:
    save_model(model, folder)
    model.config.dtype = model.lm_head.weight.dtype  # its vision tower may be of a wider type
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)


def _write_published(folder: Path, model: Sida, processor: SidaProcessor) -> None:
    write_published(folder, model.config, model.state_dict(), processor.tokenizer)


Writer = Callable[[Path, Sida, SidaProcessor], None]
WRITERS: dict[str, Writer] = {"ours": _write_ours, "published": _write_published}
