"""`Detector`: load a model, detect. Read from top to bottom, this is the way of a picture.

detector = Detector.load()
verdict = detector.detect("photo.jpg", explain=True)
for verdict in detector.detect_many(paths): ...
for text in detector.chat("photo.jpg").ask("Is the light right?"): ...
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sida.errors import ConfigError, PictureError
from sida.explanation.cues import Cue, measure
from sida.explanation.wording import (
    Facts,
    claims,
    corrected,
    evidence_text,
    facts_of,
    facts_text,
    parse,
    statements,
    window_facts,
)
from sida.image.arrays import Pixels
from sida.image.deliveries import DELIVERIES, deliver, shrink
from sida.image.geometry import position_of
from sida.image.prefetch import prefetch, read_or_error
from sida.image.read import Picture, Source
from sida.image.suitability import unsuitable
from sida.inference.conversation import Conversation
from sida.inference.device import out_of_memory, resolve, use_native_bfloat16
from sida.inference.engine import (
    Engine,
    GeneratedText,
    ImageOutput,
    MaskRule,
    TextPrompt,
    WindowLogits,
)
from sida.inference.malloc import trim
from sida.inference.memory import fitting_batch, micro_batches, within_memory
from sida.inference.quantize import check as check_quantization
from sida.inference.quantize import quantize as quantize_model
from sida.model.budget import choose_calibration, read_calibration, require_calibration
from sida.model.checkpoint import CONTRADICTIONS, Loaded, load, load_random
from sida.model.clip_windows import SYNTHETIC, ClipWindows
from sida.model.frame import Frame, Window
from sida.model.image_processors import ClipWindowsImageProcessor
from sida.model.presets import PRESETS
from sida.model.processor import PreparedImage
from sida.options import BatchSize, DetectOptions, MaskFor, ModelOptions, Request
from sida.provenance.inspection import inspect
from sida.verdict import (
    LABELS,
    Budget,
    Declared,
    DeliveryVerdict,
    Evidence,
    Explanation,
    Failure,
    Label,
    Localization,
    ModelInfo,
    Probabilities,
    Provenance,
    Stability,
    Verdict,
    WindowEvidence,
    regions_from_mask,
)

__all__ = ["Detector", "Request"]

TRIM_EVERY = 32
"""Micro-batches after which free memory is given back."""
THRESHOLD = 0.5
"""Probability above which a pixel is in the mask."""


class _Prepared(NamedTuple):
    """A request with its picture, decoded and cut into windows.

    Attributes:
        unfit: why a model that can be wrong about such pictures should not judge it.
    """

    request: Request
    picture: Picture
    image: PreparedImage
    unfit: str | None
    budget: Budget | None
    provenance: Provenance | None


class _DeliveryTask(NamedTuple):
    """A delivery to be made of the picture of that number in its batch."""

    number: int
    name: str
    pixels: Pixels


class _Delivered(NamedTuple):
    """A delivery of a picture, cut into windows."""

    task: _DeliveryTask
    picture: Picture
    image: PreparedImage
    unfit: str | None


class _Unreadable(NamedTuple):
    """A request with the reason why its picture cannot be read."""

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
        self.budget_calibration = choose_calibration(
            options.calibration, loaded.budget_calibration, loaded.digest, options.fast
        )
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
        calibration: str | Path | None = None,
    ) -> "Detector":
        """Load a model by name, from a folder (ours or the published layout) or from a hub.

        The arguments are the fields of `ModelOptions`, but that `calibration` is the path of its
        file; the errors are those of `from_options`, and of `read_calibration`.
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
                calibration=None if calibration is None else read_calibration(calibration),
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
                is no preset or file of `random_weights`, or its sizes make no network; the
                calibration is none, or that of another model.
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
        """Run one picture with mask and text: some contradictions of sizes show only in a pass."""
        model, size = self.engine.model, len(self.engine.processor.tokenizer)
        rows = model.config.language.vocab_size
        if rows < size:
            raise ValueError(f"vocab is {rows}, the embedded tokenizer has {size} pieces")
        grey = Picture(np.full((1024, 1024, 3), 128, np.uint8))
        self.engine.infer_each([grey], [lambda _: True], [True])

    def detect(
        self,
        picture: Source,
        masks: MaskFor = DetectOptions.masks,
        explain: bool = DetectOptions.explain,
        provenance: bool = DetectOptions.provenance,
        evidence: bool = DetectOptions.evidence,
        max_false_positives: float | None = DetectOptions.max_false_positives,
        stability: bool = DetectOptions.stability,
    ) -> Verdict:
        """The verdict of one picture; the arguments are the fields of `DetectOptions`.

        Raises:
            PictureError: it cannot be read or judged; its text says why.
            ConfigError: there is no calibration for a budget, or none for so small a share.
        """
        options = DetectOptions(
            masks=masks,
            explain=explain,
            provenance=provenance,
            evidence=evidence,
            max_false_positives=max_false_positives,
            stability=stability,
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
        max_false_positives: float | None = DetectOptions.max_false_positives,
        stability: bool = DetectOptions.stability,
    ) -> Iterator[Verdict | Failure]:
        """Verdicts of pictures in their order, drawn as needed; an unreadable one is a Failure."""
        options = DetectOptions(
            masks=masks,
            explain=explain,
            provenance=provenance,
            evidence=evidence,
            max_false_positives=max_false_positives,
            stability=stability,
        )
        return self.run(Request.of(picture, options) for picture in pictures)

    def budget(self, max_false_positives: float) -> Budget:
        """The budget with the threshold that keeps it.

        Raises:
            ConfigError: the model has no calibration for it, or one on too few photographs.
        """
        calibration = require_calibration(self.budget_calibration, self.model.name)
        return calibration.budget(max_false_positives)

    def run(self, requests: Iterable[Request]) -> Iterator[Verdict | Failure]:
        """Results of requests in their order, in micro-batches (`micro_batches`), reading ahead."""
        prepared = prefetch(self._read, requests, buffer_size=2 * self.batch_size)
        for number, batch in enumerate(micro_batches(prepared, self.batch_size), 1):
            yield from self._detect(batch)
            if number % TRIM_EVERY == 0 and self.device.type == "cpu":
                trim()

    def chat(
        self,
        picture: Source,
        history: Sequence[tuple[str, str]] = (),
        verdict: Verdict | None = None,
        max_false_positives: float | None = DetectOptions.max_false_positives,
    ) -> Conversation:
        """A conversation about one picture, which begins with its verdict.

        Args:
            picture: as `detect` takes it.
            history: questions with their answers that came before.
            verdict: of the same picture, from a conversation about it; none is made again.
            max_false_positives: as of `DetectOptions`.

        Raises:
            PictureError: it cannot be read or judged; its text says why.
            ConfigError: there is no calibration for a budget, or none for so small a share.
        """
        explain = self.engine.explains and not self.engine.converses
        request = Request(picture, explain=explain, max_false_positives=max_false_positives)
        prepared = self._read(request)
        if isinstance(prepared, _Unreadable):
            raise prepared.picture
        if verdict is None:
            (result,) = self._detect([prepared])
            verdict = _or_raise(result)
        # The verdict is made before anything is asked, so no wording can change it.
        return Conversation(self.engine, verdict, prepared.image, history)

    def _read(self, request: Request) -> _Prepared | _Unreadable:
        """Decode a picture and cut it into windows; threads do this while the model runs."""
        share = request.max_false_positives
        budget = None if share is None else self.budget(share)
        picture = read_or_error(request.picture, self.options.max_pixels)
        if isinstance(picture, PictureError):
            return _Unreadable(request, picture)
        # A CPU that computes masks has better things to do than cut windows nobody may want.
        idle = self.device.type != "cpu" and request.masks == "tampered"
        try:
            image = self.engine.processor.preprocess(picture, masks=idle or request.masks == "all")
        except MemoryError:
            message = (
                "there is not enough memory to prepare the picture: make it smaller, or free memory"
            )
            return _Unreadable(request, PictureError(message, "out_of_memory"))
        return _Prepared(
            request, picture, image, self._unfit(picture), budget, self._provenance(request)
        )

    def _unfit(self, picture: Picture) -> str | None:
        return unsuitable(picture.pixels) if self.weighs_windows else None

    def _provenance(self, request: Request) -> Provenance | None:
        """The provenance of the picture, where it is asked for."""
        if not request.provenance:
            return None
        # The file is read anew, so that nothing of its metadata can reach the verdict.
        try:
            return inspect(request.picture, trust=self.options.trust)
        except (PictureError, MemoryError) as error:
            message = f"could not be looked for: {str(error) or 'there is not enough memory'}"
            unread = Declared(name="provenance", value=message, source="file", state="not read")
            return Provenance(declared=(unread,))

    def _detect(self, batch: Sequence[_Prepared | _Unreadable]) -> Iterator[Verdict | Failure]:
        """A result for each request, in their order; what cannot be read or judged is a Failure."""
        results = within_memory(
            self._verdicts, [item for item in batch if isinstance(item, _Prepared)]
        )
        for item in batch:
            result = next(results) if isinstance(item, _Prepared) else item.picture
            if isinstance(result, PictureError):
                yield _failure(item.request, result)
            else:
                yield result

    def _verdicts(self, batch: Sequence[_Prepared]) -> Iterator[Verdict | PictureError]:
        """Verdicts of a micro-batch from one forward pass, its explanations written together."""
        start = time.perf_counter()
        requests = [item.request for item in batch]
        outputs: list[ImageOutput | PictureError | None] = [
            *self.engine.infer_each(
                [item.image for item in batch],
                [self._mask_rule(item.request, item.budget) for item in batch],
                [request.explain for request in requests],
                [request.explain or request.evidence for request in requests],
            )
        ]
        stabilities: dict[int, Stability] = {}
        for i, result in self._stabilities(batch, outputs).items():
            if isinstance(result, PictureError):
                outputs[i] = result
            else:
                stabilities[i] = result
        # Texts are generated for the whole batch, so the drafts they need are made first.
        drafts = {
            i: self._draft(batch[i], output, stabilities.get(i))
            for i, output in enumerate(outputs)
            if isinstance(output, ImageOutput) and output.cache is not None
        }
        texts = self.engine.explain([draft.prompt for draft in drafts.values() if draft.prompt])
        explanations = dict(zip(drafts, texts, strict=True))
        shared = (time.perf_counter() - start) / len(batch)
        for i, item in enumerate(batch):
            # Masks in full size are made one at a time, and the list lets go of the logits of those
            # that are handed out: a batch of large pictures holds one pair of both at most.
            output, outputs[i] = outputs[i], None
            assert output is not None
            if isinstance(output, PictureError):
                yield output
                continue
            start = time.perf_counter()
            draft = drafts.pop(i, None) or self._draft(item, output, stabilities.get(i))
            seconds = shared + time.perf_counter() - start
            yield self._verdict(draft, explanations.get(i), seconds)

    def _stabilities(
        self, batch: Sequence[_Prepared], outputs: Sequence[ImageOutput | PictureError | None]
    ) -> dict[int, Stability | PictureError]:
        """For each picture that asks: the verdicts on its deliveries, held against its own."""
        decisions = {
            i: self._decide(output.class_logits, item.budget, item.unfit)
            for i, (item, output) in enumerate(zip(batch, outputs, strict=True))
            if item.request.stability and isinstance(output, ImageOutput)
        }

        def tasks() -> Iterator[_DeliveryTask]:
            for i in decisions:
                pixels = shrink(batch[i].picture.pixels)
                yield from (_DeliveryTask(i, name, pixels) for name in DELIVERIES)

        verdicts: dict[int, list[DeliveryVerdict]] = {i: [] for i in decisions}
        errors: dict[int, PictureError] = {}
        # Made in threads and a few at a time: together they may be larger than their picture.
        deliveries = prefetch(self._deliver, tasks(), buffer_size=self.batch_size)
        for part in micro_batches(deliveries, self.batch_size):
            for delivered, output in zip(part, within_memory(self._infer, part), strict=True):
                i, item = delivered.task.number, batch[delivered.task.number]
                if isinstance(output, PictureError):
                    errors[i] = output
                    continue
                # Whatever is unfit stays so when it is delivered: JPEG can hide a drawing.
                unfit = item.unfit or delivered.unfit
                decision = self._decide(output.class_logits, item.budget, unfit)
                verdicts[i].append(
                    DeliveryVerdict(
                        name=delivered.task.name,
                        label=decision.label,
                        probabilities=_probabilities(decision.probabilities),
                        inconclusive=decision.inconclusive,
                        unsuitable=unfit,
                        held=decision.agrees(decisions[i]),
                    )
                )
        return {i: errors.get(i) or Stability.among(row) for i, row in verdicts.items()}

    def _deliver(self, task: _DeliveryTask) -> _Delivered:
        picture = Picture(deliver(task.pixels, task.name))
        image = self.engine.processor.preprocess(picture)
        return _Delivered(task, picture, image, self._unfit(picture))

    def _infer(self, batch: Sequence[_Delivered]) -> Iterator[ImageOutput | PictureError]:
        """Outputs of deliveries: class logits, and neither masks nor texts."""
        rules: list[MaskRule] = [lambda _: False] * len(batch)
        yield from self.engine.infer_each(
            [item.image for item in batch], rules, [False] * len(batch)
        )

    def _mask_rule(self, request: Request, budget: Budget | None) -> MaskRule:
        """A mask is made to be handed out, or to be measured in for an explanation."""
        measures = request.explain and self.engine.explains

        def needs(class_logits: np.ndarray) -> bool:
            label = self._decide(class_logits, budget, unfit=None).label
            return _wants_mask(request.masks, label) or (measures and label == "tampered")

        return needs

    def _decide(
        self, class_logits: np.ndarray, budget: Budget | None, unfit: str | None
    ) -> "_Decision":
        """The decision by class logits (3,), under a budget where there is one."""
        probabilities = self.calibration.probabilities(class_logits)
        label = LABELS[int(probabilities.argmax())]
        unsure = self.calibration.inconclusive(probabilities)
        if budget is not None:
            label, unsure = budget.decide(probabilities.tolist(), unsure)
        if unfit is not None and (self.calibration.fitted or budget is not None):
            unsure = True
        return _Decision(probabilities, label, unsure)

    def _draft(
        self, prepared: _Prepared, output: ImageOutput, stability: Stability | None
    ) -> "_Draft":
        """Mask and cues of a picture, and the prompt of its explanation.

        Which masks are handed out does not matter for a text: there is a region only where the
        label says so.
        """
        request, picture = prepared.request, prepared.picture
        decision = self._decide(output.class_logits, prepared.budget, prepared.unfit)
        label, unsure = decision.label, decision.inconclusive
        unstable = False
        if prepared.budget is not None and stability is not None and not stability.stable:
            # Under a budget; without one, it is for the reader to decide what stability is worth.
            unsure, unstable = True, not unsure
        altered = None if output.mask_logits is None else self._localize(output.mask_logits)
        evidence = None
        if output.evidence is not None:
            evidence = self._window_evidence(output.evidence, picture)
        prompt, facts = None, None
        cues: tuple[Cue, ...] = ()
        if output.cache is not None:
            mask = None if altered is None else altered.mask
            cues = measure(picture.pixels, mask) if mask is not None and label == "tampered" else ()
            entries = () if evidence is None else evidence.windows
            windows = [(entry.position, entry.probabilities[label]) for entry in entries]
            facts = facts_of(label, mask, cues, windows=window_facts(label, windows), unsure=unsure)
            prompt = TextPrompt(output.cache, label, facts_text(facts))
        # Only now: a mask that is not handed out may still have been measured in, for the text.
        if not _wants_mask(request.masks, label):
            altered = None
        evidence_map = None
        if evidence is not None and request.evidence:
            evidence_map = self._evidence_map(output.evidence, picture)
        return _Draft(
            prepared,
            decision._replace(inconclusive=unsure),
            stability,
            unstable,
            altered,
            prompt,
            cues,
            facts,
            evidence,
            evidence_map,
        )

    def _window_evidence(self, logits: WindowLogits, picture: Picture) -> Evidence:
        """The verdicts there would be, were all of the picture like one of its windows."""
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
        """(height, width) float32: how far each place looks generated."""
        assert logits is not None
        generated = self.calibration.probabilities(logits.patches)[..., SYNTHETIC]
        side = generated.shape[-1]
        windows = tuple(Window(box, (side, side), (side, side)) for box in logits.boxes)
        height, width = picture.pixels.shape[:2]
        return Frame(height, width, windows).restore(torch.tensor(generated)).numpy()

    def _verdict(
        self,
        draft: "_Draft",
        text: GeneratedText | None,
        seconds: float,
    ) -> Verdict:
        request, picture, _, unfit, budget, provenance = draft.prepared
        decision, stability, altered = draft.decision, draft.stability, draft.altered
        warnings = list(picture.warnings)
        if unfit is not None:
            warnings.append(f"Do not rely on this verdict: {unfit}.")
        if stability is not None and draft.unstable:
            held = f"only {stability.held}" if stability.held else "none"
            warnings.append(
                f"Inconclusive under the budget, since it holds in {held} of {stability.of} "
                "deliveries."
            )
        if request.explain and text is None:
            warnings.append(
                f"{self.model.name} was not trained to explain: use a description model."
            )
        verdict = Verdict(
            image=picture.name,
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            label=decision.label,
            probabilities=_probabilities(decision.probabilities),
            calibrated=self.calibration.fitted,
            inconclusive=decision.inconclusive,
            unsuitable=unfit,
            budget=budget,
            stability=stability,
            localization=None if altered is None else altered.localization,
            explanation=None if text is None else _explanation(text, draft),
            evidence=draft.evidence if request.evidence or request.explain else None,
            provenance=provenance,
            model=self.model,
            warnings=tuple(warnings),
            seconds=round(seconds, 4),
        )
        return verdict.with_arrays(
            mask=None if altered is None else altered.mask,
            probability_map=None if altered is None else altered.probability_map,
            evidence_map=draft.evidence_map,
            picture=request.picture,  # not its pixels: a list of verdicts would keep them all
        )

    def _localize(self, logits: np.ndarray) -> "_Altered":
        probability_map = self.calibration.pixels(logits)
        mask = probability_map > THRESHOLD
        localization = Localization(
            area=float(mask.mean()),
            threshold=THRESHOLD,
            regions=regions_from_mask(mask, probability_map),
        )
        return _Altered(mask, probability_map, localization)


class _Altered(NamedTuple):
    """A mask in the picture's pixels, the probabilities it is made of, and its figures."""

    mask: np.ndarray
    probability_map: np.ndarray
    localization: Localization


class _Decision(NamedTuple):
    """Probabilities (3,) of the labels, and what is decided by them."""

    probabilities: np.ndarray
    label: Label
    inconclusive: bool

    def agrees(self, other: "_Decision") -> bool:
        """True where both come to the same: one label that is stated, or nothing."""
        if self.inconclusive or other.inconclusive:
            return self.inconclusive and other.inconclusive
        return self.label == other.label


class _Draft(NamedTuple):
    """All of a verdict but its explanation.

    Attributes:
        unstable: it would be stated, but is not as it does not hold in deliveries.
    """

    prepared: _Prepared
    decision: _Decision
    stability: Stability | None
    unstable: bool
    altered: _Altered | None
    prompt: TextPrompt | None
    cues: tuple[Cue, ...]
    facts: Facts | None
    evidence: Evidence | None
    evidence_map: np.ndarray | None


def _probabilities(row: np.ndarray) -> Probabilities:
    return Probabilities(**dict(zip(LABELS, map(float, row), strict=True)))


def _explanation(generated: GeneratedText, draft: "_Draft") -> Explanation:
    """A generated text in its parts, its claims checked; behind it the evidence of windows.

    Where there is such evidence, nothing is told against it or against what was measured: a text
    that states another type than the verdict is left out, and the explanation is not complete; a
    cue is told as it was measured.
    """
    text, complete = generated.text, generated.complete
    if draft.facts is not None and draft.evidence is not None:
        types = {x.value for x in statements(text) if x.about == "type"}
        if types - {draft.decision.label}:
            text, complete = "", False
        text = corrected(text, draft.facts)
        end = "" if not text or text.endswith(".") else "."
        text = f"{text}{end} {evidence_text(draft.facts)}".strip()
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
    use_native_bfloat16(loaded.model, options.dtype)
    if options.fast:
        processor = loaded.processor.image_processor
        if not isinstance(processor, ClipWindowsImageProcessor):
            raise ConfigError(
                f"{options.model} has no windows that could be fewer: leave out fast."
            )
        processor.max_windows = 1
    if options.quantize is not None:
        quantize_model(loaded.model, options.quantize, device)
    return loaded
