"""Requests that are not served: each has a status, a word and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sida.errors import PictureError, SidaError
from sida.serve.schemas import Problem, Word

__all__ = ["CHAT", "STATUS", "Refusal", "register"]

CHAT = "/v1/chat/completions"
"""The path whose errors have OpenAI's form."""

STATUS: Mapping[str, int] = {
    "unreadable_image": 422,
    "too_large": 413,
    "not_found": 404,
    "out_of_memory": 413,
}
"""Of the codes of a failure."""


class Refusal(Exception):
    """Leaves a route as the response of its status."""

    def __init__(
        self, status: int, word: Word, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.word, self.headers = status, word, headers


def register(app: FastAPI) -> None:
    """Turn whatever leaves a route into a response with a sentence."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(SidaError, _sida_error)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _defect)


async def _refused(request: Request, error: Any) -> Response:
    return _response(request, error.status, error.word, str(error), error.headers)


async def _sida_error(request: Request, error: Any) -> Response:
    if isinstance(error, PictureError):
        return _response(request, STATUS[error.code], error.code, str(error))
    return _response(request, 422, "bad_request", str(error))


async def _of_the_framework(request: Request, error: Any) -> Response:
    word: Word = "not_found" if error.status_code == 404 else "bad_request"
    phrase = HTTPStatus(error.status_code).phrase.lower()
    sentence = f"{request.method} {request.url.path}: {phrase}; see /docs"
    return _response(request, error.status_code, word, sentence, error.headers)


async def _gone(request: Request, error: Any) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _defect(request: Request, error: Any) -> Response:
    sentence = f"this is a defect of sida ({type(error).__name__}): the service's log has more"
    return _response(request, 500, "defect", sentence)


def _response(
    request: Request,
    status: int,
    word: Word,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = Problem(error=word, message=message).model_dump()
    if request.url.path == CHAT:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = {"error": {"message": message, "type": kind, "param": None, "code": word}}
    return JSONResponse(body, status, headers)
