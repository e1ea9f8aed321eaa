"""Folders of codecs with random weights."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from sida.forge.autoencoder import Network
from sida.forge.enlarger import ARCHITECTURES
from sida.forge.tiny_autoencoder import TINY, TinyAutoencoder


def write_autoencoder(folder: Path, factor: int) -> None:
    """A folder as training writes it."""
    folder.mkdir()
    torch.manual_seed(0)
    sizes = {"upsampling": "nearest", "factor": factor, "latent": 4, "width": 8}
    network = Network("nearest", factor, 4, 8)
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes))


def write_enlarger(folder: Path, changes: Mapping[str, object] | None = None) -> Path:
    """A folder as the conversion writes it, with other values in `config.json` where given."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    config = {"architecture": "compact", "width": 8, "depth": 1, "factors": [2, 4]}
    config |= {"largest_input": 24, **(changes or {})}
    save_file(ARCHITECTURES["compact"](8, 1).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_tiny_autoencoder(folder: Path) -> Path:
    """A folder as the conversion writes it."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    config = {"architecture": TINY, "latent": 4, "normed": True, "largest_side": 256}
    save_file(TinyAutoencoder(4, normed=True).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder
