"""The recorded checkpoint as a folder in the published layout, its vision tower beside it."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

NEW_IN_SIDA = ("model.cls_head.", "model.sida_fc1.", "model.attention_layer.")


def published_folder(shared: Path, out: Path) -> Path:
    """Copy the recorded tiny checkpoint; only the place of its vision tower is changed."""
    oracle = shared / "oracle"
    shutil.copytree(oracle / "clip-vit-tiny-patch14", out / "clip", copy_function=shutil.copyfile)
    folder = out / "published"
    shutil.copytree(oracle / "tiny", folder, copy_function=shutil.copyfile)
    (folder / "description_rows.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["vision_tower"] = config["mm_vision_tower"] = "../clip"
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def description_folder(shared: Path, out: Path) -> Path:
    """The same with the one row by which a description checkpoint differs."""
    folder = published_folder(shared, out)
    rows = load_file(shared / "oracle/tiny/description_rows.safetensors")
    for shard in folder.glob("*.bin"):
        tensors = torch.load(shard, weights_only=True)
        for name in [name for name in tensors if f"{name}.row32004" in rows]:
            row = rows[f"{name}.row32004"].to(tensors[name].dtype)
            tensors[name] = torch.cat([tensors[name], row[None]])
        torch.save(tensors, shard)
    added = json.loads((folder / "added_tokens.json").read_text())
    (folder / "added_tokens.json").write_text(json.dumps({**added, "[END]": 32004}))
    return folder


def lisa_folder(shared: Path, out: Path) -> Path:
    """The recorded checkpoint without what SIDA adds to LISA: class head, fusion, `[CLS]`'s row."""
    folder = published_folder(shared, out)
    for shard in folder.glob("*.bin"):
        tensors = torch.load(shard, weights_only=True)
        for name in [name for name in tensors if name.startswith(NEW_IN_SIDA)]:
            del tensors[name]
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            if name in tensors:
                tensors[name] = tensors[name][:32003].clone()
        torch.save(tensors, shard)
    for name, change in (
        ("config.json", {"architectures": ["LISAForCausalLM"]}),
        ("added_tokens.json", {"[CLS]": None}),
    ):
        fields = json.loads((folder / name).read_text()) | change
        kept = {key: value for key, value in fields.items() if value is not None}
        (folder / name).write_text(json.dumps(kept))
    return folder
