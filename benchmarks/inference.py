"""Verdicts and masks against what one would write by hand with transformers, in turn in one run.

python benchmarks/inference.py PRESET|SIZES.json [--batch-size 4] [--rounds 5] [--threads N]

By hand: `LlavaForConditionalGeneration.generate` with its cache, 24 new tokens, and the image
encoder of `SamModel`, one picture at a time. Ours: class and mask prompt from one prefill; with
masks SAM's encoder, its mask decoder, and the mask at the picture's size as well. Both have the
same random weights and get the same random tensors, 36 + 256 + 44 tokens; before anything is timed,
class logits and masks are compared. A round times each in turn, by hand one picture and ours a
batch. Beside the time on the clock stands that of the processor, which with --threads 1 depends
less on what else the machine does.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.models.sam.modeling_sam import SamVisionEncoder

from sida.benchmark import machine, matrix_rate
from sida.detector import Detector
from sida.inference.device import resolve
from sida.inference.engine import Engine
from sida.inference.malloc import keep_freed
from sida.model.frame import Frame, Window
from sida.model.inputs import Inputs, Windows
from sida.model.prompt import IMAGE_TOKEN
from sida.model.sida import Sida

NEW_TOKENS = 24
TOKENS = (36, 44)
"""Before the picture, and after it."""
STEM = 7
"""Tokens of `[CLS] The image is tampered`, the last of those after the picture."""


class ByHand:
    """The composition, with the weights of a model of ours."""

    def __init__(self, ours: Sida, mask_encoder: SamVisionEncoder) -> None:
        vision, language = ours.config.vision, ours.config.language
        self.image_id = language.vocab_size - 1
        config = LlavaConfig(
            vision_config=CLIPVisionConfig.from_dict(vision.to_dict()),
            text_config=LlamaConfig.from_dict(language.to_dict()),
            image_token_index=self.image_id,
            vision_feature_layer=ours.config.select_layer,
            vision_feature_select_strategy="default",
        )
        with torch.device("meta"):
            self.llava = LlavaForConditionalGeneration(config).eval()
        inner = self.llava.model
        tower = CLIPVisionModel(config.vision_config).to(ours.device, ours.dtype).eval()
        # Ours lacks the last layer, whose output nobody reads.
        tower.load_state_dict(ours.encoder.clip.state_dict(), strict=False)
        inner.vision_tower, inner.language_model = tower, ours.language
        self.llava.lm_head = ours.lm_head
        inner.multi_modal_projector = ours.encoder.projector
        self.sam = mask_encoder

    @torch.inference_mode()
    def verdict_and_mask(self, ids: torch.Tensor, clip: torch.Tensor, sam: torch.Tensor):
        """Of one picture: what generate returns, and SAM's embedding."""
        answers = self.llava.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=clip,
            min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=0,
            output_hidden_states=True,
            return_dict_in_generate=True,
        )
        return answers, self.sam(sam).last_hidden_state


class Ours:
    """The engine with the tokens of the comparison in place of its question."""

    def __init__(self, detector: Detector, before: list[int], after: list[int]) -> None:
        self.model = detector.engine.model
        self.engine = Engine(self.model, detector.engine.processor)
        self.engine.ids = [*before, IMAGE_TOKEN, *after]
        self.engine._image = len(before)
        image_tokens = self.model.image_token_count
        self.engine.prompt_length = len(before) + image_tokens + len(after) - STEM
        side = self.model.config.mask.image_size
        self.frame = Frame(side, side, (Window((0, 0, side, side), (side, side), (side, side)),))

    def verdict(self, inputs: Inputs) -> torch.Tensor:
        """Class logits (pictures, 3)."""
        return self.engine.forward(inputs).class_logits

    @torch.inference_mode()
    def verdict_and_mask(self, inputs: Inputs) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Class logits, and mask logits at the size of each picture."""
        prepared = self.engine.forward(inputs)
        windows = torch.arange(len(prepared.prompts), device=prepared.prompts.device)
        masks = []
        for batch in windows.split(1 if windows.device.type == "cpu" else len(windows)):
            logits = self.model.decode_masks(inputs, batch, prepared.prompts[batch], prepared.state)
            masks += [self.frame.restore(row[None]) for row in logits]
        return prepared.class_logits, masks


def main() -> None:
    """Compare, time in turn, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device, dtype = resolve(options.device, options.dtype)
    keep_freed()
    detector = Detector.random(options.sizes, options.device, options.dtype)
    model = detector.engine.model
    stock = SamVisionEncoder(model.config.mask.encoder()).to(device, dtype).eval()
    stock.load_state_dict(model.encoder.sam.state_dict())
    hand = ByHand(model, stock)
    torch.manual_seed(0)
    before, after = (torch.randint(5, 1000, (n,)).tolist() for n in TOKENS)
    ours = Ours(detector, before, after)
    ids = torch.tensor(
        [[*before, *[hand.image_id] * model.image_token_count, *after]], device=device
    )
    pictures, vision, mask = options.batch_size, model.config.vision, model.config.mask
    owner = torch.arange(pictures, device=device)

    def windows(side: int) -> Windows:
        pixels = torch.randn(pictures, 3, side, side, device=device, dtype=dtype)
        return Windows(pixels, torch.full((pictures, 2), side, device=device), owner)

    inputs = Inputs(windows(vision.image_size), windows(mask.image_size))
    errors = compare(hand, ours, ids, inputs)

    first = Inputs(*(Windows(*(tensor[:1] for tensor in part)) for part in inputs[:2]))
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "by_hand": (
            1,
            lambda: hand.verdict_and_mask(ids, first.vision.pixels, first.mask.pixels),
        ),
        "verdict": (pictures, lambda: ours.verdict(inputs)),
        "verdict_and_mask": (pictures, lambda: ours.verdict_and_mask(inputs)),
        "sam_encoder_by_hand": (1, lambda: encode(stock, first.mask.pixels)),
        "sam_encoder": (1, lambda: encode(model.encoder.sam, first.mask.pixels)),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    matrix = []
    for _ in range(options.rounds):
        matrix.append(round(matrix_rate(device, dtype) / 1e9))
        for name, (count, way) in ways.items():
            wall, cpu = timed(way, device)
            seconds[name].append((wall / count, cpu / count))
    report = {
        "machine": machine(device),
        "sizes": Path(options.sizes).name,
        "dtype": str(dtype).removeprefix("torch."),
        "batch_size": pictures,
        "largest_difference": errors,
        "matrix_gflops": matrix,
    }
    print(json.dumps(report | {"clock": summary(seconds, 0), "processor": summary(seconds, 1)}))


def encode(encoder: SamVisionEncoder, pixels: torch.Tensor) -> None:
    """SAM's encoder alone."""
    with torch.inference_mode():
        encoder(pixels)


def compare(hand: ByHand, ours: Ours, ids: torch.Tensor, inputs: Inputs) -> dict[str, float]:
    """Largest difference of class logits and of mask logits over the pictures."""
    logits, masks = ours.verdict_and_mask(inputs)
    worst = {"class_logits": 0.0, "mask_logits": 0.0}
    with torch.inference_mode():
        for i in range(len(logits)):
            clip, sam = inputs.vision.pixels[i : i + 1], inputs.mask.pixels[i : i + 1]
            answers, embedding = hand.verdict_and_mask(ids, clip, sam)
            hidden = answers.hidden_states[0][-1]  # of the prompt, behind the last norm
            scores = ours.model.classify(hidden[:, ours.engine.prompt_length - 1])
            prompt = ours.model.mask_prompts(scores, hidden[:, -1:])[:, 0]
            mask = ours.frame.restore(ours.model.decoder(embedding, prompt))
            for name, run, other in (
                ("class_logits", scores[0], logits[i]),
                ("mask_logits", mask, masks[i]),
            ):
                worst[name] = max(worst[name], float((run.float() - other.float()).abs().max()))
    return worst


def timed(way: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds of one call, on the clock and of the processor."""
    synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    synchronize(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summary(seconds: dict[str, list[tuple[float, float]]], which: int) -> dict[str, object]:
    """Seconds a picture, fastest and median; how many times the composition, round by round."""
    rates = {name: [pair[which] for pair in pairs] for name, pairs in seconds.items()}
    against = {"verdict": "by_hand", "verdict_and_mask": "by_hand"}
    against["sam_encoder"] = "sam_encoder_by_hand"
    return {
        "seconds_a_picture": {
            name: {"fastest": round(min(values), 4), "median": round(median(values), 4)}
            for name, values in rates.items()
        },
        "times_as_fast": {
            name: {
                "fastest": round(min(rates[other]) / min(rates[name]), 2),
                "median": round(median(rates[other]) / median(rates[name]), 2),
                "rounds": [round(o / n, 2) for o, n in zip(rates[other], rates[name], strict=True)],
            }
            for name, other in against.items()
        },
    }


if __name__ == "__main__":
    main()
