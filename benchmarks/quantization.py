"""How far quantised models are from the whole one.

python benchmarks/quantization.py DATA [--model tiny] [--sizes SIZES.json]

On the pictures of DATA: how often the verdict is the same, and the mean IoU of the masks of those
that are called tampered. With --sizes: the error of class logits of a model with random weights.
int8 is what `--quantize int8` does. int4 has no kernel on a CPU: the same rounding, in groups of 32
or more weights, is applied there to weights that stay in float.
"""

import argparse
import copy

import numpy as np
import torch
from torch import nn

import sida.data
from sida import Detector, Verdict
from sida.inference.engine import Engine
from sida.inference.malloc import keep_freed
from sida.inference.quantize import quantize


def rounded_to_int4(model: nn.Module, group: int = 32) -> None:
    """Round weights of the language model's layers to 16 levels between a group's extremes."""
    for module in model.language.layers.modules():
        if isinstance(module, nn.Linear):
            weight = module.weight.data.unflatten(1, (-1, group))
            low, high = weight.amin(2, keepdim=True), weight.amax(2, keepdim=True)
            step = ((high - low) / 15).clamp_min(1e-9)
            module.weight.data = (((weight - low) / step).round() * step + low).flatten(1)


def variants(detector: Detector) -> dict[str, Engine]:
    """Engines of the same model: whole, int8, int4."""
    engine = detector.engine
    models = {kind: copy.deepcopy(engine.model) for kind in ("int8", "int4")}
    quantize(models["int8"], "int8", torch.device("cpu"))
    rounded_to_int4(models["int4"])
    made = {kind: Engine(model, engine.processor) for kind, model in models.items()}
    return {"whole": engine, **made}


def judge(detector: Detector, engine: Engine, data: str) -> list[Verdict]:
    """Verdicts of all readable pictures, with this engine."""
    detector.engine = engine
    pictures = (sample.picture for sample in sida.data.open(data))
    found = detector.detect_many(pictures, masks="all")
    return [each for each in found if isinstance(each, Verdict)]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (one | other).sum()
    return 1.0 if union == 0 else float((one & other).sum() / union)


def on_pictures(name: str, data: str) -> None:
    """A line for each kind."""
    keep_freed()
    detector = Detector.load(name, device="cpu")
    engines = variants(detector)
    whole = judge(detector, engines["whole"], data)
    for kind in ("int8", "int4"):
        found = judge(detector, engines[kind], data)
        pairs = list(zip(whole, found, strict=True))
        same = np.mean([one.label == other.label for one, other in pairs])
        gap = max(
            abs(one.probabilities[label] - other.probabilities[label])
            for one, other in pairs
            for label in ("real", "full_synthetic", "tampered")
        )
        masks = [overlap(a.mask, b.mask) for a, b in pairs if a.label == "tampered"]
        print(
            f"{name} {kind}: {len(pairs)} pictures, the same verdict for {100 * same:.1f} %, "
            f"probabilities within {gap:.3f}, mean IoU of {len(masks)} masks {np.mean(masks):.4f}"
        )


def never(_: np.ndarray) -> bool:
    """No mask."""
    return False


def on_random(sizes: str) -> None:
    """Error of class logits over eight pictures of noise."""
    engines = variants(Detector.random(sizes, device="cpu"))
    rng = np.random.default_rng(0)
    pictures = [
        engines["whole"].processor.preprocess(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8))
        for _ in range(8)
    ]
    logits = {
        kind: np.stack(
            [each.class_logits for each in engine.infer(pictures, [lambda _: False] * 8)]
        )
        for kind, engine in engines.items()
    }
    spread = logits["whole"].std()
    for kind in ("int8", "int4"):
        error = np.abs(logits[kind] - logits["whole"]).max()
        print(
            f"{sizes} {kind}: class logits off by at most {error:.1e}, their spread is {spread:.1e}"
        )


def main() -> None:
    """Print lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--sizes")
    options = parser.parse_args()
    on_pictures(options.model, options.data)
    if options.sizes:
        on_random(options.sizes)


if __name__ == "__main__":
    main()
