"""Failures turned into HTTP answers: each has a status, a code and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sida.errors import PictureError, SidaError
from sida.serve.schemas import ErrorCode, Problem

__all__ = ["CHAT", "STATUS", "HttpError", "register"]

CHAT = "/v1/chat/completions"
"""The path whose errors have OpenAI's form."""

STATUS: Mapping[str, int] = {
    "unreadable_image": 422,
    "too_large": 413,
    "not_found": 404,
    "out_of_memory": 413,
}
"""HTTP statuses of the codes of a failure."""


class HttpError(Exception):
    """Leaves a route as the response of its status."""

    def __init__(
        self, status: int, code: ErrorCode, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


def register(app: FastAPI) -> None:
    """Turn whatever leaves a route into a response with a sentence."""
    app.add_exception_handler(HttpError, _http_error)
    app.add_exception_handler(SidaError, _sida_error)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


async def _http_error(request: Request, error: Any) -> Response:
    return _response(request, error.status, error.code, str(error), error.headers)


async def _sida_error(request: Request, error: Any) -> Response:
    if isinstance(error, PictureError):
        return _response(request, STATUS[error.code], error.code, str(error))
    return _response(request, 422, "bad_request", str(error))


async def _framework_error(request: Request, error: Any) -> Response:
    code: ErrorCode = "not_found" if error.status_code == 404 else "bad_request"
    phrase = HTTPStatus(error.status_code).phrase.lower()
    sentence = f"{request.method} {request.url.path}: {phrase}; see /docs"
    return _response(request, error.status_code, code, sentence, error.headers)


async def _disconnected(request: Request, error: Any) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _unexpected(request: Request, error: Any) -> Response:
    sentence = f"this is a defect of sida ({type(error).__name__}): the service's log has more"
    return _response(request, 500, "defect", sentence)


def _response(
    request: Request,
    status: int,
    code: ErrorCode,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = Problem(error=code, message=message).model_dump()
    if request.url.path == CHAT:
        error_type = "server_error" if status >= 500 else "invalid_request_error"
        body = {"error": {"message": message, "type": error_type, "param": None, "code": code}}
    return JSONResponse(body, status, headers)
