"""Architectures with a name: configurations alone, without weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from sida.errors import ConfigError
from sida.model.config import SidaConfig

__all__ = ["PRESETS", "from_sizes", "preset"]

CLIP_VIT_L = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 768,
}


def _llama(**sizes: Any) -> dict[str, Any]:
    return {"model_type": "llama", "vocab_size": 32004, "rope_theta": 10000.0, **sizes}


def sida_7b() -> SidaConfig:
    """`saberzl/SIDA-7B`: LLaMA 7B, CLIP ViT-L/14, SAM ViT-H."""
    language = _llama(
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        intermediate_size=11008,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
    )
    return SidaConfig(vision=CLIP_VIT_L, language=language)


def sida_13b() -> SidaConfig:
    """`saberzl/SIDA-13B`: LLaMA-2 13B, CLIP ViT-L/14, SAM ViT-H."""
    language = _llama(
        hidden_size=5120,
        num_hidden_layers=40,
        num_attention_heads=40,
        intermediate_size=13824,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    return SidaConfig(vision=CLIP_VIT_L, language=language)


TINY_SPREAD = 0.08
"""About 1 / sqrt(128). With 0.02, as in wide models, the class gets no gradient beside masks."""


def tiny() -> SidaConfig:
    """The smallest size, for tests and examples of training: convolutions at native resolution."""
    return _few_layers({"model_type": "sida_native"})


def small() -> SidaConfig:
    """The embedded model: CLIP ViT-B/16 over the picture and windows of it."""
    return _few_layers({"model_type": "sida_clip_windows", "dropout": 0.3})


def _few_layers(vision: dict[str, Any]) -> SidaConfig:
    """An encoder with a language model of a few layers behind it, and the native mask decoder."""
    language = {
        "model_type": "llama",
        "vocab_size": 1005,
        "hidden_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 352,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "initializer_range": TINY_SPREAD,
    }
    return SidaConfig(
        initializer_range=TINY_SPREAD,
        vision=vision,
        language=language,
        mask={"model_type": "sida_native_mask"},
        out_dim=64,
        fusion="class_and_prompt",
        facts=True,
        tie_word_embeddings=True,
    )


PRESETS: dict[str, Callable[[], SidaConfig]] = {
    "sida-7b": sida_7b,
    "sida-13b": sida_13b,
    "small": small,
    "tiny": tiny,
}


def preset(name: str) -> SidaConfig:
    """The configuration with this name; `ConfigError` names those that exist."""
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]()


def from_sizes(path: str | Path) -> SidaConfig:
    """A configuration from a JSON file of sizes: `vision`, `language`, `mask`, `out_dim`, `vocab`.

    Raises:
        ConfigError: the file cannot be read, or lacks one of these.
    """
    try:
        sizes = json.loads(Path(path).read_text(encoding="utf-8"))
        language = {**sizes["language"], "vocab_size": sizes["vocab"]}
        vision = dict(sizes["vision"])
        select = vision.pop("select_layer", -2)
        mask = dict(sizes["mask"])
        if "mlp_ratio" in mask:  # transformers takes no whole number for it
            mask["mlp_ratio"] = float(mask["mlp_ratio"])
        return SidaConfig(
            vision=vision,
            language=language,
            mask=mask,
            out_dim=sizes["out_dim"],
            select_layer=select,
        )
    except (OSError, ValueError, LookupError, TypeError, StrictDataclassError) as error:
        reason = str(error).split(". Should contain")[0]  # transformers lists hundreds of types
        raise ConfigError(
            f"{path} is not a file of sizes ({reason}): expected JSON with vision, language, "
            "mask, out_dim and vocab."
        ) from error
