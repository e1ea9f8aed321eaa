"""The recorded checkpoint as a folder in the published layout, its vision tower beside it."""

import json
import shutil
from pathlib import Path


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
