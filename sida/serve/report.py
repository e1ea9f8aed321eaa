"""`POST /v1/report`: one picture in, a report of it out, as HTML or PDF."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from sida.image.read import read_picture
from sida.page.pdf import pdf, require_pdf
from sida.report import picture_report
from sida.serve.detect import PROBLEMS, body
from sida.serve.refusal import STATUS
from sida.serve.schemas import OneReport, ReportWishes, Wishes
from sida.serve.service import Service
from sida.serve.uploads import Upload, read_one
from sida.verdict import Failure, Verdict

__all__ = ["routes"]

KINDS = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
SAID = Wishes(explain=True, evidence=True, provenance=True)


def routes(service: Service) -> APIRouter:
    """The route, for the app."""
    router = APIRouter(tags=["verdicts"])

    @router.post(
        "/v1/report",
        response_class=Response,
        responses={
            200: {
                "description": "One file that needs no network.",
                "content": {
                    kind.partition(";")[0]: {"schema": {"type": "string"}}
                    for kind in KINDS.values()
                },
            },
            **PROBLEMS,
        },
        openapi_extra=body(OneReport, {"type": "string", "format": "binary"}),
    )
    async def report(http: Request) -> Response:
        """Judge one picture, and write a report of it for people."""
        with service.place(http) as owner:
            upload, wishes = await read_one(http, service.settings, OneReport, ReportWishes)
            if wishes.format == "pdf":
                require_pdf()
            service.keys.charge(owner, 1)
            result = await service.judge(upload, SAID, http)
            if isinstance(result, Failure):
                return JSONResponse(result.model_dump(mode="json"), STATUS[result.error])
            written = await asyncio.to_thread(_written, result, upload, wishes.format)
        name = f'attachment; filename="report.{wishes.format}"'
        return Response(
            written, media_type=KINDS[wishes.format], headers={"Content-Disposition": name}
        )

    return router


def _written(verdict: Verdict, upload: Upload, kind: str) -> bytes:
    html = picture_report(verdict, read_picture(upload.data, name=upload.name))
    return pdf(html) if kind == "pdf" else html.encode()
