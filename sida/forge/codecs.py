"""The codecs of a folder: autoencoders that were trained here, and networks that enlarge."""

from pathlib import Path

from sida.errors import CheckpointError
from sida.forge.autoencoder import is_trained, load_codec
from sida.forge.enlarger import is_enlarger, load_enlargers
from sida.forge.tamper import Codec

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
            ", or make decoders with scripts/convert_realesrgan.py"
        )
    codecs: list[Codec] = []
    for path in complete:
        if is_enlarger(path):
            codecs += load_enlargers(path, device)
        else:
            codecs.append(load_codec(None, path, device))
    return codecs
