"""`/docs`: the interface described, by Swagger UI out of a package, so that no CDN is asked."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

__all__ = ["routes"]

FOLDER = Path(fastapi_offline.__file__).with_name("static")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>sida: the interface</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", validatorUrl: null});\n'


def routes() -> APIRouter:
    """The page and what it loads, for the app."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def page() -> Response:
        return HTMLResponse(PAGE)

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    @router.get("/docs/swagger-ui.css")
    async def style() -> Response:
        return FileResponse(FOLDER / "swagger-ui.css")

    @router.get("/docs/swagger-ui-bundle.js")
    async def script() -> Response:
        return FileResponse(FOLDER / "swagger-ui-bundle.js")

    return router
