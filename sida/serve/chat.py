"""`POST /v1/chat/completions` in OpenAI's form: questions about one picture, streamed or whole.

The picture is the last that a user's message has; what was said after it is the history. System
messages, temperatures and the like are passed over: a verdict comes from the fixed question, and no
wording changes it.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from sida.errors import SidaError
from sida.serve.detect import PROBLEMS
from sida.serve.queue import Talk
from sida.serve.refusal import CHAT, Refusal
from sida.serve.service import Service
from sida.serve.uploads import from_base64, read_json
from sida.verdict import Verdict

__all__ = ["routes"]

log = logging.getLogger(__name__)

WHY = "What do you see in this picture, and why?"
"""Asked for a user who sends a picture without a word."""


REMEMBERED = 256
"""Pictures whose verdicts are kept for the next question about them."""
TEXT = 50_000
"""Most characters of a conversation: more than models have positions for."""


class _Address(BaseModel):
    url: str


class _Part(BaseModel):
    type: Literal["text", "image_url"]
    text: str = ""
    image_url: _Address | None = None


class _Message(BaseModel):
    role: str
    content: str | list[_Part] | None = None


class ChatRequest(BaseModel):
    """OpenAI's request, as far as it is read."""

    model: str | None = None
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool = False


class OpenAIError(BaseModel):
    """OpenAI's error."""

    error: dict[str, str | None]


def routes(service: Service) -> APIRouter:
    """The route, for the app."""
    router = APIRouter(tags=["conversation"])
    problems = {status: {**each, "model": OpenAIError} for status, each in PROBLEMS.items()}

    @router.post(
        CHAT,
        response_model=dict[str, Any],
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            404: {
                "model": OpenAIError,
                "description": "Another model than the one that is served.",
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
        with ExitStack() as held:
            owner = held.enter_context(service.place(http))
            asked = await read_json(
                http, ChatRequest, service.settings, service.settings.upload_bytes
            )
            if asked.model not in (None, service.model.name):
                raise Refusal(
                    404,
                    "not_found",
                    f"there is no model {asked.model!r} here: the one there is is "
                    f"{service.model.name!r}",
                )
            data, history, question = _conversation(asked.messages)
            service.keys.charge(owner, 1)
            said: asyncio.Queue[Any] = asyncio.Queue()
            loop = asyncio.get_running_loop()

            def say(thing: Any) -> None:
                loop.call_soon_threadsafe(said.put_nowait, thing)

            known = hashlib.sha256(data).hexdigest()
            talk = Talk(data, history, question, say, service.talked_about.get(known))
            held.callback(talk.stop)
            service.thread.talk(talk)
            verdict = await service.in_time(_next(said), http)
            _remember(service.talked_about, known, verdict)
            head = _Head(service.model.name, verdict)
            if asked.stream:
                return _Held(_chunks(head, talk, said), held.pop_all().close)
            text = await service.in_time(_joined(said), http)
            message = {"role": "assistant", "content": text}
            whole = head.whole("chat.completion", {"message": message}, _end(talk))
            return JSONResponse(whole)

    return router


def _remember(verdicts: dict[str, Verdict], digest: str, verdict: Verdict) -> None:
    """Keep a verdict for the next question about its picture, without its arrays."""
    verdicts.pop(digest, None)
    verdicts[digest] = verdict.with_arrays()
    while len(verdicts) > REMEMBERED:
        del verdicts[next(iter(verdicts))]  # the one that was talked about least lately


def _conversation(
    messages: Sequence[_Message],
) -> tuple[bytes, list[tuple[str, str]], str]:
    """The last picture's file, what was said of it, and what is asked now. Raises Refusal."""
    address: str | None = None
    history: list[tuple[str, str]] = []
    asked: list[str] = []
    for message in messages:
        parts = message.content or []
        if isinstance(parts, str):
            parts = [_Part(type="text", text=parts)]
        if message.role == "user":
            for part in parts:
                if part.image_url is not None:
                    address, history, asked = part.image_url.url, [], []
            asked += [part.text for part in parts if part.text.strip()]
        elif message.role == "assistant":
            history.append(("\n".join(asked) or WHY, "".join(part.text for part in parts)))
            asked = []
    if address is None:
        raise Refusal(
            422,
            "bad_request",
            "found no picture, expected one in a part of type image_url, as a data: URI",
        )
    if messages[-1].role != "user":
        raise Refusal(422, "bad_request", "the last message is not a user's: ask something")
    question = "\n".join(asked) or WHY
    length = len(question) + sum(len(said) for turn in history for said in turn)
    if length > TEXT:
        raise Refusal(
            413, "too_large", f"found {length:,} characters of text, expected at most {TEXT:,}"
        )
    return from_base64(address), history, question


class _Head:
    """What every piece of an answer has."""

    def __init__(self, model: str, verdict: Verdict) -> None:
        self._all = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }
        self._verdict = verdict.model_dump(mode="json")

    def whole(self, kind: str, content: dict[str, Any], end: str | None) -> dict[str, Any]:
        """With the verdict."""
        return {**self.part(kind, content, end), "sida": {"verdict": self._verdict}}

    def part(self, kind: str, content: dict[str, Any], end: str | None) -> dict[str, Any]:
        """Without it."""
        choice = {"index": 0, **content, "finish_reason": end, "logprobs": None}
        return {**self._all, "object": kind, "choices": [choice]}


async def _next(said: "asyncio.Queue[Any]") -> Any:
    """What comes next of a talk; an exception is raised."""
    thing = await said.get()
    if isinstance(thing, Exception):
        raise thing
    return thing


async def _pieces(said: "asyncio.Queue[Any]") -> AsyncIterator[str]:
    while (piece := await _next(said)) is not None:
        yield piece


async def _joined(said: "asyncio.Queue[Any]") -> str:
    return "".join([piece async for piece in _pieces(said)])


def _end(talk: Talk) -> str:
    return "length" if talk.cut else "stop"


async def _chunks(head: _Head, talk: Talk, said: "asyncio.Queue[Any]") -> AsyncIterator[bytes]:
    """The answer as events: first one with the verdict, then one a piece."""
    kind = "chat.completion.chunk"
    yield _data(head.whole(kind, {"delta": {"role": "assistant", "content": ""}}, None))
    try:
        async for piece in _pieces(said):
            yield _data(head.part(kind, {"delta": {"content": piece}}, None))
    except Exception as error:  # the status has been sent
        log.exception("an answer broke off")
        message = str(error) if isinstance(error, SidaError) else "the answer broke off: a defect"
        yield _data({"error": {"message": message, "type": "server_error", "code": "defect"}})
        return
    yield _data(head.part(kind, {"delta": {}}, _end(talk)))
    yield b"data: [DONE]\n\n"


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class _Held(StreamingResponse):
    """Events, with something to be let go of when they end, also where the client goes away."""

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
        return [resolve(each) for each in node] if isinstance(node, list) else node

    return resolve(schema)  # type: ignore[no-any-return]
