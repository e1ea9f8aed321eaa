"""`Service`: slots, results, drawings and pictures that are kept, for every route."""

import asyncio
import base64
import logging
import math
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from fastapi import Request as Http
from pydantic import JsonValue

from sida.errors import SidaError
from sida.files import write_bytes
from sida.formats import suffix_of
from sida.html import small_jpeg
from sida.image.deliveries import deliver, shrink
from sida.image.overlay import overlay, png_bytes
from sida.image.read import read_picture
from sida.model.budget import require_calibration
from sida.options import Request
from sida.provenance.inspection import require_provenance
from sida.serve.backend import Backend
from sida.serve.errors import CHAT, HttpError
from sida.serve.keys import KeyRing
from sida.serve.metrics import Metrics
from sida.serve.schemas import Budgets, DetectParameters, Listed
from sida.serve.settings import ServeSettings
from sida.serve.uploads import Upload
from sida.verdict import Failure, Verdict

__all__ = ["Service"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Service:
    """A backend shared by many requests; used in the event loop."""

    def __init__(self, backend: Backend, settings: ServeSettings) -> None:
        self.settings = settings
        self.model = backend.model
        self.batch_size = backend.batch_size
        self.backend = backend
        self.keys = KeyRing(settings.keys)
        self.metrics = Metrics()
        self.active = 0
        self.chat_verdicts: dict[tuple[str, float | None], Verdict] = {}
        if settings.max_false_positives is not None:
            self.require_budget(settings.max_false_positives)
        self.metrics.watch(lambda: self.active, lambda: self.backend.queued)

    def owner(self, http: Http) -> str:
        """The owner of the request's key; "" where no keys are asked for.

        Raises HttpError with 401, and with 422 for a query, which no route reads: what was asked
        for there would be missing from the answer without a word. A conversation passes over
        fields that it does not know, and so over queries.
        """
        owner = self.keys.owner(http.headers)
        unknown = next(iter(http.query_params), None)
        if unknown is not None and http.url.path != CHAT:
            raise HttpError(
                422,
                "bad_request",
                f"found the query parameter {unknown[:100]!r}, and no route reads any: send it "
                "as a field of the form or of the JSON",
            )
        return owner

    @contextmanager
    def slot(self, http: Http) -> Iterator[str]:
        """Hold a slot; yields the owner of the request's key.

        Raises HttpError with 401, 429 or 503; nothing of the body is read before.
        """
        owner = self.owner(http)
        self.keys.require_left(owner)
        if not self.backend.alive:
            raise HttpError(503, "over_capacity", "the service is shutting down: use another")
        if self.active >= self.settings.places:
            raise self.over_capacity(f"all {self.settings.places} slots are in use")
        # No await between the test and this line: in the event loop they are one step.
        self.active += 1
        try:
            yield owner
        finally:
            self.active -= 1

    def listed(self) -> Listed:
        """The model as a list of models has it."""
        calibration = self.backend.budget_calibration
        budgets = (
            None
            if calibration is None
            else Budgets(
                set=calibration.set,
                photographs=calibration.photographs,
                smallest=calibration.smallest_budget,
                default=self.settings.max_false_positives,
            )
        )
        return Listed(id=self.model.name, sida=self.model, budgets=budgets)

    def require_budget(self, max_false_positives: float) -> None:
        """Raise ConfigError where the model cannot promise so small a share."""
        calibration = require_calibration(self.backend.budget_calibration, self.model.name)
        calibration.budget(max_false_positives)

    def share_of(self, max_false_positives: float | None) -> float | None:
        """The budget of a request: its own, or that of the settings. Raises as `require_budget`.

        Asked before a request is queued: in the model's thread it would end the others' run.
        """
        share = max_false_positives or self.settings.max_false_positives
        if share is not None:
            self.require_budget(share)
        return share

    def over_capacity(self, reason: str) -> HttpError:
        """429, with the seconds after which what waits now should be done."""
        after = math.ceil(self.backend.seconds_per_picture * (1 + self.backend.queued))
        return HttpError(
            429,
            "over_capacity",
            f"{reason}: retry in {after} s",
            {"Retry-After": str(after)},
        )

    async def detect(
        self, upload: Upload, parameters: DetectParameters, http: Http | None = None
    ) -> Verdict | Failure:
        """The result for a picture, counted; the picture is kept where pictures are.

        Raises HttpError where it takes too long, or the client of `http` has gone away;
        MissingExtra where provenance cannot be looked for, ConfigError where a budget cannot be
        kept.
        """
        if parameters.provenance:
            require_provenance()
        request = Request(
            upload.data,
            explain=parameters.explain,
            provenance=parameters.provenance,
            evidence=parameters.evidence,
            stability=parameters.stability,
            max_false_positives=self.share_of(parameters.max_false_positives),
        )
        # Cancelling the wrapped future cancels the backend's, which leaves the queue.
        future = asyncio.wrap_future(self.backend.submit(request))
        result = await (future if http is None else self.with_timeout(future, http))
        self.metrics.pictures(result)
        if isinstance(result, Verdict) and self.settings.keep is not None:
            await asyncio.to_thread(_keep, self.settings.keep, result, upload)
        return result.model_copy(update={"image": upload.name})

    async def answer(
        self, upload: Upload, parameters: DetectParameters, http: Http | None = None
    ) -> dict[str, JsonValue]:
        """A verdict with its drawings, or a failure, as JSON holds them; see `detect`."""
        result = await self.detect(upload, parameters, http)
        answer: dict[str, JsonValue] = result.model_dump(mode="json")
        if isinstance(result, Verdict):
            # In a worker thread: what is drawn would hold up the event loop.
            answer |= await asyncio.to_thread(_drawings, result, upload, parameters)
        return answer

    async def with_timeout(self, work: Awaitable[T], http: Http) -> T:
        """The result of the work, cancelled where it takes too long or nobody waits.

        Raises HttpError then.
        """
        future = asyncio.ensure_future(work)
        # Nothing else reads from the client any more, so its next message is that it has gone.
        disconnected = asyncio.create_task(_disconnected(http))
        try:
            await asyncio.wait(
                {future, disconnected},
                timeout=self.settings.time_limit,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if future.done():
                return future.result()
            if disconnected.done():
                raise HttpError(400, "bad_request", "the client has gone away")
            raise HttpError(
                503,
                "too_slow",
                f"the answer took longer than {self.settings.time_limit:g} s: retry later",
                {"Retry-After": "10"},
            )
        finally:
            future.cancel()
            disconnected.cancel()


async def _disconnected(http: Http) -> None:
    """Return when the client has gone away; its body was read before."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _drawings(
    verdict: Verdict, upload: Upload, parameters: DetectParameters
) -> dict[str, JsonValue]:
    """Drawings in base64, as wanted; None where there is nothing to draw."""
    mask, probability = verdict.mask, verdict.probability_map
    drawings: dict[str, JsonValue] = {}
    if parameters.masks:
        drawings["mask_png"] = None if mask is None else _text(png_bytes(mask))
        drawings["probability_png"] = _levels(probability)
    if parameters.evidence:
        drawings["evidence_png"] = _levels(verdict.evidence_map)
    shown = mask if parameters.overlays else None
    deliveries = verdict.stability.deliveries if verdict.stability and parameters.deliveries else ()
    # Decoded once for both, and only for those.
    pixels = read_picture(upload.data).pixels if shown is not None or deliveries else None
    if parameters.overlays:
        drawings["overlay_png"] = None
        if pixels is not None and shown is not None:
            drawings["overlay_png"] = _text(png_bytes(overlay(pixels, shown)))
    if parameters.deliveries:
        drawings["delivery_jpegs"] = None
        if pixels is not None and deliveries:
            small = shrink(pixels)
            drawings["delivery_jpegs"] = {
                each.name: _text(small_jpeg(deliver(small, each.name))) for each in deliveries
            }
    return drawings


def _levels(values: np.ndarray | None) -> str | None:
    """Values (height, width) in 0-1 as a PNG of 256 levels."""
    return None if values is None else _text(png_bytes(np.rint(255 * values).astype(np.uint8)))


def _keep(folder: Path, verdict: Verdict, upload: Upload) -> None:
    """Keep a picture under its hash; a disk that refuses costs the keeping alone."""
    path = folder / f"{verdict.sha256}{suffix_of(verdict.format or 'bin')}"
    try:
        if not path.exists():
            write_bytes(path, upload.data)
    except (SidaError, OSError) as error:
        log.error("a picture could not be kept: %s", error)


def _text(image: bytes) -> str:
    return base64.b64encode(image).decode()
