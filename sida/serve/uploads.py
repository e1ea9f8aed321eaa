"""Bodies of requests: counted while they stream in, kept in memory, parsed to files and fields."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any, TypeVar
from urllib.parse import unquote

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from sida.serve.errors import HttpError
from sida.serve.schemas import BATCH, DetectParameters, OnePicture, OneReport, SeveralPictures
from sida.serve.settings import ServeSettings

__all__ = ["Upload", "from_base64", "read_json", "read_one", "read_several"]

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=BaseModel)
HasImage = OnePicture | OneReport

OVERHEAD = 100_000
"""Bytes that a body may have beside its pictures."""
BASE64_RATIO = 3 / 2
"""Characters of base64 a byte, with line breaks as JSON writes them."""
MAX_NAME = 255
"""Most characters of a file's name that come back in a verdict."""


@dataclass(frozen=True)
class Upload:
    """A file's bytes, and its name where it has one."""

    data: bytes
    name: str | None = None


async def read_one(
    http: Request, settings: ServeSettings, schema: type[HasImage], parameters: type[P]
) -> tuple[Upload, P]:
    """The picture of a request, multipart or JSON.

    Args:
        schema: of a JSON body: the picture and its parameters.
        parameters: the latter alone.
    """
    if _media_type(http) == "application/json":
        body = await read_json(http, schema, settings, settings.upload_bytes)
        upload = Upload(from_base64(body.image))
        _require_size([upload], settings.upload_bytes)
        return upload, _parameters(body, parameters)
    uploads, values = await _read_form(http, settings, settings.upload_bytes, parameters)
    if len(uploads) > 1:
        raise HttpError(
            422,
            "bad_request",
            f"found {len(uploads)} files, expected one: /v1/detect/batch takes several",
        )
    return uploads[0], values


async def read_several(
    http: Request, settings: ServeSettings
) -> tuple[list[Upload], DetectParameters]:
    """The pictures of a batch; together they may have four times the bytes of one."""
    limit = 4 * settings.upload_bytes
    if _media_type(http) == "application/json":
        body = await read_json(http, SeveralPictures, settings, limit)
        uploads = [Upload(from_base64(image)) for image in body.images]
        _require_size(uploads, limit)
        return uploads, _parameters(body, DetectParameters)
    return await _read_form(http, settings, limit, DetectParameters)


async def read_json(http: Request, model: type[M], settings: ServeSettings, limit: int) -> M:
    """A JSON body; `limit` is that of the pictures in it, before they became base64."""
    body = b"".join([part async for part in _body(http, settings, int(limit * BASE64_RATIO))])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise HttpError(422, "bad_request", f"the JSON does not fit: {_sentence(error)}") from error


def from_base64(text: str) -> bytes:
    """The bytes of base64, bare or as a data: URI; nothing is fetched. Raises HttpError.

    Takes it as programs write it: with line breaks, in the alphabet for addresses, without its
    padding, and with the escapes of a URI.
    """
    text = text.lstrip("\ufeff \t\r\n")
    head, comma, data = text.partition(",")
    if text[:5].lower() == "data:":
        if not comma or not re.search(r";\s*base64\s*$", head, re.IGNORECASE):
            raise HttpError(
                422, "unreadable_image", "found a data: URI without ;base64, expected one with it"
            )
        text = unquote(data, "ascii") if "%" in data else data
    elif "://" in text[:20]:
        raise HttpError(
            422,
            "unreadable_image",
            "found a picture's address: nothing is fetched here; send the picture in base64, "
            "such as data:image/jpeg;base64,...",
        )
    text = "".join(text.split()).rstrip("=")
    try:
        padded = (text + "=" * (-len(text) % 4)).translate(_STANDARD)
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HttpError(
            422, "unreadable_image", f"the picture is not base64 ({error}): encode the file again"
        ) from error


_STANDARD = str.maketrans("-_", "+/")
"""From the alphabet for addresses."""


def _require_size(uploads: Sequence[Upload], limit: int) -> None:
    """Raises HttpError where pictures are larger than the body's limit lets a form's be."""
    if sum(len(upload.data) for upload in uploads) > limit + OVERHEAD:
        message = f"the pictures are larger than {limit:,} bytes: send smaller files"
        raise HttpError(413, "too_large", message)


class _InMemory(MultiPartParser):
    """Starlette's, which would put larger files on the disk, and takes a file for a text where
    its name stands in `filename*` alone, or nowhere beside the type of a picture.
    """

    # Uploads are private: none of them reaches the disk, and the limit of the body bounds memory.
    spool_max_size = 1 << 62

    def on_headers_finished(self) -> None:
        part = self._current_part
        name = _file_name(part.content_disposition or b"", dict(part.item_headers))
        if name is not None and part.content_disposition is not None:
            # The parser decides by `filename` alone, so one is added to the part's header.
            quoted = re.sub(r'(["\\])', r"\\\1", name).encode(errors="replace")
            part.content_disposition += b'; filename="%s"' % quoted
        super().on_headers_finished()

    async def parse(self) -> FormData:
        form = await super().parse()
        complete = sum(isinstance(value, UploadFile) for _, value in form.multi_items())
        if complete < len(self._files_to_close_on_error):
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("it ends before its file does")
        return form


def _file_name(disposition: bytes, headers: Mapping[bytes, bytes]) -> str | None:
    """A file's name that the parser does not see; "" for a file without one, None for others."""
    is_seen = b"filename" in parse_options_header(disposition)[1]
    message = Message()
    message["content-disposition"] = " ".join(disposition.decode("latin-1").split())
    # Text, or for `filename*` a tuple of charset, language and text.
    parameters: list[tuple[str, Any]] = message.get_params([], "content-disposition")
    names = [value for key, value in parameters if key.lower() == "filename"]
    if (extended := next((name for name in names if isinstance(name, tuple)), None)) is not None:
        return collapse_rfc2231_value(extended)
    if names and not is_seen:
        return str(names[0]).encode("latin-1", "replace").decode("utf-8", "replace")
    media = headers.get(b"content-type", b"text/plain").strip().lower()
    return None if is_seen or media.startswith(b"text/plain") else ""


async def _read_form(
    http: Request, settings: ServeSettings, limit: int, parameters: type[P]
) -> tuple[list[Upload], P]:
    if _media_type(http) != "multipart/form-data":
        raise HttpError(
            415,
            "bad_request",
            f"the body is {_media_type(http) or 'without a type'}, expected multipart/form-data "
            'with a field "file", or application/json',
        )
    form = await _form(http.headers, _body(http, settings, limit))
    files = form.getlist("file")
    uploads = [
        Upload(await file.read(), _plain(file.filename))
        for file in files
        if isinstance(file, UploadFile)
    ]
    # A field of a form that was left empty is the default; a name that nobody knows is still one.
    values = {
        name: value
        for name, value in form.items()
        if name != "file" and not (value == "" and name in parameters.model_fields)
    }
    await form.close()
    if not uploads or len(uploads) < len(files):
        message = 'expected a file in each field "file", such as `-F file=@photo.jpg`'
        raise HttpError(422, "bad_request", message)
    try:
        return uploads, parameters.model_validate(values)
    except ValidationError as error:
        raise HttpError(422, "bad_request", f"the form does not fit: {_sentence(error)}") from error


async def _form(headers: Headers, body: AsyncGenerator[bytes, None]) -> FormData:
    try:
        return await _InMemory(headers, body, max_files=BATCH, max_fields=10).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", None) or error
        raise HttpError(400, "bad_request", f"the form cannot be read: {reason}") from error


async def _body(http: Request, settings: ServeSettings, limit: int) -> AsyncGenerator[bytes, None]:
    """The body in pieces, as long as it keeps to the limit and the time."""
    limit += OVERHEAD
    too_large = HttpError(
        413, "too_large", f"the body is larger than {limit:,} bytes: send a smaller file"
    )
    content_length = http.headers.get("content-length", "")
    # A header may lie, so bytes are counted below as well; an honest one saves reading them.
    if content_length.isdecimal() and int(content_length) > limit:
        raise too_large
    # One deadline for the whole body: a client that sends a byte at a time holds no slot for ever.
    end = asyncio.get_running_loop().time() + settings.time_limit
    stream, size = http.stream(), 0
    while True:
        try:
            async with asyncio.timeout_at(end):
                part = await anext(stream, None)
        except TimeoutError:
            message = f"the body took longer than {settings.time_limit:g} s: send it faster"
            raise HttpError(408, "too_slow", message) from None
        if part is None:
            return
        size += len(part)
        if size > limit:
            raise too_large
        yield part


def _media_type(http: Request) -> str:
    return http.headers.get("content-type", "").partition(";")[0].strip().lower()


def _parameters(body: BaseModel, parameters: type[P]) -> P:
    return parameters.model_validate(body.model_dump(include=set(parameters.model_fields)))


def _plain(name: str | None) -> str | None:
    """A file's name without folders, short, and such as JSON can hold."""
    bare = (name or "").replace("\\", "/").rpartition("/")[2]
    return bare.encode(errors="replace").decode()[:MAX_NAME] or None


def _sentence(error: ValidationError) -> str:
    first: Sequence[object] = error.errors()[0]["loc"]
    field = ".".join(map(str, first))
    reason = error.errors()[0]["msg"]
    return f"{field}: {reason}" if field else reason
