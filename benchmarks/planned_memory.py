"""Memory that the large models need on a device, computed from their sizes; nothing is measured.

python benchmarks/planned_memory.py

For one picture with a mask and an explanation of 512 tokens. Weights: bfloat16, the layers of the
language model in 8 bits with a scale a row, or in 4 bits with scale and zero for 128 weights.
Text: keys and values of the prompt, twice while an explanation begins, and of the explanation.
Work: SAM's largest layer, with as many biases as are made at once. What the driver and its
libraries take for themselves is not in it, some 0.5 to 1 GB on CUDA.
"""

import torch
from torch import nn

from sida.inference.attention import BIAS_BYTES
from sida.inference.engine import TEXT_LIMIT
from sida.model import Sida
from sida.model.presets import preset

PROMPT = 337
"""Tokens of the published question with its picture and the stem of the answer."""
BITS = {"bfloat16": 16.0, "int8": 8.0, "fp8": 8.0, "int4": 4 + 32 / 128}


def main() -> None:
    """Print a Markdown table in GB of 10^9 bytes."""
    print("| model | language model in | weights | text | work | together |")
    print("|---|---|---|---|---|---|")
    for name in ("sida-7b", "sida-13b"):
        config = preset(name)
        with torch.device("meta"):
            model = Sida(config)
        layers = [m for m in model.language.layers.modules() if isinstance(m, nn.Linear)]
        inner = sum(layer.weight.numel() for layer in layers)
        rows = sum(layer.out_features for layer in layers)
        remaining = sum(p.numel() for p in model.parameters()) - inner
        language, mask = config.language, config.mask
        a_token = 2 * language.num_hidden_layers * language.hidden_size * 2
        text = a_token * (2 * PROMPT + TEXT_LIMIT)
        positions = (mask.image_size // mask.patch_size) ** 2
        widest = positions * mask.hidden_size * (4 + 2 * int(mask.mlp_ratio)) * 2
        work = BIAS_BYTES + widest
        for quantization, bits in BITS.items():
            scales = 2 * rows if bits == 8 else 0
            weights = inner * bits / 8 + scales + 2 * remaining
            total = weights + text + work
            cells = [f"{plan / 1e9:.1f}" for plan in (weights, text, work, total)]
            print(f"| {name} | {quantization} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
