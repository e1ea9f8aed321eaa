"""Things in a picture, found by a detector and cut out by SAM, both of transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sida.errors import CheckpointError
from sida.forge.config import Segmenter
from sida.forge.diffusion import device_of
from sida.forge.regions import ObjectMask
from sida.image.arrays import Pixels

__all__ = ["SamFinder"]

DetectionBox = tuple[float, float, float, float]

WORDS = (
    "person", "face", "dog", "cat", "bird", "horse", "car", "bus", "bicycle", "boat", "tree",
    "flower", "building", "window", "sign", "chair", "table", "bottle", "cup", "bag", "food",
)  # fmt: skip
"""Words that a zero-shot detector looks for where none is given."""
MOST_BOXES = 12


class SamFinder:
    """See `sida.forge.regions.Finder`; without a detector SAM is prompted with a grid of points."""

    def __init__(self, config: Segmenter, device: str = "auto") -> None:
        self._threshold, self._device = config.threshold, device_of(device)
        try:
            self._load(config)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"the segmenter {config.sam!r} with the detector {config.detector!r} cannot be "
                f"loaded ({' '.join(str(error).split())[:300]}): give folders or hub names of a "
                "SamModel and of an object detector"
            ) from error

    def _load(self, config: Segmenter) -> None:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._sam = transformers.SamModel.from_pretrained(config.sam).to(self._device).eval()
        self._processor = transformers.SamProcessor.from_pretrained(config.sam)
        self._detector: Any = None
        if config.detector is not None:
            detector_config = transformers.AutoConfig.from_pretrained(config.detector)
            zero_shot = transformers.AutoModelForZeroShotObjectDetection._model_mapping.keys()
            self._takes_words = type(detector_config) in zero_shot
            task = "zero-shot-object-detection" if self._takes_words else "object-detection"
            self._detector = transformers.pipeline(task, model=config.detector, device=self._device)

    def __call__(self, pixels: Pixels, word: str | None = None) -> Sequence[ObjectMask]:
        """Masks (height, width) bool with their words, the surest first."""
        if self._detector is None:
            height, width = pixels.shape[:2]
            # Nine points, for SAM alone has no words.
            points = [(x * width / 4, y * height / 4) for y in (1, 2, 3) for x in (1, 2, 3)]
            masks = self._masks(pixels, input_points=[[[list(point)] for point in points]])
            return [(mask, None) for mask in masks]
        boxes, words = self._boxes(pixels, word)
        if not boxes:
            return []
        masks = self._masks(pixels, input_boxes=[[list(box) for box in boxes]])
        return list(zip(masks, words, strict=True))

    def _boxes(
        self, pixels: Pixels, word: str | None
    ) -> tuple[list[DetectionBox], list[str | None]]:
        image = Image.fromarray(pixels)
        if self._takes_words:
            labels = [word] if word else list(WORDS)
            detections = self._detector(image, candidate_labels=labels, threshold=self._threshold)
        else:
            detections = self._detector(image, threshold=self._threshold)
            detections = [
                detection for detection in detections if word in (None, detection["label"])
            ]
        detections = sorted(detections, key=lambda detection: -detection["score"])[:MOST_BOXES]
        corners = ("xmin", "ymin", "xmax", "ymax")
        boxes = [
            tuple(float(detection["box"][corner]) for corner in corners) for detection in detections
        ]
        return boxes, [detection["label"] for detection in detections]  # type: ignore[return-value]

    @torch.inference_mode()
    def _masks(self, pixels: Pixels, **prompts: Any) -> list[NDArray[np.bool_]]:
        """Of each prompt the mask that SAM itself rates best."""
        inputs = self._processor(Image.fromarray(pixels), return_tensors="pt", **prompts)
        outputs = self._sam(**inputs.to(self._device), multimask_output=True)
        masks = self._processor.image_processor.post_process_masks(
            outputs.pred_masks.cpu(), inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )[0]
        # SAM gives three masks a prompt, and its own estimate of their overlap.
        best = outputs.iou_scores[0].argmax(dim=-1)
        return [
            np.asarray(mask[index].numpy(), bool) for mask, index in zip(masks, best, strict=True)
        ]
