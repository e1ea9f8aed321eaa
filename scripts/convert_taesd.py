"""Make the folder of the tiny autoencoder of FLUX.2's latents, which regenerates regions.

    git clone https://github.com/madebyollin/taesd
    python scripts/convert_taesd.py taesd --out codecs

It stands beside the decoders of scripts/convert_realesrgan.py, as `sida train windows
codecs=codecs` reads them. The weights are those of that repository (MIT, copyright 2023 Ollin Boer
Bohan); its code is not run, and they are not part of sida.
"""

import argparse
import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from sida.files import write_bytes, write_text
from sida.forge.tiny_autoencoder import TINY, TinyAutoencoder

NAME = "taef2"
SHA256 = {
    "encoder": "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
    "decoder": "0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
}
CONFIG = {"architecture": TINY, "latent": 32, "normed": True, "largest_side": 256}
"""The limit keeps a picture below a second of one core."""
RECORDED = (-0.0142, 0.4479)
"""Mean and standard deviation of `probe_picture` after encoder and decoder."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="clone of madebyollin/taesd")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    network = TinyAutoencoder(32, normed=True).eval()
    for part, digest in SHA256.items():
        network.get_submodule(part).load_state_dict(
            renamed(read(arguments.clone / f"{NAME}_{part}.pth", digest), network, part)
        )
    check(network)
    folder = arguments.out / NAME
    tensors = {name: tensor.half() for name, tensor in network.state_dict().items()}
    write_bytes(folder / "model.safetensors", save(tensors, {"origin": " ".join(SHA256.values())}))
    # The configuration comes last: it marks the folder as complete.
    write_text(folder / "config.json", json.dumps(CONFIG, indent=2) + "\n")
    print(f"{folder}: {sum(tensor.numel() for tensor in tensors.values())} weights")


def read(path: Path, expected: str) -> dict[str, Tensor]:
    """Tensors of a file; SystemExit where it is missing, or its SHA-256 is another."""
    try:
        content = path.read_bytes()
    except OSError as error:
        sys.exit(f"{path} cannot be read ({error.strerror}): give a clone of madebyollin/taesd.")
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        sys.exit(f"{path} has SHA-256 {digest}, expected {expected}: not converted.")
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return tensors


def renamed(tensors: dict[str, Tensor], network: TinyAutoencoder, part: str) -> dict[str, Tensor]:
    """By our names: both list the weights in the order in which they are used."""
    return dict(zip(network.get_submodule(part).state_dict(), tensors.values(), strict=True))


def check(network: TinyAutoencoder) -> None:
    """SystemExit unless the network gives the recorded numbers for a picture made by a formula."""
    with torch.inference_mode():
        decoded = network.decoder(network.encoder(probe_picture()))
    measured = float(decoded.mean()), float(decoded.std())
    if not np.allclose(measured, RECORDED, rtol=0, atol=1e-4):
        sys.exit(f"{NAME} gives {measured}, recorded {RECORDED}: not converted.")


def probe_picture() -> Tensor:
    """(1, 3, 48, 64) of waves between -1 and 1."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    return torch.stack([torch.sin(x / (3 + c)) * torch.cos(y / (4 + c)) for c in range(3)])[None]


if __name__ == "__main__":
    main()
