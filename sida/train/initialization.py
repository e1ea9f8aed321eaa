"""The model that a run begins with, and which of its parameters are trained."""

import torch

from sida.assets import TOKENIZER
from sida.errors import ConfigError
from sida.model import Sida, SidaProcessor
from sida.model.checkpoint import load_base
from sida.model.clip_windows import ClipWindows
from sida.model.presets import preset
from sida.model.saving import load_frozen
from sida.model.tokenizer import Tokenizer
from sida.train.config import TrainConfig
from sida.train.lora import add_lora

__all__ = ["initialize_model"]

IMAGE_TOKENS = tuple(
    f"encoder.{part}." for part in ("evidence", "projectors", "located", "weighed")
)
"""Parameters of `ClipWindows` that make image tokens, which no warm start takes over."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def initialize_model(config: TrainConfig) -> tuple[Sida, SidaProcessor]:
    """A preset with fresh weights, or a model's; ready to be trained as the recipe says.

    Trained parameters are float32, since AdamW's small steps would be rounded away below it; all
    others have the recipe's precision.

    Raises:
        CheckpointError: the weights are missing, broken or of another model.
        ConfigError: a name in `trained` begins no parameter's name.
    """
    model, processor = (
        _fresh(config) if config.model is None else load_base(config.model, dtype=None)
    )
    if config.loss.text and processor.tokenizer.end_id is None:
        processor = _add_end_token(model, processor)
    for name in config.trained:
        if not any(full.startswith(name) for full, _ in model.named_parameters()):
            parts = ", ".join(part for part, _ in model.named_children())
            raise ConfigError(f"trained={name!r} begins no parameter's name: they begin {parts}.")
    # Before the loop below, which freezes all but these additions and the names in `trained`.
    if config.lora is not None:
        add_lora(model, config.lora, DTYPES[config.precision])
    frozen = ("encoder.clip.",) if isinstance(model.encoder, ClipWindows) else ()
    for name, parameter in model.named_parameters():
        selected = name.startswith(config.trained) and not name.startswith(frozen)
        parameter.requires_grad = ".lora_" in name or selected
        precision = config.precision
        if name.startswith(frozen) and config.frozen_precision is not None:
            precision = config.frozen_precision
        if parameter.is_floating_point():
            dtype = torch.float32 if parameter.requires_grad else DTYPES[precision]
            parameter.data = parameter.data.to(dtype)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.compile:
        model.language.compile()
    return model, processor


def _add_end_token(model: Sida, processor: SidaProcessor) -> SidaProcessor:
    """Add the token `[END]`, with which a model ends its texts, and its rows."""
    old = processor.tokenizer
    tokenizer = Tokenizer(old.model, {**old.added, "[END]": len(old)})
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return SidaProcessor(model.config, tokenizer)


def _fresh(config: TrainConfig) -> tuple[Sida, SidaProcessor]:
    tokenizer = Tokenizer.load(config.tokenizer or TOKENIZER)
    assert config.preset is not None
    sizes = preset(config.preset)
    sizes.language.vocab_size = len(tokenizer)
    model = Sida(sizes)
    load_frozen(model)
    if config.warm_start is not None:
        _load_shared(model, config.warm_start)
    return model, SidaProcessor(sizes, tokenizer)


def _load_shared(model: Sida, name: str) -> None:
    """Load the tensors of another model that fit by name and shape, but for image tokens."""
    tensors = model.state_dict()
    other_tensors = load_base(name)[0].state_dict()
    shared = {
        key: tensor
        for key, tensor in other_tensors.items()
        if key in tensors
        and tensors[key].shape == tensor.shape
        and not key.startswith(IMAGE_TOKENS)
    }
    if not shared:
        raise ConfigError(f"warm_start={name} shares no tensor with this model: leave it out.")
    model.load_state_dict(shared, strict=False)
