"""`POST /v1/report`: one picture in, a report of it out, as HTML or PDF."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from sida.html.pdf import pdf, require_pdf
from sida.image.read import read_picture
from sida.report import picture_report
from sida.serve.detect import PROBLEMS, body
from sida.serve.errors import STATUS
from sida.serve.schemas import DetectParameters, OneReport, ReportParameters
from sida.serve.service import Service
from sida.serve.uploads import Upload, read_one
from sida.verdict import Failure, Verdict

__all__ = ["routes"]

MEDIA_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
PARTS = DetectParameters(explain=True, evidence=True, provenance=True)


def routes(service: Service) -> APIRouter:
    """The route, for the app."""
    router = APIRouter(tags=["verdicts"])

    @router.post(
        "/v1/report",
        response_class=Response,
        responses={
            200: {
                "description": "A single file that needs no network.",
                "content": {
                    media_type.partition(";")[0]: {"schema": {"type": "string"}}
                    for media_type in MEDIA_TYPES.values()
                },
            },
            **PROBLEMS,
        },
        openapi_extra=body(OneReport, {"type": "string", "format": "binary"}),
    )
    async def report(http: Request) -> Response:
        """Detect, and write a report for people."""
        with service.slot(http) as owner:
            upload, parameters = await read_one(http, service.settings, OneReport, ReportParameters)
            # Before the picture is charged and run: without WeasyPrint there would be no report.
            if parameters.format == "pdf":
                require_pdf()
            service.keys.charge(owner, 1)
            wanted = PARTS.model_copy(update=parameters.model_dump(exclude={"format"}))
            result = await service.detect(upload, wanted, http)
            if isinstance(result, Failure):
                return JSONResponse(result.model_dump(mode="json"), STATUS[result.error])
            content = await asyncio.to_thread(_render, result, upload, parameters.format)
        name = f'attachment; filename="report.{parameters.format}"'
        return Response(
            content,
            media_type=MEDIA_TYPES[parameters.format],
            headers={"Content-Disposition": name},
        )

    return router


def _render(verdict: Verdict, upload: Upload, format: str) -> bytes:
    html = picture_report(verdict, read_picture(upload.data, name=upload.name))
    return pdf(html) if format == "pdf" else html.encode()
