"""Batches: accepted at once, processed in turn, polled with GET or followed as events."""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import JsonValue

from sida.serve.detect import PROBLEMS, body
from sida.serve.errors import HttpError
from sida.serve.schemas import BATCH, DetectParameters, JobState, Problem, SeveralPictures
from sida.serve.service import Service
from sida.serve.uploads import Upload, read_several

__all__ = ["BatchJobs", "routes"]

log = logging.getLogger(__name__)

MAX_RUNNING = 8
"""Most batches in progress."""
MAX_FINISHED = 64
"""Most finished batches that are kept, and most bytes of their answers, also of a single batch."""
MAX_FINISHED_BYTES = 256_000_000


class BatchJob:
    """A batch: its answers so far, each as JSON."""

    def __init__(self, owner: str, total: int) -> None:
        # It cannot be guessed: where no keys are asked for, the id alone gives access.
        self.id = secrets.token_urlsafe(16)
        self.owner, self.total = owner, total
        self.results: list[bytes] = []
        self.bytes = 0
        self.changed = asyncio.Condition()

    @property
    def is_done(self) -> bool:
        return len(self.results) == self.total

    @property
    def progress(self) -> dict[str, JsonValue]:
        return {
            "id": self.id,
            "state": "done" if self.is_done else "working",
            "done": len(self.results),
            "total": self.total,
        }

    def state(self) -> bytes:
        """`JobState` as JSON."""
        # Results are JSON already, some with megabytes of PNG: they are joined, not parsed again.
        head = json.dumps(self.progress)[:-1].encode()
        return head + b', "results": [' + b", ".join(self.results) + b"]}"

    async def add(self, answer: dict[str, JsonValue]) -> None:
        """Append an answer, and wake those who follow the events."""
        text = json.dumps(answer).encode()
        if self.bytes + len(text) > MAX_FINISHED_BYTES:
            message = "the batch's answers are too large: ask for fewer pictures, or no overlays"
            problem = Problem(image=answer["image"], error="too_large", message=message)
            text = problem.model_dump_json().encode()
        self.bytes += len(text)
        async with self.changed:
            self.results.append(text)
            self.changed.notify_all()

    async def events(self, sent: int) -> AsyncIterator[bytes]:
        """Server-sent events: `result` for each answer after `sent`, then `done`."""
        sent = min(sent, len(self.results))
        while True:
            while sent < len(self.results):
                yield _event("result", self.results[sent], sent + 1)
                sent += 1
            if self.is_done:
                yield _event("done", json.dumps(self.progress).encode(), sent)
                return
            # Looked at again under the lock: a result may have come since the loop above.
            async with self.changed:
                if sent == len(self.results):
                    await self.changed.wait()


class BatchJobs:
    """The batches of a service; those that are done are forgotten, oldest first."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._jobs: dict[str, BatchJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def require_room(self) -> None:
        """Raises HttpError with 429 where too many batches are being judged."""
        if len(self._tasks) >= MAX_RUNNING:
            raise self._service.over_capacity(f"{MAX_RUNNING} batches are in progress")

    def start(self, owner: str, uploads: list[Upload], parameters: DetectParameters) -> BatchJob:
        """Begin a batch. Raises HttpError as `require_room`."""
        self.require_room()
        job = BatchJob(owner, len(uploads))
        self._jobs[job.id] = job
        task = asyncio.create_task(self._work(job, deque(uploads), parameters))
        # asyncio itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def find(self, id: str, owner: str) -> BatchJob:
        """A batch of that owner. Raises HttpError with 404."""
        job = self._jobs.get(id)
        if job is None or job.owner != owner:
            raise HttpError(
                404, "not_found", "there is no such job, or its results are no longer kept"
            )
        return job

    async def finish(self) -> None:
        """Wait until all that was accepted is judged."""
        await asyncio.gather(*self._tasks)

    async def _work(
        self, job: BatchJob, uploads: deque[Upload], parameters: DetectParameters
    ) -> None:
        """Two micro-batches at a time, in order, so that single pictures come between."""
        in_progress: deque[asyncio.Task[dict[str, JsonValue]]] = deque()
        while uploads or in_progress:
            while uploads and len(in_progress) < 2 * self._service.batch_size:
                # Popped, so that the file's bytes are freed once its picture is decoded.
                answer = self._service.answer(uploads.popleft(), parameters)
                in_progress.append(asyncio.create_task(answer))
            await job.add(await _answer_or_problem(in_progress.popleft()))
        self._forget()

    def _forget(self) -> None:
        finished = [job for job in self._jobs.values() if job.is_done]
        total_bytes = sum(job.bytes for job in finished)
        for job in finished[:-1]:
            if len(self._jobs) <= MAX_FINISHED and total_bytes <= MAX_FINISHED_BYTES:
                return
            total_bytes -= job.bytes
            del self._jobs[job.id]


async def _answer_or_problem(task: "asyncio.Task[dict[str, JsonValue]]") -> dict[str, JsonValue]:
    try:
        return await task
    except Exception as error:
        log.exception("a picture of a batch was not answered")
        message = f"this is a defect of sida ({type(error).__name__}): the service's log has more"
        return Problem(error="defect", message=message).model_dump()


def _event(name: str, data: bytes, number: int) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), data)


def routes(service: Service, jobs: BatchJobs) -> APIRouter:
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
        """Accept pictures; the answer is a job, to be polled at `Location`."""
        with service.slot(http) as owner:
            jobs.require_room()
            uploads, parameters = await read_several(http, service.settings)
            # Refused here, and not in every answer of the job.
            service.share_of(parameters.max_false_positives)
            job = jobs.start(owner, uploads, parameters)
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
        """The state of a job; with `Accept: text/event-stream`, its results as they come."""
        batch_job = jobs.find(id, service.owner(http))
        if "text/event-stream" in accept:
            sent = int(last_event_id[:9]) if last_event_id.isdecimal() else 0
            return StreamingResponse(batch_job.events(sent), media_type="text/event-stream")
        return _json(batch_job.state(), 200)

    return router


def _json(text: bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(text, status, headers, media_type=JSONResponse.media_type)
