"""The codecs of a folder: autoencoders that were trained here or elsewhere, and enlargers."""

import json
from pathlib import Path

from sida.errors import CheckpointError
from sida.forge.autoencoder import is_trained, load_codec
from sida.forge.enlarger import load_enlargers
from sida.forge.tamper import Codec
from sida.forge.tiny_autoencoder import TINY, load_tiny_codec

__all__ = ["load_codecs"]


def load_codecs(folder: Path, device: str = "cpu") -> list[Codec]:
    """All codecs in the folders of a folder, by name.

    Raises CheckpointError where there is none, or one is broken.
    """
    complete = sorted(
        path.parent for path in folder.glob("*/config.json") if is_trained(path.parent)
    )
    if not complete:
        raise CheckpointError(
            f"there is no autoencoder in {str(folder)!r}: train some with `sida forge-autoencoder`"
            ", or convert some with scripts/convert_realesrgan.py"
        )
    codecs: list[Codec] = []
    for path in complete:
        architecture = _architecture(path)
        if architecture is None:
            codecs.append(load_codec(None, path, device))
        elif architecture == TINY:
            codecs.append(load_tiny_codec(path, device))
        else:
            codecs += load_enlargers(path, device)
    return codecs


def _architecture(folder: Path) -> str | None:
    """Named in `config.json` of all but the autoencoders that are trained here."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return config.get("architecture") if isinstance(config, dict) else None
    except (OSError, ValueError):
        return None
