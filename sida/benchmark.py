"""How fast a model runs on this machine: rates, latency, memory, stages, and its share of the peak.

What is measured: a batch of pictures of 1024 x 768 with random content, decoded and cut into
windows before, through to class logits, and through to masks at the pictures' size. Latency is that
of one JPEG, from its bytes to a verdict with its mask.
"""

import io
import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
import torch
import transformers
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import sida
from sida.detector import Detector
from sida.image.read import read_picture
from sida.inference.generate import generate
from sida.inference.llama import KVCache
from sida.model.inputs import Inputs
from sida.model.processor import PreparedImage

__all__ = ["BenchmarkReport", "BenchmarkedModel", "benchmark", "machine", "matrix_rate"]

HEIGHT, WIDTH = 768, 1024
QUALITY = 90
MATRIX = {"cuda": 8192, "cpu": 2048}
"""Rows and columns of the matrices whose product is timed."""
TOKENS = 16
"""Of a text whose speed is measured."""


class BenchmarkedModel(TypedDict):
    """The weights, and how they are held."""

    name: str
    digest: str
    dtype: str
    encoder_dtype: str
    quantize: str | None
    weights_bytes: int


class BenchmarkReport(TypedDict):
    """`sida benchmark --json`; `docs/performance.md` has the fields with their units."""

    schema: str
    machine: dict[str, str | int | None]
    model: BenchmarkedModel
    batch_size: int
    picture: list[int]
    rates: dict[str, float]
    latency_ms: dict[str, float]
    peak_memory_bytes: int
    flops_per_image: dict[str, int]
    matrix_rate: float
    matrix_rate_share: dict[str, float]
    memory_rate: float
    memory_rate_share: dict[str, float]
    stages_ms: dict[str, float]


def benchmark(
    detector: Detector,
    seconds: float = 5.0,
    on_progress: Callable[[int, int | None], None] = lambda count, total: None,
) -> BenchmarkReport:
    """Measure a detector at its own batch size.

    Args:
        seconds: time for each figure, which is measured three times at least.
        on_progress: called with how many figures are done, and of how many.

    Returns:
        What `sida benchmark --json` writes, as `docs/performance.md` describes it.
    """
    return _Benchmark(detector, seconds, on_progress).run()


def machine(device: torch.device) -> dict[str, str | int | None]:
    """The machine and versions that figures depend on beside the model."""
    cuda = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device) if cuda is None else cuda.name,
        "device_memory_bytes": None if cuda is None else cuda.total_memory,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sida": sida.__version__,
    }


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large matrix product, the best of five."""
    size = MATRIX["cuda" if device.type == "cuda" else "cpu"]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = min(_timed(lambda: left @ right, device) for _ in range(5))
    return 2 * size**3 / best


def memory_rate(device: torch.device) -> float:
    """Bytes a second that can be read, from the sum of an array larger than any cache."""
    values = torch.ones(16 * MATRIX["cuda" if device.type == "cuda" else "cpu"] ** 2, device=device)
    best = min(_timed(values.sum, device) for _ in range(5))
    return values.numel() * values.element_size() / best


class _Benchmark:
    """A run, in which every figure is the median of its repetitions."""

    def __init__(
        self,
        detector: Detector,
        seconds: float,
        on_progress: Callable[[int, int | None], None],
    ) -> None:
        self.detector, self.engine = detector, detector.engine
        self.model, self.device = detector.engine.model, detector.engine.model.device
        # Most operations are the encoder's, whose frozen layers may have a dtype of their own.
        self.encoder_dtype = next(self.model.encoder.parameters()).dtype
        self.seconds, self.on_progress = seconds, on_progress
        self.size = detector.batch_size
        rng = np.random.default_rng(0)
        smooth = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
        enlarged = Image.fromarray(smooth).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 4, (HEIGHT, WIDTH, 3))
        pixels = np.clip(np.asarray(enlarged) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
        self.jpeg = file.getvalue()
        self.pixels = read_picture(self.jpeg).pixels
        self.images = [self.engine.processor.preprocess(self.pixels, masks=True)] * self.size

    def run(self) -> BenchmarkReport:
        steps: dict[str, Callable[[], Any]] = {
            "matrix": lambda: matrix_rate(self.device, self.encoder_dtype),
            "operations": self._operations,
            "verdict": lambda: self._passes(False),
            "verdict_and_mask": lambda: self._passes(True),
            "latency": self._latency,
            "stages": self._stages,
            "text": self._text,
            "peak": self._peak,  # before an array that is larger than any cache
            "memory": lambda: memory_rate(self.device),
        }
        figures: dict[str, Any] = {}
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        for index, (name, step) in enumerate(steps.items()):
            self.on_progress(index, len(steps))
            figures[name] = step()
        self.on_progress(len(steps), len(steps))
        return self._report(figures)

    def _report(self, figures: dict[str, Any]) -> BenchmarkReport:
        rates = {name: figures[name] for name in ("verdict", "verdict_and_mask")}
        language = _bytes(self.model.language.layers) + _bytes(self.model.lm_head)
        token = figures["text"] / 1000
        return {
            "schema": "sida.benchmark/1",
            "machine": machine(self.device),
            "model": {
                "name": self.detector.model.name,
                "digest": self.detector.model.digest,
                "dtype": str(self.model.dtype).removeprefix("torch."),
                "encoder_dtype": str(self.encoder_dtype).removeprefix("torch."),
                "quantize": self.detector.options.quantize,
                "weights_bytes": _bytes(self.model),
            },
            "batch_size": self.size,
            "picture": [WIDTH, HEIGHT],
            "rates": {name: round(rate, 3) for name, rate in rates.items()},
            "latency_ms": figures["latency"],
            "peak_memory_bytes": figures["peak"],
            "flops_per_image": figures["operations"],
            "matrix_rate": figures["matrix"],
            "matrix_rate_share": {
                name: round(rates[name] * figures["operations"][name] / figures["matrix"], 3)
                for name in rates
            },
            "memory_rate": figures["memory"],
            "memory_rate_share": {"text": round(language / token / figures["memory"], 3)},
            "stages_ms": {**figures["stages"], "text_token": round(figures["text"], 2)},
        }

    def _infer(self, images: list[PreparedImage], masks: bool) -> None:
        self.engine.infer(images, [lambda _: masks] * len(images))

    def _operations(self) -> dict[str, int]:
        """Floating-point operations an image: counted, two a multiplication and addition."""
        counted = {}
        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        for name, masks in (("verdict", False), ("verdict_and_mask", True)):
            self._infer(self.images[:1], masks)  # the prefix is read once, and does not count
            with FlopCounterMode(display=False, custom_mapping={attention: _attended}) as counter:
                self._infer(self.images[:1], masks)
            counted[name] = counter.get_total_flops()
        return counted

    def _passes(self, masks: bool) -> float:
        """Images a second."""
        return self.size / self._median(lambda: self._infer(self.images, masks))

    def _latency(self) -> dict[str, float]:
        times = self._times(lambda: self.detector.detect(self.jpeg, masks="all"), least=5)
        return {
            "p50": round(1000 * statistics.median(times), 2),
            "p95": round(1000 * float(np.percentile(times, 95)), 2),
        }

    @torch.inference_mode()
    def _stages(self) -> dict[str, float]:
        """Milliseconds an image of each stage: up to the verdict in batches, masks one by one."""
        engine, model, size = self.engine, self.model, self.size
        picture = read_picture(self.jpeg)
        inputs, frames = engine.processor(self.images, masks=True)
        inputs = inputs.to(model.device, model.dtype)
        tokens, state = model.image_tokens(inputs)
        output = engine.prefill(tokens, state)
        owner = (inputs.vision if inputs.mask is None else inputs.mask).owner
        windows = (owner == 0).nonzero()[:, 0]  # of one picture, as masks are made on a CPU
        prompts = output.prompts[owner[windows]]
        embedding = model.mask_embedding(inputs, windows, state)
        logits = model.decoder(embedding, prompts)
        further, _ = engine.processor.further_windows(self.images[:1])

        def embed_mask() -> None:
            model.mask_embedding(inputs, windows, state)
            if further is not None:
                more = further.to(model.device, model.dtype)
                numbers = torch.arange(len(more.owner), device=model.device)
                model.mask_embedding(Inputs(more, more), numbers, None)

        stages = {
            "read": self._median(lambda: read_picture(self.jpeg)),
            "preprocess": self._median(lambda: engine.processor.preprocess(picture, masks=True)),
            "vision": self._median(lambda: model.image_tokens(inputs)) / size,
            "language": self._median(lambda: engine.prefill(tokens, state)) / size,
            "mask_encoder": self._median(embed_mask),
            "mask_decoder": self._median(lambda: model.decoder(embedding, prompts)),
            "mask_resize": self._median(lambda: frames[0].restore(logits).cpu()),
        }
        return {name: round(1000 * value, 2) for name, value in stages.items()}

    @torch.inference_mode()
    def _text(self) -> float:
        """Milliseconds a token of one text."""
        inputs, _ = self.engine.processor(self.images[:1], masks=False)
        output = self.engine.forward(inputs.to(self.device, self.model.dtype), keep_cache=True)

        def write() -> None:
            cache: KVCache = output.cache.row(0, self.engine.prompt_length)
            list(generate(self.model, cache, [1], frozenset(), TOKENS))

        return 1000 * self._median(write) / TOKENS

    def _median(self, work: Callable[[], Any]) -> float:
        return statistics.median(self._times(work))

    def _times(self, work: Callable[[], Any], least: int = 3) -> list[float]:
        """Seconds of repeated calls, after one that is not counted."""
        work()
        times: list[float] = []
        while len(times) < least or sum(times) < self.seconds:
            times.append(_timed(work, self.device))
        return times

    def _peak(self) -> int:
        """Of the device's memory, or of the whole process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _attended(
    query: tuple[int, ...], keys: tuple[int, ...], *_: Any, out_shape: Any = None, **__: Any
) -> int:
    """Operations of an attention on the CPU, which torch does not count by itself."""
    return 4 * math.prod(query) * keys[2]


def _bytes(module: torch.nn.Module) -> int:
    """Of the weights as they are kept; quantized ones are tensors made of several."""
    return sum(_size(tensor) for tensor in {id(t): t for t in module.parameters()}.values())


def _size(tensor: torch.Tensor) -> int:
    if not hasattr(tensor, "__tensor_flatten__"):
        return tensor.numel() * tensor.element_size()
    names, _ = tensor.__tensor_flatten__()
    return sum(_size(getattr(tensor, name)) for name in names)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or "unknown"
