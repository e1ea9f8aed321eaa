"""Peak memory while a published folder is loaded, beside the size of the model and of a shard.

python benchmarks/loading_memory.py

Writes a random model of about 1 GB in the published layout into a temporary folder, and loads it
in a process of its own, whose peak is read from the kernel; importing alone is subtracted.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from sida.model import Sida, SidaConfig, published
from sida.model.tokenizer import MARKERS, Tokenizer

READ = """
import re, sys, torch
from sida.model.checkpoint import load
def peak():  # ru_maxrss would count the parent's memory as well
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
if len(sys.argv) > 1:
    load(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
print(peak() - before)
"""


def sizes() -> SidaConfig:
    """About 250 million parameters: 0.5 GB in bfloat16, 1 GB in float32."""
    return SidaConfig(
        vision={"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3,
                "num_attention_heads": 4, "patch_size": 14, "image_size": 224},
        language={"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 14,
                  "num_attention_heads": 8, "vocab_size": 32004},
        mask={"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
              "global_attn_indexes": [1]},
    )  # fmt: skip


def write(folder: Path, model: Path) -> None:
    """A published folder in float32 with shards of at most 300 MB, and its vision tower."""
    config = sizes()
    torch.manual_seed(0)
    network = Sida(config)
    clip = folder / "clip"
    network.encoder.clip.save_pretrained(clip)
    fields = json.loads((clip / "config.json").read_text())
    fields["num_hidden_layers"] = config.vision.num_hidden_layers
    (clip / "config.json").write_text(json.dumps(fields))
    config.vision_tower = str(clip)
    target = folder / "model"
    target.mkdir()
    published.SHARD_BYTES = 300 * 10**6
    added = {token: 32000 + i for i, token in enumerate(MARKERS[:4])}
    tokenizer = Tokenizer(model.read_bytes(), added)
    published.write_published(target, config, network.state_dict(), tokenizer)


def main() -> None:
    """Print one line a number type."""
    shared = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, shared / "oracle/tokenizer/tokenizer.model")
        files = [f.stat().st_size for f in (folder / "model").glob("*.bin")]
        parameters = sum(files) / 4
        for dtype, width in (("float32", 4), ("bfloat16", 2)):
            run = [sys.executable, "-c", READ, str(folder / "model"), dtype]
            peak = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
            allowed = parameters * width + max(files)
            print(
                f"{dtype}: model {parameters * width / 1e6:.0f} MB, largest of {len(files)} shards "
                f"{max(files) / 1e6:.0f} MB, together {allowed / 1e6:.0f} MB; "
                f"peak while loading {peak / 1e6:.0f} MB"
            )


if __name__ == "__main__":
    main()
