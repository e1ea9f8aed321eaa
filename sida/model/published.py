"""Folders in the published layout: what they say of their sizes, and how one is written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sida.errors import CheckpointError, ConfigError
from sida.files import write_text
from sida.model.config import MaskConfig, SidaConfig
from sida.model.keys import has_published_form, to_published
from sida.model.tokenizer import Tokenizer

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
_VISION = (
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
TRANSFORMERS = "4.31.0"
"""The version that the published folders were written by."""
_GENERATION = {
    "_from_model_config": True,
    **_IDS,
    "transformers_version": TRANSFORMERS,
    "use_cache": False,
}
_LEFTOVERS = {
    "fc_hidden_size": 1408,
    "freeze_mm_mlp_adapter": True,
    "image_aspect_ratio": "square",
    "image_grid_pinpoints": None,
    "llm_input_size": 1024,
    "pretrain_mm_mlp_adapter": None,
    "pretraining_tp": 1,
    "rope_scaling": None,
    "transformers_version": TRANSFORMERS,
    "tune_mm_mlp_adapter": False,
    "use_mm_proj": True,
    "vision_hidden_size": 256,
}
"""Keys of every published `config.json` that nothing here depends on."""
_TOKEN = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
_SPECIAL: dict[str, Any] = {
    f"{role}_token": {"content": content, **_TOKEN}
    for role, content in (("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>"))
}
_TOKENIZER: dict[str, Any] = {
    **{name: {"__type": "AddedToken", **token} for name, token in _SPECIAL.items()},
    "add_bos_token": True,
    "add_eos_token": False,
    "clean_up_tokenization_spaces": False,
    "legacy": True,
    "pad_token": None,
    "padding_side": "right",
    "sp_model_kwargs": {},
    "tokenizer_class": "LlamaTokenizer",
}
Shapes = Mapping[str, tuple[int, ...]]


def config_from_published(
    folder: Path,
    fields: Mapping[str, object],
    shapes: Shapes,
    vision: Mapping[str, object],
    vision_tower: str,
) -> SidaConfig:
    """Our configuration of a published folder.

    Args:
        folder: for messages alone.
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
            vision=_clip(vision.get("vision_config", vision)),
            language=language,
            mask=_sam(shapes),
            out_dim=shapes["model.text_hidden_fcs.0.2.weight"][0],
            select_layer=fields.get("mm_vision_select_layer", -2),
            vision_tower=vision_tower,
        )
    except KeyError as error:
        raise CheckpointError(
            f"{folder} lacks {error.args[0]}, which every published folder has: copy or download "
            "it again."
        ) from error


def _clip(fields: object) -> dict[str, object]:
    if not isinstance(fields, Mapping):
        raise ValueError("vision_config of the vision tower is not a set of sizes")
    sizes = {name: fields[name] for name in _VISION if name in fields}
    for name in ("image_size", "patch_size"):  # transformers would also take pairs
        if not isinstance(sizes.get(name), int):
            raise ValueError(f"{name} of the vision tower is {sizes.get(name)!r}, no number")
    return {"model_type": "clip_vision_model", **sizes}


def _sam(shapes: Shapes) -> MaskConfig:
    # No file names SAM's sizes: each is read off the shape of a tensor.
    encoder, decoder = f"{_SAM}.image_encoder", f"{_SAM}.mask_decoder"
    _, grid, _, hidden = shapes[f"{encoder}.pos_embed"]
    patch = shapes[f"{encoder}.patch_embed.proj.weight"][-1]
    layers = _count(shapes, f"{encoder}.blocks.")
    # Relative positions over the whole grid are 2 * grid - 1 long, over windows 2 * side - 1.
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
        decoder_depth=_count(shapes, f"{decoder}.transformer.layers."),
        decoder_num_heads=HEADS,
        decoder_mlp_dim=shapes[f"{decoder}.transformer.layers.0.mlp.lin1.weight"][0],
        iou_head_depth=_count(shapes, f"{decoder}.iou_prediction_head.layers."),
        iou_head_hidden_dim=shapes[f"{decoder}.iou_prediction_head.layers.0.weight"][0],
        num_multimask_outputs=shapes[f"{decoder}.mask_tokens.weight"][0] - 1,
    )


def _count(shapes: Shapes, start: str) -> int:
    """How many numbered parts have names that begin like this."""
    parts = {name.removeprefix(start).split(".")[0] for name in shapes if name.startswith(start)}
    if not parts:
        raise KeyError(f"{start}0")
    return 1 + max(map(int, parts))


def write_published(
    folder: Path, config: SidaConfig, tensors: Mapping[str, torch.Tensor], tokenizer: Tokenizer
) -> None:
    """Write weights, rotary buffers, `config.json` and tokenizer in the published layout.

    Raises:
        ConfigError: this model is not of the published structure.
    """
    if not has_published_form(tensors) or config.fusion != "published":
        raise ConfigError(
            "This model is not of the published structure, so it has no published form: "
            "only models with CLIP, SAM and the published fusion have one."
        )
    # That of the language model; a vision tower may be of a wider type.
    dtype = tensors["lm_head.weight"].dtype
    table = {published: tensors[ours] for ours, published in to_published(tensors).items()}
    _write_shards(folder, table | _rotary(config, dtype))
    tokenizer.save(folder)
    length = 512 if tokenizer.end_id is None else 1024
    for name, fields in (
        ("config.json", _fields(config, str(dtype).removeprefix("torch."))),
        ("generation_config.json", _GENERATION),
        ("tokenizer_config.json", {**_TOKENIZER, "model_max_length": length}),
        ("special_tokens_map.json", {**_SPECIAL, "pad_token": "<unk>"}),
    ):
        write_text(folder / name, json.dumps(fields, indent=2, sort_keys=True) + "\n")


def _rotary(config: SidaConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    language = config.language
    dim = language.hidden_size // language.num_attention_heads
    theta = language.rope_parameters["rope_theta"]
    # In float32 and then rounded, as the published folders hold it.
    table = 1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim))
    return {
        f"model.layers.{i}.self_attn.rotary_emb.inv_freq": table.to(dtype)
        for i in range(language.num_hidden_layers)
    }


def _write_shards(folder: Path, table: Mapping[str, torch.Tensor]) -> None:
    """Fill shards in the order of the table; no more than one of them is copied at a time."""
    shards: list[list[str]] = [[]]
    total = filled = 0
    for name, tensor in table.items():
        size = tensor.numel() * tensor.element_size()
        if filled and filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
        total += size
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        # A copy, since torch.save would write all that a view is a part of.
        torch.save(
            {name: table[name].detach().to("cpu", copy=True) for name in names}, folder / file
        )
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_text(folder / "pytorch_model.bin.index.json", json.dumps(index, indent=2) + "\n")


def _fields(config: SidaConfig, dtype: str) -> dict[str, Any]:
    language = config.language
    return {
        "architectures": [ARCHITECTURES[0]],
        "model_type": "llava",
        **{name: getattr(language, name) for name in _LANGUAGE},
        "vocab_size": language.vocab_size,
        "rope_theta": language.rope_parameters["rope_theta"],
        **_IDS,
        **_LEFTOVERS,
        "initializer_range": config.initializer_range,
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
