"""Time and memory of a training step: a plain loop, ours, and ours with cached features.

python benchmarks/training.py SIZES [--pictures 6] [--steps 2]

SIZES is a file of sizes, as `--random-weights` takes it; weights are random, and all three take the
same steps on the same made pictures, a third of them tampered. The plain loop is the published
one: two pictures at a time, CLIP and SAM run on every picture alone. Each runs in a process of its
own on one thread. Processor seconds are the process's own, whatever else the machine does.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from sida.model.checkpoint import load_random
from sida.model.inputs import Features
from sida.train.cache import FeatureCache
from sida.train.config import TrainConfig
from sida.train.loader import Batch, Collator, Crop
from sida.train.training_module import LOSSES, TrainingModule, counts
from sida.verdict import LABELS

TRAINED = ("language.embed_tokens", "decoder.mask_decoder", "mask_prompt", "class_head", "fusion")
"""Parameters that the first published stage trains whole, without its low-rank additions."""
VARIANTS = {
    "plain": "plain loop, 2 pictures at a time",
    "ours": "ours",
    "filling": "ours, filling the cache",
    "cached": "ours, from the cache",
}


class Plain(TrainingModule):
    """The published step: every encoder runs on every picture by itself."""

    def forward(self, batch: Batch) -> torch.Tensor:
        """As `TrainingModule.forward`."""
        encoder, inputs = self.model.encoder, batch.inputs
        with torch.no_grad():
            pictures = [encoder.features(pixels[None]) for pixels in inputs.vision.pixels]
            maps = [encoder.sam(pixels[None]).last_hidden_state for pixels in inputs.mask.pixels]
        targets = batch.mask_positions >= 0
        features = Features(torch.cat(pictures), torch.cat(maps)[targets])
        return super().forward(batch._replace(inputs=inputs._replace(features=features)))


def crops(count: int) -> list[Crop]:
    """Made pictures of 640 x 480, one class after the other."""
    rng = np.random.default_rng(0)
    inputs = []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        mask = np.zeros((480, 640), np.uint8)
        mask[100:300, 200:400] = 255
        pixels = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
        inputs.append(Crop(pixels, mask if label == "tampered" else None, label))
    return inputs


def batches(collator: Collator, pictures: list[Crop], micro_batches: int) -> list[Batch]:
    """The micro-batches of a step."""
    rngs = [np.random.default_rng(0)] * micro_batches
    parts = [pictures[i : i + micro_batches] for i in range(0, len(pictures), micro_batches)]
    return [collator(part, rngs, text=False) for part in parts]


def measure(variant: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds a step, processor seconds a step, peak memory, and the last loss."""
    torch.set_num_threads(1)
    config = TrainConfig(
        preset="sida-7b",
        trained=TRAINED,
        loss={"text": 0},
        batch_size=options.pictures,
        cache=options.cache if variant in ("filling", "cached") else None,
    )
    torch.manual_seed(0)
    loaded = load_random(options.sizes, "cpu", torch.float32)
    model, processor = loaded.model, loaded.processor
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(TRAINED)
    cache = None if config.cache is None else FeatureCache(model, config)
    plain = variant == "plain"
    trained = (Plain if plain else TrainingModule)(model, config.loss, cache).train()
    collator = Collator(processor, model.config, model.image_token_count, config, cache)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=not plain
    )
    pictures = crops(options.pictures)
    walls, processors = [], []
    for _ in range(1 if variant == "filling" else options.steps):
        wall, processor_time = time.perf_counter(), time.process_time()
        loss = step(trained, optimizer, batches(collator, pictures, 2 if plain else len(pictures)))
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor_time)
    return {
        "wall": float(np.median(walls)),
        "processor": float(np.median(processors)),
        "memory": peak(),
        "loss": loss,
    }


def step(trained: TrainingModule, optimizer: torch.optim.Optimizer, parts: list[Batch]) -> float:
    """Loss of an optimiser step, which is taken."""
    items = torch.stack([counts(part) for part in parts]).sum(0).clamp_min(1)
    total = torch.zeros(len(LOSSES), dtype=torch.float64)
    for part in parts:
        sums = trained(part)
        (sums / items.to(sums)).sum().backward()
        total += sums.detach().double()
    torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float((total / items).sum())


def peak() -> float:
    """Most memory of this process so far, in GB."""
    loss = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert loss is not None
    return int(loss[1]) / 1e6


def main() -> None:
    """Run each variant in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes")
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(options.variant, options)))
        return
    with tempfile.TemporaryDirectory() as cache:
        print("| step | seconds | processor seconds | peak memory in GB | loss of the last step |")
        print("|---|---|---|---|---|")
        for variant, name in VARIANTS.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--variant", variant]
            report = subprocess.run([*command, "--cache", cache], capture_output=True, text=True)
            if report.returncode:
                sys.exit(report.stderr)
            loss = json.loads(report.stdout.splitlines()[-1])
            print(
                f"| {name} | {loss['wall']:.1f} | {loss['processor']:.1f} | "
                f"{loss['memory']:.2f} | {loss['loss']:.6f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
