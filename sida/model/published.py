"""Folders in the published layout: what they say of their sizes, and how one is written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sida.errors import CheckpointError, ConfigError
from sida.files import write_text
from sida.model.config import MaskConfig, SidaConfig
from sida.model.keys import to_published

__all__ = ["ARCHITECTURES", "LISA", "config_from_published", "write_published"]

LISA = "LISAForCausalLM"
ARCHITECTURES = ("SIDAForCausalLM", LISA)
SHARD_BYTES = 10 * 10**9
HEADS = 8
"""Of SAM's decoder and of the fusion; no shape tells it."""
_SAM = "model.visual_model"
_LANGUAGE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
)
Shapes = Mapping[str, tuple[int, ...]]


def config_from_published(
    fields: Mapping[str, Any], shapes: Shapes, vision: dict[str, Any], vision_tower: str
) -> SidaConfig:
    """Our configuration of a published folder.

    Args:
        fields: its `config.json`.
        shapes: of its tensors: SAM's sizes and the row count are nowhere else.
        vision: `config.json` of its vision tower.
        vision_tower: where that came from.

    Raises:
        CheckpointError: fields or tensors that every such folder has are missing.
    """
    try:
        language = {name: fields[name] for name in _LANGUAGE if name in fields}
        language["vocab_size"] = shapes["model.embed_tokens.weight"][0]
        language["rope_theta"] = fields.get("rope_theta", 10000.0)
        return SidaConfig(
            vision=vision.get("vision_config", vision) | {"model_type": "clip_vision_model"},
            language=language,
            mask=_sam(shapes),
            out_dim=shapes["model.text_hidden_fcs.0.2.weight"][0],
            select_layer=fields.get("mm_vision_select_layer", -2),
            vision_tower=vision_tower,
        )
    except KeyError as error:
        raise CheckpointError(
            f"The folder lacks {error.args[0]}, which every published folder has: copy it again."
        ) from error


def _sam(shapes: Shapes) -> MaskConfig:
    encoder, decoder = f"{_SAM}.image_encoder", f"{_SAM}.mask_decoder"
    _, grid, _, hidden = shapes[f"{encoder}.pos_embed"]
    patch = shapes[f"{encoder}.patch_embed.proj.weight"][-1]
    layers = _count(shapes, f"{encoder}.blocks.{{}}.norm1.weight")
    spans = [shapes[f"{encoder}.blocks.{i}.attn.rel_pos_h"] for i in range(layers)]
    everywhere = [i for i, (length, _) in enumerate(spans) if length == 2 * grid - 1]
    windowed = [(length + 1) // 2 for length, _ in spans if length != 2 * grid - 1]
    return MaskConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // spans[0][1],
        mlp_ratio=shapes[f"{encoder}.blocks.0.mlp.lin1.weight"][0] / hidden,
        global_attn_indexes=everywhere,
        window_size=windowed[0] if windowed else 0,
        image_size=grid * patch,
        patch_size=patch,
        output_channels=shapes[f"{encoder}.neck.0.weight"][0],
        mask_input_channels=shapes[f"{_SAM}.prompt_encoder.mask_downscaling.3.weight"][0],
        decoder_depth=_count(shapes, f"{decoder}.transformer.layers.{{}}.norm1.weight"),
        decoder_num_heads=HEADS,
        decoder_mlp_dim=shapes[f"{decoder}.transformer.layers.0.mlp.lin1.weight"][0],
        iou_head_depth=_count(shapes, f"{decoder}.iou_prediction_head.layers.{{}}.weight"),
        iou_head_hidden_dim=shapes[f"{decoder}.iou_prediction_head.layers.0.weight"][0],
        num_multimask_outputs=shapes[f"{decoder}.mask_tokens.weight"][0] - 1,
    )


def _count(shapes: Shapes, name: str) -> int:
    count = 0
    while name.format(count) in shapes:
        count += 1
    if not count:
        raise KeyError(name.format(0))
    return count


def write_published(
    folder: Path, config: SidaConfig, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> None:
    """Write weights and `config.json` in the published layout, the rotary buffers included.

    Raises:
        ConfigError: this model is not of the published structure.
    """
    if not isinstance(config.mask, MaskConfig) or config.fusion != "published":
        raise ConfigError(
            "This model is not of the published structure, so it has no published form: "
            "only models with CLIP, SAM and the published fusion have one."
        )
    names = to_published(tensors)
    table = {names[ours]: tensors[ours].to(dtype) for ours in names}
    table |= _rotary(config, dtype)
    _write_shards(folder, table)
    fields = _fields(config, "bfloat16" if dtype == torch.bfloat16 else str(dtype)[6:])
    write_text(folder / "config.json", json.dumps(fields, indent=2) + "\n")


def _rotary(config: SidaConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    language = config.language
    dim = language.hidden_size // language.num_attention_heads
    theta = language.rope_parameters["rope_theta"]
    table = 1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim))
    return {
        f"model.layers.{i}.self_attn.rotary_emb.inv_freq": table.to(dtype)
        for i in range(language.num_hidden_layers)
    }


def _write_shards(folder: Path, table: Mapping[str, torch.Tensor]) -> None:
    shards: list[dict[str, torch.Tensor]] = [{}]
    sizes = [0]
    for name, tensor in table.items():
        size = tensor.numel() * tensor.element_size()
        if sizes[-1] and sizes[-1] + size > SHARD_BYTES:
            shards.append({})
            sizes.append(0)
        shards[-1][name] = tensor.detach().cpu().clone()
        sizes[-1] += size
    files = [f"pytorch_model-{i:05}-of-{len(shards):05}.bin" for i in range(1, len(shards) + 1)]
    for file, shard in zip(files, shards, strict=True):
        torch.save(shard, folder / file)
    weight_map = {name: f for f, shard in zip(files, shards, strict=True) for name in shard}
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": dict(sorted(weight_map.items()))}
    write_text(folder / "pytorch_model.bin.index.json", json.dumps(index, indent=2) + "\n")


def _fields(config: SidaConfig, dtype: str) -> dict[str, Any]:
    language = config.language
    return {
        "architectures": [ARCHITECTURES[0]],
        "model_type": "llava",
        **{name: getattr(language, name) for name in _LANGUAGE},
        "vocab_size": language.vocab_size,
        "rope_theta": language.rope_parameters["rope_theta"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": dtype,
        "use_cache": False,
        "mm_hidden_size": config.vision.hidden_size,
        "mm_vision_select_layer": config.select_layer,
        "mm_vision_select_feature": "patch",
        "mm_use_im_start_end": True,
        "mm_use_im_patch_token": False,
        "mm_vision_tower": config.vision_tower,
        "vision_tower": config.vision_tower,
        "train_mask_decoder": True,
        "out_dim": config.out_dim,
    }
