"""`create_app`: the service as an ASGI app, put together; each route has a module of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

import sida
from sida.detector import Detector
from sida.serve import chat, detect, documentation, errors, jobs, report
from sida.serve.backend import Backend, ModelThread
from sida.serve.head_method import HeadMethod
from sida.serve.headers import SecurityHeaders
from sida.serve.metrics import RequestMetrics
from sida.serve.schemas import Model
from sida.serve.service import Service
from sida.serve.settings import ServeSettings

__all__ = ["app_around", "create_app"]

WEB = Path(__file__).with_name("web")


def create_app(detector: Detector, settings: ServeSettings | None = None) -> FastAPI:
    """An app around a detector, which nobody else may use from now on.

    What concerns the model (`max_pixels`, `trust` and others) is as it was loaded; with
    `Detector.from_options(settings.model_options())` that is as the settings have it. The app's
    shutdown waits until all that was accepted is judged.
    """
    settings = settings or ServeSettings()
    return app_around(ModelThread(detector, settings.max_wait), settings)


def app_around(backend: Backend, settings: ServeSettings) -> FastAPI:
    """An app around any backend, which has waited `settings.max_wait` itself.

    `app.state.finish()` waits until all that was accepted is answered.
    """
    service = Service(backend, settings)
    batches = jobs.BatchJobs(service)

    async def finish() -> None:
        # Requests that hold a slot may still start batches, so batches are waited for after them.
        while service.active:
            await asyncio.sleep(0.05)
        await batches.finish()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await batches.finish()
        # Closing joins the model's thread; in the event loop it would block answers on their way.
        await asyncio.to_thread(service.backend.close)

    app = FastAPI(
        title="sida",
        summary="Is a picture real, fully synthetic or tampered? Where, and why?",
        version=sida.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.finish = finish
    app.include_router(detect.routes(service))
    app.include_router(report.routes(service))
    app.include_router(jobs.routes(service, batches))
    app.include_router(chat.routes(service))
    app.include_router(_probes(service))
    app.include_router(documentation.routes())
    app.include_router(_page(app))
    errors.register(app)
    if service.settings.allow_origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.allow_origin,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After"],
        )
    # The last one added is the outermost: HEAD has become GET before requests are counted.
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, metrics=service.metrics)
    app.add_middleware(HeadMethod)
    return app


def _probes(service: Service) -> APIRouter:
    """Routes for probes, for Prometheus, and for the name of the model."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is up."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"description": "The service is shutting down."}})
    async def readyz() -> Response:
        """The model is ready for requests."""
        if service.backend.alive:
            return JSONResponse({"status": "ready", "model": service.model.name})
        return JSONResponse({"status": "ending"}, 503)

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @router.get("/v1/models")
    async def models(http: Request) -> Model:
        """The model that is served, in OpenAI's form."""
        service.owner(http)
        return Model(data=[service.listed()])

    return router


def _page(app: FastAPI) -> APIRouter:
    """The page for people; where the package has none, the documentation takes its place."""
    router = APIRouter(include_in_schema=False)
    if WEB.is_dir():
        app.mount("/page", StaticFiles(directory=WEB), name="page")

    @router.get("/")
    async def index() -> Response:
        if WEB.is_dir():
            return FileResponse(WEB / "index.html")
        return RedirectResponse("/docs")

    return router
