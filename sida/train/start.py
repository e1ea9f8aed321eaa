"""The model that a run begins with, and which of its parameters are trained."""

import torch

from sida.assets import EMBEDDED
from sida.errors import ConfigError
from sida.model import Sida, SidaProcessor
from sida.model.checkpoint import load_base
from sida.model.presets import PRESETS, preset
from sida.model.tokenizer import Tokenizer
from sida.train.config import TrainConfig
from sida.train.lora import add_lora

__all__ = ["start_model"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def start_model(config: TrainConfig) -> tuple[Sida, SidaProcessor]:
    """A preset with fresh weights, or a model's; ready to be trained as the recipe says.

    What is trained is float32; what is not is held in the recipe's precision.

    Raises:
        CheckpointError: the weights are missing, broken or of another model.
        ConfigError: a name in `trained` begins no parameter's name.
    """
    model, processor = _fresh(config) if config.model in PRESETS else load_base(config.model)
    for name in config.trained:
        if not any(each.startswith(name) for each, _ in model.named_parameters()):
            parts = ", ".join(part for part, _ in model.named_children())
            raise ConfigError(f"trained={name!r} begins no parameter's name: they begin {parts}.")
    if config.lora is not None:
        add_lora(model, config.lora)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = ".lora_" in name or name.startswith(config.trained)
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(DTYPES[config.precision])
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.compile:
        model.encoder.compile()
        model.language.compile()
    model.to(memory_format=torch.channels_last)
    return model, processor


def _fresh(config: TrainConfig) -> tuple[Sida, SidaProcessor]:
    tokenizer = Tokenizer.load(config.tokenizer or EMBEDDED)
    sizes = preset(config.model)
    sizes.language.vocab_size = len(tokenizer)
    return Sida(sizes), SidaProcessor(sizes, tokenizer)
