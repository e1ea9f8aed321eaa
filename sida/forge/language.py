"""A language model behind an OpenAI-compatible endpoint: which object to replace, and what by."""

import json
import logging
import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from sida.errors import ConfigError, DownloadError
from sida.forge.config import Language

__all__ = ["Replacement", "choose_replacement"]

logger = logging.getLogger(__name__)

_INSTRUCTIONS = """\
You are given the caption of a photograph. Choose one concrete object that is named in it and can be
cut out, and another object that could stand in its place. Answer with JSON alone, in this form:
{"object": "the word as in the caption", "replacement": "a noun", "prompt": "the caption with the \
object replaced"}"""


@dataclass(frozen=True)
class Replacement:
    """The object's word, what takes its place, and the caption of the altered picture."""

    object: str
    replacement: str
    prompt: str


def choose_replacement(language: Language, caption: str, seed: int) -> Replacement | None:
    """Ask for an object of a caption and its replacement; None where no answer can be used.

    Asked at temperature 0 with the seed; whether the same answer comes again is up to the server.

    Raises:
        ConfigError: the endpoint refuses the request (the key, the model's name).
        DownloadError: the endpoint cannot be reached, or fails every time.
    """
    for attempt in range(language.attempts):
        # Another seed, else a deterministic server would repeat its answer.
        answer = _complete(language, caption, seed + attempt)
        if (replacement := _read(answer, caption)) is not None:
            return replacement
        logger.info("no use for the answer %r to the caption %r", answer, caption)
    return None


def _complete(language: Language, caption: str, seed: int) -> str:
    body = {
        "model": language.model,
        "temperature": 0,
        "seed": seed,
        "messages": [
            {"role": "system", "content": _INSTRUCTIONS},
            {"role": "user", "content": caption},
        ],
    }
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(language.key_variable):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(
        f"{language.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
    )
    answer = _sent(language, request)
    try:
        return str(answer["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigError(
            f"{language.url} answered {str(answer)[:200]!r}, expected choices with a message: give "
            "the address of an OpenAI-compatible endpoint, which ends in /v1"
        ) from error


def _sent(language: Language, request: urllib.request.Request) -> Any:
    """The answer as JSON; busy servers are asked again, each time after a longer while."""
    problem: Exception | None = None
    for attempt in range(language.attempts):
        try:
            with urllib.request.urlopen(request, timeout=language.timeout) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                message = error.read().decode(errors="replace")[:200]
            if error.code not in (429, 500, 502, 503, 504):
                raise ConfigError(
                    f"{language.url} refused the request ({error.code}: {message}): check the "
                    f"model's name and the key in the variable {language.key_variable}"
                ) from error
            problem = error
        except (OSError, ValueError) as error:
            problem = error
        if attempt + 1 < language.attempts:
            time.sleep(2**attempt)
    raise DownloadError(
        f"the language model at {language.url} cannot be reached ({problem}): start it, or check "
        "language.url"
    ) from problem


def _read(answer: str, caption: str) -> Replacement | None:
    """The first JSON object of an answer, if it names an object of the caption."""
    match = re.search(r"\{.*?\}", answer, re.S)
    try:
        content = json.loads(match[0]) if match else {}
        replacement = Replacement(
            *(str(content[key]).strip() for key in Replacement.__annotations__)
        )
    except (ValueError, KeyError, TypeError):
        return None
    is_complete = all((replacement.object, replacement.replacement, replacement.prompt))
    is_named = replacement.object.lower() in caption.lower()
    return replacement if is_complete and is_named else None
