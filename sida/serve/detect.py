"""`POST /v1/detect`: one picture in, its verdict out."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from sida.serve.errors import STATUS
from sida.serve.schemas import Answer, DetectParameters, OnePicture, Problem
from sida.serve.service import Service
from sida.serve.uploads import read_one

__all__ = ["PROBLEMS", "body", "routes"]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The body cannot be read.",
        401: "The key is missing or unknown.",
        408: "The body did not arrive in time.",
        413: "The body or the picture is too large.",
        415: "The body is neither a form nor JSON.",
        422: "The picture cannot be read, or a field is unknown.",
        429: "All slots are in use, or the key's quota is used up; see Retry-After.",
        503: "The answer took too long.",
    }.items()
}


def body(json: type[BaseModel], files: dict[str, object]) -> dict[str, object]:
    """The part of OpenAPI about a body that is a form or JSON."""
    schema = json.model_json_schema()
    fields = {k: v for k, v in schema["properties"].items() if k not in ("image", "images")}
    form = {
        "type": "object",
        "properties": {"file": files, **fields},
        "required": ["file"],
        "additionalProperties": False,
    }
    content = {"multipart/form-data": {"schema": form}, "application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def routes(service: Service) -> APIRouter:
    """The route, for the app."""
    router = APIRouter(tags=["verdicts"])

    @router.post(
        "/v1/detect",
        response_model=Answer,
        responses=PROBLEMS,
        openapi_extra=body(OnePicture, {"type": "string", "format": "binary"}),
    )
    async def detect(http: Request) -> Response:
        """Detect whether one picture is real, full_synthetic or tampered; where; and why."""
        with service.slot(http) as owner:
            upload, parameters = await read_one(
                http, service.settings, OnePicture, DetectParameters
            )
            service.keys.charge(owner, 1)
            answer = await service.answer(upload, parameters, http)
        return JSONResponse(answer, STATUS.get(str(answer.get("error")), 200))

    return router
