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
    models = {quantization: copy.deepcopy(engine.model) for quantization in ("int8", "int4")}
    quantize(models["int8"], "int8", torch.device("cpu"))
    rounded_to_int4(models["int4"])
    outputs = {
        quantization: Engine(model, engine.processor) for quantization, model in models.items()
    }
    return {"whole": engine, **outputs}


def evaluate_model(detector: Detector, engine: Engine, data: str) -> list[Verdict]:
    """Verdicts of all readable pictures, with this engine."""
    detector.engine = engine
    pictures = (sample.picture for sample in sida.data.open(data))
    scores = detector.detect_many(pictures, masks="all")
    return [layer for layer in scores if isinstance(layer, Verdict)]


def overlap(sample: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (sample | other).sum()
    return 1.0 if union == 0 else float((sample & other).sum() / union)


def on_pictures(name: str, data: str) -> None:
    """A line for each kind."""
    keep_freed()
    detector = Detector.load(name, device="cpu")
    engines = variants(detector)
    reference = evaluate_model(detector, engines["whole"], data)
    for quantization in ("int8", "int4"):
        scores = evaluate_model(detector, engines[quantization], data)
        pairs = list(zip(reference, scores, strict=True))
        same = np.mean([sample.label == other.label for sample, other in pairs])
        gap = max(
            abs(sample.probabilities[label] - other.probabilities[label])
            for sample, other in pairs
            for label in ("real", "full_synthetic", "tampered")
        )
        masks = [overlap(a.mask, b.mask) for a, b in pairs if a.label == "tampered"]
        print(
            f"{name} {quantization}: {len(pairs)} pictures, the same verdict for "
            f"{100 * same:.1f} %, "
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
        quantization: np.stack(
            [layer.class_logits for layer in engine.infer(pictures, [lambda _: False] * 8)]
        )
        for quantization, engine in engines.items()
    }
    spread = logits["whole"].std()
    for quantization in ("int8", "int4"):
        error = np.abs(logits[quantization] - logits["whole"]).max()
        print(
            f"{sizes} {quantization}: class logits off by at most {error:.1e}, "
            f"their spread is {spread:.1e}"
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
