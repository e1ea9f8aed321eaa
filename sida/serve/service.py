"""What every route needs: a place, the model's answer, what is drawn and kept of it."""

import asyncio
import base64
import logging
import math
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import Request as Http

from sida.errors import SidaError
from sida.files import write_bytes
from sida.formats import suffix_of
from sida.image.overlay import overlay, png_bytes
from sida.image.read import read_picture
from sida.options import Request
from sida.provenance.inspection import require_provenance
from sida.serve.keys import KeyRing
from sida.serve.metrics import Metrics
from sida.serve.queue import Judge
from sida.serve.refusal import CHAT, Refusal
from sida.serve.schemas import Wishes
from sida.serve.settings import ServeSettings
from sida.serve.uploads import Upload
from sida.verdict import Failure, Verdict

__all__ = ["Service"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Service:
    """One who judges for many; used in the event loop."""

    def __init__(self, judge: Judge, settings: ServeSettings) -> None:
        self.settings = settings
        self.model = judge.model
        self.batch_size = judge.batch_size
        self.thread = judge
        self.keys = KeyRing(settings.keys)
        self.metrics = Metrics()
        self.taken = 0
        self.talked_about: dict[str, Verdict] = {}
        self.metrics.watch(lambda: self.taken, lambda: self.thread.waiting)

    def owner(self, http: Http) -> str:
        """The owner of the request's key; "" where no keys are asked for.

        Raises Refusal with 401, and with 422 for a query, which no route reads: what was asked
        for there would be missing from the answer without a word. A conversation passes over
        fields that it does not know, and so over queries.
        """
        owner = self.keys.owner(http.headers)
        unknown = next(iter(http.query_params), None)
        if unknown is not None and http.url.path != CHAT:
            raise Refusal(
                422,
                "bad_request",
                f"found {unknown[:100]!r} in the address behind ?, where nothing is read: send it "
                "as a field of the form or of the JSON",
            )
        return owner

    @contextmanager
    def place(self, http: Http) -> Iterator[str]:
        """Hold a place of the house; gives the owner of the request's key.

        Raises Refusal with 401, 429 or 503; nothing of the body is read before.
        """
        owner = self.owner(http)
        self.keys.require_left(owner)
        if not self.thread.alive:
            raise Refusal(503, "over_capacity", "the service is ending: ask another")
        if self.taken >= self.settings.places:
            raise self.full(f"all {self.settings.places} places are taken")
        self.taken += 1
        try:
            yield owner
        finally:
            self.taken -= 1

    def full(self, why: str) -> Refusal:
        """429, with the seconds after which what waits now should be done."""
        after = math.ceil(self.thread.seconds_each * (1 + self.thread.waiting))
        return Refusal(
            429,
            "over_capacity",
            f"{why}: ask again in {after} s",
            {"Retry-After": str(after)},
        )

    async def judge(
        self, upload: Upload, wishes: Wishes, http: Http | None = None
    ) -> Verdict | Failure:
        """What the model says of a picture, counted, and kept where pictures are kept.

        Raises Refusal where it takes too long, or the client of `http` has gone away; MissingExtra
        where provenance cannot be looked for.
        """
        if wishes.provenance:
            require_provenance()
        request = Request(
            upload.data,
            explain=wishes.explain,
            provenance=wishes.provenance,
            evidence=wishes.evidence,
        )
        future = asyncio.wrap_future(self.thread.judge(request))
        result = await (future if http is None else self.in_time(future, http))
        self.metrics.pictures(result)
        if isinstance(result, Verdict) and self.settings.keep is not None:
            await asyncio.to_thread(_keep, self.settings.keep, result, upload)
        return result.model_copy(update={"image": upload.name})

    async def answer(
        self, upload: Upload, wishes: Wishes, http: Http | None = None
    ) -> dict[str, Any]:
        """A verdict with what is drawn of it, or a failure, as JSON holds them; see `judge`."""
        result = await self.judge(upload, wishes, http)
        answer = result.model_dump(mode="json")
        if isinstance(result, Verdict) and (wishes.masks or wishes.overlays or wishes.evidence):
            answer |= await asyncio.to_thread(_drawn, result, upload, wishes)
        return answer

    async def in_time(self, work: Awaitable[T], http: Http) -> T:
        """What comes of the work, which is cancelled where it takes too long or nobody waits.

        Raises Refusal then.
        """
        future = asyncio.ensure_future(work)
        gone = asyncio.create_task(_gone(http))
        try:
            await asyncio.wait(
                {future, gone},
                timeout=self.settings.time_limit,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if future.done():
                return future.result()
            if gone.done():
                raise Refusal(400, "bad_request", "the client has gone away")
            raise Refusal(
                503,
                "too_slow",
                f"the answer took longer than {self.settings.time_limit:g} s: ask again later",
                {"Retry-After": "10"},
            )
        finally:
            future.cancel()
            gone.cancel()


async def _gone(http: Http) -> None:
    """Return when the client has gone away; its body was read before."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _drawn(verdict: Verdict, upload: Upload, wishes: Wishes) -> dict[str, str | None]:
    """Mask, overlay and evidence in base64, as wanted; None where there is nothing to draw."""
    mask, probability = verdict.mask, verdict.probability_map
    drawn: dict[str, str | None] = {}
    if wishes.masks:
        drawn["mask_png"] = None if mask is None else _text(png_bytes(mask))
        drawn["probability_png"] = _levels(probability)
    if wishes.evidence:
        drawn["evidence_png"] = _levels(verdict.evidence_map)
    if wishes.overlays:
        drawn["overlay_png"] = None
        if mask is not None:
            pixels = read_picture(upload.data).pixels
            drawn["overlay_png"] = _text(png_bytes(overlay(pixels, mask)))
    return drawn


def _levels(values: np.ndarray | None) -> str | None:
    """Values (height, width) in 0-1 as a PNG of 256 levels."""
    return None if values is None else _text(png_bytes(np.rint(255 * values).astype(np.uint8)))


def _keep(folder: Path, verdict: Verdict, upload: Upload) -> None:
    """Keep a picture under its hash; a disk that refuses costs the keeping alone."""
    kind = verdict.format or "bin"
    place = folder / f"{verdict.sha256}{suffix_of(kind)}"
    try:
        if not place.exists():
            write_bytes(place, upload.data)
    except (SidaError, OSError) as error:
        log.error("a picture was not kept: %s", error)


def _text(png: bytes) -> str:
    return base64.b64encode(png).decode()
