"""`Detector`: load a model, judge pictures. Read from top to bottom, this is the way of a picture.

detector = Detector.load()
verdict = detector.detect("photo.jpg", explain=True)
for verdict in detector.detect_many(paths): ...
for piece in detector.chat("photo.jpg").ask("Is the light right?"): ...
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from sida.errors import ConfigError, PictureError
from sida.explanation.cues import Cue, measure
from sida.explanation.wording import (
    claims,
    evidence_text,
    facts_of,
    facts_text,
    parse,
    statements,
    window_facts,
)
from sida.image.geometry import position_of
from sida.image.prefetch import prefetch, read_or_error
from sida.image.read import Picture, Source
from sida.image.suitability import unsuitable
from sida.inference.conversation import Conversation
from sida.inference.device import out_of_memory, resolve
from sida.inference.engine import Begun, Engine, Judged, Text, WantsMask, WindowLogits
from sida.inference.malloc import trim
from sida.inference.memory import fitting_batch, micro_batches, within_memory
from sida.inference.quantize import check as check_quantization
from sida.inference.quantize import quantize as quantize_model
from sida.model.checkpoint import CONTRADICTIONS, Loaded, load, load_random
from sida.model.clip_windows import ClipWindows
from sida.model.presets import PRESETS
from sida.model.processor import Seen
from sida.model.views import ClipWindowsViews
from sida.options import BatchSize, DetectOptions, MaskFor, ModelOptions, Request
from sida.provenance.inspection import inspect
from sida.verdict import (
    LABELS,
    Declared,
    Evidence,
    Explanation,
    Failure,
    Localization,
    ModelInfo,
    Probabilities,
    Provenance,
    Verdict,
    WindowEvidence,
    regions_from_mask,
)

__all__ = ["Detector", "Request"]

TIDIED = 32
"""Micro-batches after which free memory is given back."""
THRESHOLD = 0.5
"""Probability above which a pixel is in the mask."""


class _Ready(NamedTuple):
    """A request with its picture, decoded and cut into windows."""

    request: Request
    picture: Picture
    seen: Seen
    provenance: Provenance | None


class _Broken(NamedTuple):
    """A request with what is wrong with its picture."""

    request: Request
    picture: PictureError


class Detector:
    """A loaded model that detects synthetic and tampered images. Use one from one thread.

    Attributes:
        options: how it was loaded; a change of them is another detector.
        batch_size: images in one pass.
        model: the weights' name, version and digest.
    """

    def __init__(self, loaded: Loaded, options: ModelOptions = ModelOptions()) -> None:
        self.options = options
        self.engine = Engine(loaded.model, loaded.processor)
        self.calibration = loaded.calibration
        self.model = ModelInfo(name=loaded.name, version=loaded.version, digest=loaded.digest)
        self.batch_size = (
            fitting_batch(self.device, self._try_out)
            if options.batch_size == "auto"
            else options.batch_size
        )

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        device: torch.device = self.engine.model.device
        return device

    @property
    def weighs_windows(self) -> bool:
        """True for a model that can say and draw how parts of a picture spoke for its verdict."""
        return isinstance(self.engine.model.encoder, ClipWindows)

    @classmethod
    def load(
        cls,
        name: str | Path = ModelOptions.model,
        device: str = ModelOptions.device,
        dtype: str = ModelOptions.dtype,
        quantize: str | None = ModelOptions.quantize,
        batch_size: BatchSize = ModelOptions.batch_size,
        fast: bool = ModelOptions.fast,
        max_pixels: int = ModelOptions.max_pixels,
        trust: str | None = ModelOptions.trust,
    ) -> "Detector":
        """Load a model by name, from a folder (ours or the published layout) or from a hub.

        The arguments are the fields of `ModelOptions`, and the errors those of `from_options`.
        """
        return cls.from_options(
            ModelOptions(
                model=str(name),
                device=device,
                dtype=dtype,
                quantize=quantize,
                batch_size=batch_size,
                fast=fast,
                max_pixels=max_pixels,
                trust=trust,
            )
        )

    @classmethod
    def random(
        cls,
        sizes: str | Path,
        device: str = ModelOptions.device,
        dtype: str = ModelOptions.dtype,
        quantize: str | None = ModelOptions.quantize,
        batch_size: BatchSize = ModelOptions.batch_size,
    ) -> "Detector":
        """A model with random weights, to try sizes on a machine; its verdicts mean nothing.

        The weights of the same sizes are the same at every call on one type of device; random
        numbers drawn elsewhere are not touched.

        Args:
            sizes: a preset's name, or a JSON file of sizes, which are tried on a picture at once.
        """
        return cls.from_options(
            ModelOptions(
                random_weights=str(sizes),
                device=device,
                dtype=dtype,
                quantize=quantize,
                batch_size=batch_size,
            )
        )

    @classmethod
    def from_options(cls, options: ModelOptions) -> "Detector":
        """Load the model that options describe.

        Raises:
            CheckpointError: the weights are missing, broken or of another model.
            DownloadError: the hub cannot be reached.
            DeviceError: this machine has no such device, dtype or quantization.
            ConfigError: torchao is missing, `batch_size` is below 1, or `fast` has no effect; there
                is no preset or file of `random_weights`, or its sizes make no network.
        """
        device, dtype = resolve(options.device, options.dtype)
        _require_possible(options, device, dtype)
        if options.random_weights is None:
            return cls(_load(options, device, dtype), options)
        # The generators of the caller come back as they were; within, the seed makes the weights
        # the same at every call.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            try:
                loaded = _load(options, device, dtype)
                detector = cls(loaded, replace(options, batch_size=1))
                if options.random_weights not in PRESETS:
                    detector._try_out()
            except CONTRADICTIONS as error:
                if out_of_memory(error):
                    raise
                reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
                raise ConfigError(
                    f"The sizes in {options.random_weights} make no network ({reason}): they "
                    "contradict each other; correct them."
                ) from error
        return cls(loaded, options)

    def _try_out(self) -> None:
        """See that every size fits the next: some contradictions show only in a pass."""
        model, pieces = self.engine.model, len(self.engine.processor.tokenizer)
        rows = model.config.language.vocab_size
        if rows < pieces:
            raise ValueError(f"vocab is {rows}, the embedded tokenizer has {pieces} pieces")
        grey = Picture(np.full((1024, 1024, 3), 128, np.uint8))
        self.engine.judge_each([grey], [lambda _: True], [True])

    def detect(
        self,
        picture: Source,
        masks: MaskFor = DetectOptions.masks,
        explain: bool = DetectOptions.explain,
        provenance: bool = DetectOptions.provenance,
        evidence: bool = DetectOptions.evidence,
    ) -> Verdict:
        """Judge one picture; the arguments are the fields of `DetectOptions`.

        Raises:
            PictureError: it cannot be read or judged; its text says why.
        """
        options = DetectOptions(
            masks=masks, explain=explain, provenance=provenance, evidence=evidence
        )
        (result,) = self.run([Request.of(picture, options)])
        return _or_raise(result)

    def detect_many(
        self,
        pictures: Iterable[Source],
        masks: MaskFor = DetectOptions.masks,
        explain: bool = DetectOptions.explain,
        provenance: bool = DetectOptions.provenance,
        evidence: bool = DetectOptions.evidence,
    ) -> Iterator[Verdict | Failure]:
        """Judge pictures as they come, in their order; one that cannot be read yields a Failure."""
        options = DetectOptions(
            masks=masks, explain=explain, provenance=provenance, evidence=evidence
        )
        return self.run(Request.of(picture, options) for picture in pictures)

    def run(self, requests: Iterable[Request]) -> Iterator[Verdict | Failure]:
        """Judge requests in their order, in micro-batches (`micro_batches`), reading ahead."""
        ready = prefetch(self._read, requests, ahead=2 * self.batch_size)
        for number, batch in enumerate(micro_batches(ready, self.batch_size), 1):
            yield from self._judge(batch)
            if number % TIDIED == 0 and self.device.type == "cpu":
                trim()

    def chat(
        self,
        picture: Source,
        history: Sequence[tuple[str, str]] = (),
        verdict: Verdict | None = None,
    ) -> Conversation:
        """Judge one picture and be ready to be asked about it.

        Args:
            picture: as `detect` takes it.
            history: questions with their answers that came before.
            verdict: of the same picture, from a conversation about it; it is not judged again.

        Raises:
            PictureError: it cannot be read or judged; its text says why.
        """
        explain = self.engine.explains and not self.engine.talks
        ready = self._read(Request(picture, explain=explain))
        if isinstance(ready, _Broken):
            raise ready.picture
        if verdict is None:
            (result,) = self._judge([ready])
            verdict = _or_raise(result)
        return Conversation(self.engine, verdict, ready.seen, history)

    def _read(self, request: Request) -> _Ready | _Broken:
        """Decode a picture and cut it into windows; threads do this while others are judged."""
        picture = read_or_error(request.picture, self.options.max_pixels)
        if isinstance(picture, PictureError):
            return _Broken(request, picture)
        # A CPU that computes masks has better things to do than cut windows nobody may want.
        idle = self.device.type != "cpu" and request.masks == "tampered"
        try:
            seen = self.engine.processor.see(picture, masks=idle or request.masks == "all")
        except MemoryError:
            message = "memory does not suffice to prepare the picture: reduce it, or free memory"
            return _Broken(request, PictureError(message, "out_of_memory"))
        return _Ready(request, picture, seen, self._provenance(request))

    def _provenance(self, request: Request) -> Provenance | None:
        """The picture is read anew for it, so that nothing of it can reach the verdict."""
        if not request.provenance:
            return None
        try:
            return inspect(request.picture, trust=self.options.trust)
        except (PictureError, MemoryError) as error:
            said = f"could not be looked for: {str(error) or 'there is not enough memory'}"
            unread = Declared(name="provenance", value=said, source="file", state="not read")
            return Provenance(declared=(unread,))

    def _judge(self, batch: Sequence[_Ready | _Broken]) -> Iterator[Verdict | Failure]:
        """A result for each request, in their order; what cannot be read or judged is a Failure."""
        judged = within_memory(self._verdicts, [each for each in batch if isinstance(each, _Ready)])
        for each in batch:
            result = next(judged) if isinstance(each, _Ready) else each.picture
            if isinstance(result, PictureError):
                yield _failure(each.request, result)
                continue
            yield result

    def _verdicts(self, asked: Sequence[_Ready]) -> Iterator[Verdict | PictureError]:
        """Judge a micro-batch in one pass, and write its explanations together."""
        start = time.perf_counter()
        judged = self.engine.judge_each(
            [each.seen for each in asked],
            [self._needs_mask(each.request) for each in asked],
            [each.request.explain for each in asked],
            [each.request.explain or each.request.evidence for each in asked],
        )
        explained = {
            i: self._draft(asked[i], each)
            for i, each in enumerate(judged)
            if isinstance(each, Judged) and each.past is not None
        }
        texts = self.engine.explain([each.begun for each in explained.values() if each.begun])
        written = dict(zip(explained, texts, strict=True))
        shared = (time.perf_counter() - start) / len(asked)
        for i, ready in enumerate(asked):
            each, judged[i] = judged[i], _TAKEN  # masks of those to come are made one by one
            if isinstance(each, PictureError):
                yield each
                continue
            start = time.perf_counter()
            draft = explained.pop(i, None) or self._draft(ready, each)
            seconds = shared + time.perf_counter() - start
            yield self._verdict(draft, written.get(i), seconds, ready.provenance)

    def _needs_mask(self, request: Request) -> WantsMask:
        """Whether class logits call for a mask: one to hand out, or to measure in for a text."""
        measured = request.explain and self.engine.explains

        def needs(class_logits: np.ndarray) -> bool:
            label = self._label(class_logits)
            return _wants_mask(request.masks, label) or (measured and label == "tampered")

        return needs

    def _label(self, class_logits: np.ndarray) -> str:
        return LABELS[int(self.calibration.probabilities(class_logits).argmax())]

    def _draft(self, ready: _Ready, judged: Judged) -> "_Draft":
        """Mask and cues of a picture, and what its explanation begins with.

        Which masks are handed out does not matter for a text: there is a region only where the
        label says so.
        """
        request, picture = ready.request, ready.picture
        probabilities = self.calibration.probabilities(judged.class_logits)
        label = LABELS[int(probabilities.argmax())]
        found = None if judged.mask_logits is None else self._localize(judged.mask_logits)
        evidence = None
        if judged.evidence is not None:
            evidence = self._weighed(judged.evidence, picture)
        begun, addition = None, ""
        cues: tuple[Cue, ...] = ()
        if judged.past is not None:
            mask = None if found is None else found.mask
            cues = measure(picture.pixels, mask) if mask is not None and label == "tampered" else ()
            weighed = () if evidence is None else evidence.windows
            windows = [(w.position, w.probabilities[label]) for w in weighed]
            unsure = self.calibration.inconclusive(probabilities)
            facts = facts_of(label, mask, cues, windows=window_facts(label, windows), unsure=unsure)
            addition = evidence_text(facts) if evidence is not None else ""
            begun = Begun(judged.past, label, facts_text(facts))
        if not _wants_mask(request.masks, label):
            found = None
        evidence_map = None
        if evidence is not None and request.evidence:
            evidence_map = self._evidence_map(judged.evidence, picture)
        return _Draft(
            request,
            picture,
            probabilities,
            label,
            found,
            begun,
            cues,
            addition,
            evidence,
            evidence_map,
        )

    def _weighed(self, logits: WindowLogits, picture: Picture) -> Evidence:
        """What the verdict would be, were all of the picture like one of its windows."""
        height, width = picture.pixels.shape[:2]
        rows = self.calibration.probabilities(logits.windows)
        return Evidence(
            windows=tuple(
                WindowEvidence(
                    box=box,
                    position=position_of(box, width, height),
                    probabilities=_probabilities(row),
                )
                for box, row in zip(logits.boxes, rows, strict=True)
            )
        )

    def _evidence_map(self, logits: WindowLogits | None, picture: Picture) -> np.ndarray:
        """(height, width) float32: how far each place looks generated.

        Where windows were looked at it is theirs, elsewhere that of the picture as a whole.
        """
        assert logits is not None
        height, width = picture.pixels.shape[:2]
        generated = LABELS.index("full_synthetic")
        whole = self.calibration.probabilities(logits.whole)[..., generated]
        drawn = _stretched(whole, (height, width))
        sums, counts = np.zeros_like(drawn), np.zeros_like(drawn)
        for box, patches in zip(logits.boxes, logits.patches, strict=True):
            left, top, right, bottom = box
            values = self.calibration.probabilities(patches)[..., generated]
            sums[top:bottom, left:right] += _stretched(values, (bottom - top, right - left))
            counts[top:bottom, left:right] += 1
        return np.where(counts > 0, sums / np.maximum(counts, 1), drawn)

    def _verdict(
        self,
        draft: "_Draft",
        written: Text | None,
        seconds: float,
        provenance: Provenance | None,
    ) -> Verdict:
        picture, found = draft.picture, draft.found
        warnings = list(picture.warnings)
        unfit = unsuitable(picture.pixels) if self.weighs_windows else None
        if unfit is not None:
            warnings.append(f"Do not rely on this verdict: {unfit}.")
        if draft.request.explain and written is None:
            warnings.append(
                f"{self.model.name} was not trained to explain: use a description model."
            )
        verdict = Verdict(
            image=picture.name,
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            label=draft.label,
            probabilities=_probabilities(draft.probabilities),
            calibrated=self.calibration.fitted,
            inconclusive=self.calibration.inconclusive(draft.probabilities)
            or (self.calibration.fitted and unfit is not None),
            localization=None if found is None else found.localization,
            explanation=None if written is None else _explanation(written, draft),
            evidence=draft.evidence if draft.request.evidence or draft.request.explain else None,
            provenance=provenance,
            model=self.model,
            warnings=tuple(warnings),
            seconds=round(seconds, 4),
        )
        return verdict.with_arrays(
            mask=None if found is None else found.mask,
            probability_map=None if found is None else found.probability_map,
            evidence_map=draft.evidence_map,
            picture=draft.request.picture,  # not its pixels: a list of verdicts would keep them all
        )

    def _localize(self, logits: np.ndarray) -> "_Found":
        probability_map = self.calibration.pixels(logits)
        mask = probability_map > THRESHOLD
        localization = Localization(
            area=float(mask.mean()),
            threshold=THRESHOLD,
            regions=regions_from_mask(mask, probability_map),
        )
        return _Found(mask, probability_map, localization)


_TAKEN = PictureError("")
"""In the place of a result that was handed out, so that it holds no memory."""


class _Found(NamedTuple):
    """A mask in the picture's pixels, what it was made of, and what is said of it."""

    mask: np.ndarray
    probability_map: np.ndarray
    localization: Localization


class _Draft(NamedTuple):
    """All of a verdict but its explanation."""

    request: Request
    picture: Picture
    probabilities: np.ndarray
    label: str
    found: _Found | None
    begun: Begun | None
    cues: tuple[Cue, ...]
    addition: str
    evidence: Evidence | None
    evidence_map: np.ndarray | None


def _probabilities(row: np.ndarray) -> Probabilities:
    return Probabilities(**dict(zip(LABELS, map(float, row), strict=True)))


def _stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values (h, w) bilinear at another (height, width), float32."""
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def _explanation(written: Text, draft: "_Draft") -> Explanation:
    """A generated text in its parts, its claims checked; behind it what was weighed.

    Where windows were weighed, a text that states another type than the verdict is left out: what
    was measured is said without it, and the explanation is not complete.
    """
    text, complete = written.text, written.complete
    if draft.addition:
        types = {x.value for x in statements(text) if x.about == "type"}
        if types - {draft.label}:
            text, complete = "", False
        text = f"{text}{'' if not text or text.endswith('.') else '.'} {draft.addition}".strip()
    return Explanation(
        text=text,
        complete=complete,
        claims=claims(text, draft.cues),
        **parse(text),
    )


def _wants_mask(masks: MaskFor, label: str) -> bool:
    return masks == "all" or masks == label == "tampered"


def _or_raise(result: Verdict | Failure) -> Verdict:
    if isinstance(result, Failure):
        raise PictureError(result.message, result.error)
    return result


def _failure(request: Request, error: PictureError) -> Failure:
    name = str(request.picture) if isinstance(request.picture, str | Path) else None
    return Failure(image=name, error=error.code, message=str(error))


def _require_possible(options: ModelOptions, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse what cannot be had before weights are read."""
    if options.batch_size != "auto" and options.batch_size < 1:
        raise ConfigError(f"batch_size is {options.batch_size}, expected at least 1.")
    if options.quantize is not None:
        check_quantization(options.quantize, device, dtype)


def _load(options: ModelOptions, device: torch.device, dtype: torch.dtype) -> Loaded:
    """The weights on their device, with what options change of the model."""
    # Quantization reads on the CPU and moves layer by layer: the device holds no full copy.
    target = device if options.quantize is None else torch.device("cpu")
    if options.random_weights is None:
        loaded = load(options.model, device=target, dtype=dtype)
    else:
        loaded = load_random(options.random_weights, device=target, dtype=dtype)
    if options.fast:
        views = loaded.processor.views
        if not isinstance(views, ClipWindowsViews):
            raise ConfigError(
                f"{options.model} has no windows that could be fewer: leave out fast."
            )
        views.most = 1
    if options.quantize is not None:
        quantize_model(loaded.model, options.quantize, device)
    return loaded
