"""`POST /v1/chat/completions` in OpenAI's form: questions about one picture, streamed or whole.

The picture is the last one in a user's messages; the messages after it are the history. System
messages, temperatures and the like are ignored: a verdict comes from the fixed question, and no
wording changes it.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from sida.errors import SidaError
from sida.serve.backend import ChatEvent, ChatTurn
from sida.serve.detect import PROBLEMS
from sida.serve.errors import CHAT, HttpError
from sida.serve.schemas import MaxFalsePositives
from sida.serve.service import Service
from sida.serve.uploads import from_base64, read_json
from sida.verdict import Verdict

__all__ = ["routes"]

log = logging.getLogger(__name__)

DEFAULT_QUESTION = "What do you see in this picture, and why?"
"""Asked for a user who sends a picture without text."""
MAX_VERDICTS = 256
"""Pictures whose verdicts are kept for the next question about them."""
MAX_TEXT = 50_000
"""Most characters of a conversation: more than models have positions for."""


class _Address(BaseModel):
    url: str


class _ContentPart(BaseModel):
    type: Literal["text", "image_url"]
    text: str = ""
    image_url: _Address | None = None


class _Message(BaseModel):
    role: str
    content: str | list[_ContentPart] | None = None


class ChatRequest(BaseModel):
    """OpenAI's request, as far as it is read, and a budget as of `/v1/detect`."""

    model: str | None = None
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool = False
    max_false_positives: MaxFalsePositives = None


class OpenAIError(BaseModel):
    """OpenAI's error."""

    error: dict[str, str | None]


def routes(service: Service) -> APIRouter:
    """The route, for the app."""
    router = APIRouter(tags=["conversation"])
    problems = {status: {**entry, "model": OpenAIError} for status, entry in PROBLEMS.items()}

    @router.post(
        CHAT,
        response_model=dict[str, Any],
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            404: {
                "model": OpenAIError,
                "description": "The model is not the one that is served.",
            },
            **problems,
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _inlined(ChatRequest)}},
            }
        },
    )
    async def chat(http: Request) -> Response:
        """Ask about one picture. `sida.verdict` in the answer is that of `/v1/detect`."""
        # The slot is held until the last event is sent, which is after this function returns.
        with ExitStack() as stack:
            owner = stack.enter_context(service.slot(http))
            body = await read_json(
                http, ChatRequest, service.settings, service.settings.upload_bytes
            )
            if body.model not in (None, service.model.name):
                raise HttpError(
                    404,
                    "not_found",
                    f"there is no model {body.model!r} here, only {service.model.name!r}",
                )
            data, history, question = _parse(body.messages)
            share = service.share_of(body.max_false_positives)
            service.keys.charge(owner, 1)
            events: asyncio.Queue[ChatEvent] = asyncio.Queue()
            loop = asyncio.get_running_loop()

            # Called in the model's thread, where asyncio's queue must not be touched.
            def emit(event: ChatEvent) -> None:
                loop.call_soon_threadsafe(events.put_nowait, event)

            # Under another budget the same picture may have another verdict.
            key = hashlib.sha256(data).hexdigest(), share
            turn = ChatTurn(data, history, question, emit, service.chat_verdicts.get(key), share)
            stack.callback(turn.stop)
            service.backend.chat(turn)
            verdict = await service.with_timeout(_next(events), http)
            _remember(service.chat_verdicts, key, verdict)
            completion = _Completion(service.model.name, verdict)
            if body.stream:
                return _EventStream(_chunks(completion, turn, events), stack.pop_all().close)
            text = await service.with_timeout(_join(events), http)
            message = {"role": "assistant", "content": text}
            content = completion.with_verdict(
                "chat.completion", {"message": message}, _finish_reason(turn)
            )
            return JSONResponse(content)

    return router


def _remember(
    verdicts: dict[tuple[str, float | None], Verdict],
    key: tuple[str, float | None],
    verdict: Verdict,
) -> None:
    """Keep a verdict for the next question about its picture, without its arrays."""
    # Put in anew, so that the first entry of the dict is the least recently used.
    verdicts.pop(key, None)
    verdicts[key] = verdict.with_arrays()
    while len(verdicts) > MAX_VERDICTS:
        del verdicts[next(iter(verdicts))]  # the least recently used


def _parse(
    messages: Sequence[_Message],
) -> tuple[bytes, list[tuple[str, str]], str]:
    """The last picture's file, the history since, and the question. Raises HttpError."""
    address: str | None = None
    history: list[tuple[str, str]] = []
    question: list[str] = []
    for message in messages:
        parts = message.content or []
        if isinstance(parts, str):
            parts = [_ContentPart(type="text", text=parts)]
        if message.role == "user":
            for part in parts:
                if part.image_url is not None:
                    address, history, question = part.image_url.url, [], []
            question += [part.text for part in parts if part.text.strip()]
        elif message.role == "assistant":
            history.append(
                ("\n".join(question) or DEFAULT_QUESTION, "".join(part.text for part in parts))
            )
            question = []
    if address is None:
        raise HttpError(
            422,
            "bad_request",
            "found no picture, expected one in a part of type image_url, as a data: URI",
        )
    if messages[-1].role != "user":
        raise HttpError(
            422, "bad_request", "the last message is not from the user: end with a question"
        )
    text = "\n".join(question) or DEFAULT_QUESTION
    length = len(text) + sum(len(entry) for turn in history for entry in turn)
    if length > MAX_TEXT:
        raise HttpError(
            413, "too_large", f"found {length:,} characters of text, expected at most {MAX_TEXT:,}"
        )
    return from_base64(address), history, text


class _Completion:
    """The fields that every part of an answer has."""

    def __init__(self, model: str, verdict: Verdict) -> None:
        self._common = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }
        self._verdict = verdict.model_dump(mode="json")

    def with_verdict(
        self, object_type: str, content: Mapping[str, object], finish_reason: str | None
    ) -> dict[str, object]:
        """A part that has the verdict."""
        return {
            **self.part(object_type, content, finish_reason),
            "sida": {"verdict": self._verdict},
        }

    def part(
        self, object_type: str, content: Mapping[str, object], finish_reason: str | None
    ) -> dict[str, object]:
        """A part without it."""
        choice = {"index": 0, **content, "finish_reason": finish_reason, "logprobs": None}
        return {**self._common, "object": object_type, "choices": [choice]}


async def _next(events: "asyncio.Queue[Any]") -> Any:
    """The next event of a chat; an exception is raised."""
    event = await events.get()
    if isinstance(event, Exception):
        raise event
    return event


async def _texts(events: "asyncio.Queue[Any]") -> AsyncIterator[str]:
    while (text := await _next(events)) is not None:
        yield text


async def _join(events: "asyncio.Queue[Any]") -> str:
    return "".join([text async for text in _texts(events)])


def _finish_reason(turn: ChatTurn) -> str:
    return "length" if turn.truncated else "stop"


async def _chunks(
    completion: _Completion, turn: ChatTurn, events: "asyncio.Queue[Any]"
) -> AsyncIterator[bytes]:
    """The answer as server-sent events: first one with the verdict, then one per text."""
    object_type = "chat.completion.chunk"
    first = {"delta": {"role": "assistant", "content": ""}}
    yield _data(completion.with_verdict(object_type, first, None))
    try:
        async for text in _texts(events):
            yield _data(completion.part(object_type, {"delta": {"content": text}}, None))
    except Exception as error:  # the status has been sent, so the error is an event
        log.exception("an answer was interrupted")
        message = (
            str(error) if isinstance(error, SidaError) else "the answer was interrupted by a defect"
        )
        yield _data({"error": {"message": message, "type": "server_error", "code": "defect"}})
        return
    yield _data(completion.part(object_type, {"delta": {}}, _finish_reason(turn)))
    yield b"data: [DONE]\n\n"


def _data(chunk: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class _EventStream(StreamingResponse):
    """Events whose slot is released when they end, also where the client goes away."""

    def __init__(self, events: AsyncIterator[bytes], release: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references, which would point to nowhere inside a route."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    return resolve(schema)  # type: ignore[no-any-return]
