"""Batches: accepted at once, judged by and by, looked at with GET or followed as events."""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from sida.serve.detect import PROBLEMS, body
from sida.serve.refusal import Refusal
from sida.serve.schemas import BATCH, JobState, Problem, SeveralPictures, Wishes
from sida.serve.service import Service
from sida.serve.uploads import Upload, read_several

__all__ = ["Jobs", "routes"]

log = logging.getLogger(__name__)

WORKING = 8
"""Most batches that are being judged at once."""
KEPT = 64
"""Most batches whose answers are kept, and most bytes of these answers, also of a single batch."""
KEPT_BYTES = 256_000_000


class Job:
    """A batch: its answers so far, each as JSON."""

    def __init__(self, owner: str, total: int) -> None:
        self.id = secrets.token_urlsafe(16)
        self.owner, self.total = owner, total
        self.results: list[bytes] = []
        self.bytes = 0
        self.changed = asyncio.Condition()

    @property
    def done(self) -> bool:
        return len(self.results) == self.total

    @property
    def progress(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": "done" if self.done else "working",
            "done": len(self.results),
            "total": self.total,
        }

    def state(self) -> bytes:
        """`JobState` as JSON."""
        head = json.dumps(self.progress)[:-1].encode()
        return head + b', "results": [' + b", ".join(self.results) + b"]}"

    async def add(self, answer: dict[str, Any]) -> None:
        """One more answer; those who follow are told."""
        text = json.dumps(answer).encode()
        if self.bytes + len(text) > KEPT_BYTES:
            message = "the batch's answers are too large: ask for fewer pictures, or no overlays"
            problem = Problem(image=answer["image"], error="too_large", message=message)
            text = problem.model_dump_json().encode()
        self.bytes += len(text)
        async with self.changed:
            self.results.append(text)
            self.changed.notify_all()

    async def events(self, seen: int) -> AsyncIterator[bytes]:
        """Server-sent events: `result` for each answer after `seen`, then `done`."""
        seen = min(seen, len(self.results))
        while True:
            while seen < len(self.results):
                yield _event("result", self.results[seen], seen + 1)
                seen += 1
            if self.done:
                yield _event("done", json.dumps(self.progress).encode(), seen)
                return
            async with self.changed:
                if seen == len(self.results):
                    await self.changed.wait()


class Jobs:
    """The batches of a service; those that are done are forgotten, oldest first."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def require_room(self) -> None:
        """Raises Refusal with 429 where too many batches are being judged."""
        if len(self._tasks) >= WORKING:
            raise self._service.full(f"{WORKING} batches are being judged")

    def start(self, owner: str, uploads: list[Upload], wishes: Wishes) -> Job:
        """Begin a batch. Raises Refusal as `require_room`."""
        self.require_room()
        job = Job(owner, len(uploads))
        self._jobs[job.id] = job
        task = asyncio.create_task(self._work(job, deque(uploads), wishes))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def find(self, id: str, owner: str) -> Job:
        """A batch of that owner. Raises Refusal with 404."""
        job = self._jobs.get(id)
        if job is None or job.owner != owner:
            raise Refusal(
                404, "not_found", "there is no such job, or its answers are no longer kept"
            )
        return job

    async def finish(self) -> None:
        """Wait until all that was accepted is judged."""
        await asyncio.gather(*self._tasks)

    async def _work(self, job: Job, uploads: deque[Upload], wishes: Wishes) -> None:
        """Judge in order, two micro-batches at a time, so that single pictures come between."""
        begun: deque[asyncio.Task[dict[str, Any]]] = deque()
        while uploads or begun:
            while uploads and len(begun) < 2 * self._service.batch_size:
                answer = self._service.answer(uploads.popleft(), wishes)
                begun.append(asyncio.create_task(answer))
            await job.add(await _answer_or_problem(begun.popleft()))
        self._forget()

    def _forget(self) -> None:
        done = [job for job in self._jobs.values() if job.done]
        held = sum(job.bytes for job in done)
        for job in done[:-1]:
            if len(self._jobs) <= KEPT and held <= KEPT_BYTES:
                return
            held -= job.bytes
            del self._jobs[job.id]


async def _answer_or_problem(task: "asyncio.Task[dict[str, Any]]") -> dict[str, Any]:
    try:
        return await task
    except Exception as error:
        log.exception("a picture of a batch was not answered")
        message = f"this is a defect of sida ({type(error).__name__}): the service's log has more"
        return Problem(error="defect", message=message).model_dump()


def _event(kind: str, data: bytes, number: int) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), data)


def routes(service: Service, jobs: Jobs) -> APIRouter:
    """The routes, for the app."""
    router = APIRouter(tags=["batches"])
    files = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": BATCH,
    }

    @router.post(
        "/v1/detect/batch",
        status_code=202,
        response_model=JobState,
        responses=PROBLEMS,
        openapi_extra=body(SeveralPictures, files),
    )
    async def batch(http: Request) -> Response:
        """Accept pictures; what is answered is a job, to be asked for under `Location`."""
        with service.place(http) as owner:
            jobs.require_room()
            uploads, wishes = await read_several(http, service.settings)
            job = jobs.start(owner, uploads, wishes)
            service.keys.charge(owner, len(uploads))
        return _json(job.state(), 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.get(
        "/v1/jobs/{id}",
        response_model=JobState,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **{status: PROBLEMS[status] for status in (401, 429)},
            404: {"model": Problem, "description": "No such job."},
        },
    )
    async def job(
        id: str,
        http: Request,
        accept: Annotated[str, Header()] = "",
        last_event_id: Annotated[str, Header()] = "",
    ) -> Response:
        """How far a job has come; with `Accept: text/event-stream`, its answers as they come."""
        found = jobs.find(id, service.owner(http))
        if "text/event-stream" in accept:
            seen = int(last_event_id[:9]) if last_event_id.isdecimal() else 0
            return StreamingResponse(found.events(seen), media_type="text/event-stream")
        return _json(found.state(), 200)

    return router


def _json(text: bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, headers, media_type=JSONResponse.media_type)
