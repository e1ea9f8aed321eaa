"""What image generators write into a file: their settings, found by form and shown as text.

Nothing of it is carried out or believed: a prompt is a string, a workflow is searched for the
names of models, and anybody can write either into a photograph.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Settings", "generator_named", "generator_settings"]

MAX_NODES = 2_000
MAX_LINE = 10_000  # characters


@dataclass(frozen=True)
class Settings:
    """Settings of a generator.

    Attributes:
        generator: its name.
        keyword: of the text that holds them.
        prompt, negative, model: as far as they could be told apart.
        text: the whole of it.
    """

    generator: str
    keyword: str
    text: str
    prompt: str | None = None
    negative: str | None = None
    model: str | None = None


NAMES = (
    (r"dall[·\-. ]?e\b", "DALL·E"),
    (r"\bchatgpt\b|\bgpt-?4o\b|\bgpt-image\b", "ChatGPT"),
    (r"\bopenai\b", "OpenAI"),
    (r"\bfirefly\b", "Adobe Firefly"),
    (r"\bmidjourney\b", "Midjourney"),
    (r"\bnovelai\b", "NovelAI"),
    (r"\binvokeai\b", "InvokeAI"),
    (r"\bcomfyui\b", "ComfyUI"),
    (r"\bstable[ _-]?diffusion\b|\bautomatic1111\b|\bdreamstudio\b", "Stable Diffusion"),
    (r"\bmade with google ai\b|\bimagen\b|\bgemini\b|\bgoogle generative ai\b", "Google AI"),
    (r"\bimage creator from (microsoft )?designer\b|\bbing image creator\b", "Bing Image Creator"),
    (r"\bimagined with ai\b|\bmeta ai\b", "Meta AI"),
    (r"\bflux\.?1\b|\bblack forest labs\b", "FLUX"),
    (r"\bleonardo\.?ai\b", "Leonardo"),
    (r"\bideogram\b", "Ideogram"),
)


def generator_named(text: str) -> str | None:
    """The generator that a field such as "software" or "credit" names; None for other programs."""
    for pattern, name in NAMES:
        if re.search(pattern, text[:1000], re.IGNORECASE):
            return name
    return None


def generator_settings(texts: Mapping[str, str]) -> Iterator[Settings]:
    """Settings in a file's texts, by keyword; each text belongs to one generator at most."""
    for keyword, text in texts.items():
        for form in _FORMS:
            if (found := form(keyword, text, texts)) is not None:
                yield found
                break


Form = Callable[[str, str, Mapping[str, str]], Settings | None]


def _web_ui(keyword: str, text: str, texts: Mapping[str, str]) -> Settings | None:
    """Stable Diffusion web UI and its kin: prompt, "Negative prompt: …", "Steps: 20, …"."""
    match = re.search(r"(?:^|\n)Steps: \d+, .*\Z", text[-MAX_LINE:])
    if match is None:
        return None
    line = match.group().strip()
    before, _, negative = text[: len(text) - len(match.group())].partition("Negative prompt: ")
    version = _field(line, "Version") or ""
    name = "ComfyUI" if "ComfyUI" in version else "Stable Diffusion web UI"
    return _settings(name, keyword, text, before, negative, _field(line, "Model"))


def _field(line: str, name: str) -> str | None:
    match = re.search(rf'(?:^|, ){name}: (?:"([^"]*)"|([^,]*))', line)
    return None if match is None else (match[1] or match[2])


def _comfy(keyword: str, text: str, texts: Mapping[str, str]) -> Settings | None:
    """ComfyUI: `prompt`, nodes by number; `workflow`, the graph as it is drawn."""
    if keyword not in ("prompt", "workflow"):
        return None
    graph = _json(text)
    if keyword == "workflow" and isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
        return _settings("ComfyUI", keyword, text)
    nodes = list(graph.values())[:MAX_NODES] if isinstance(graph, dict) else []
    nodes = [each for each in nodes if isinstance(each, dict) and "class_type" in each]
    if not nodes:
        return None
    inputs = [(str(each["class_type"]), _dictionary(each.get("inputs"))) for each in nodes]
    prompts = [
        value
        for kind, given in inputs
        for name, value in given.items()
        if "TextEncode" in kind and name.startswith(("text", "clip_l", "t5")) and value
    ]
    models = [
        given[name]
        for _, given in inputs
        for name in ("ckpt_name", "unet_name", "model_name")
        if name in given
    ]
    texts_ = [value for value in dict.fromkeys(map(str, prompts)) if not value.startswith("[")]
    return _settings("ComfyUI", keyword, text, " | ".join(texts_), None, _joined(models))


def _invoke(keyword: str, text: str, texts: Mapping[str, str]) -> Settings | None:
    """InvokeAI of each of its three forms."""
    if keyword == "Dream":
        match = re.match(r'\s*"([^"]*)"', text)
        return _settings("InvokeAI", keyword, text, match[1] if match else None)
    if keyword not in ("invokeai_metadata", "invokeai_graph", "sd-metadata"):
        return None
    fields = _dictionary(_json(text))
    model = fields.get("model", fields.get("model_weights"))
    if isinstance(model, dict):
        model = model.get("name", model.get("model_name"))
    prompt = fields.get("positive_prompt", _dictionary(fields.get("image")).get("prompt"))
    if isinstance(prompt, list):
        prompt = " | ".join(str(_dictionary(each).get("prompt", "")) for each in prompt[:20])
    negative = fields.get("negative_prompt")
    return _settings("InvokeAI", keyword, text, prompt, negative, model)


def _novel(keyword: str, text: str, texts: Mapping[str, str]) -> Settings | None:
    """NovelAI: the settings in `Comment`, the model in `Source`."""
    if keyword != "Comment" or "NovelAI" not in texts.get("Software", ""):
        return None
    fields = _dictionary(_json(text))
    prompt = fields.get("prompt", texts.get("Description"))
    return _settings("NovelAI", keyword, text, prompt, fields.get("uc"), texts.get("Source"))


def _journey(keyword: str, text: str, texts: Mapping[str, str]) -> Settings | None:
    """Midjourney: prompt, options after two dashes, "Job ID: …"."""
    described = keyword.casefold() in ("description", "imagedescription", "comment")
    if not described or not re.search(r"\bJob ID: [0-9a-f-]{36}", text):
        return None
    prompt = re.split(r" --\w|\s*Job ID:", text, maxsplit=1)[0]
    version = re.search(r"--(v|version|niji) ([\w.]+)", text)
    return _settings("Midjourney", keyword, text, prompt, None, version[2] if version else None)


def _json_parameters(keyword: str, text: str, texts: Mapping[str, str]) -> Settings | None:
    """SwarmUI and Fooocus: an object in `parameters`."""
    if keyword not in ("parameters", "comment"):
        return None
    fields = _dictionary(_json(text))
    if "sui_image_params" in fields:
        name, fields = "SwarmUI", _dictionary(fields["sui_image_params"])
        keys = ("prompt", "negativeprompt", "model")
    elif "base_model" in fields or "fooocus_scheme" in texts:
        name, keys = "Fooocus", ("prompt", "negative_prompt", "base_model")
    else:
        return None
    return _settings(name, keyword, text, *(fields.get(key) for key in keys))


_FORMS: tuple[Form, ...] = (_comfy, _invoke, _novel, _journey, _json_parameters, _web_ui)


def _settings(
    generator: str,
    keyword: str,
    text: str,
    prompt: object = None,
    negative: object = None,
    model: object = None,
) -> Settings:
    parts = [str(each).strip() if each else None for each in (prompt, negative, model)]
    return Settings(generator, keyword, text, *parts)


def _joined(values: list[Any]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _json(text: str) -> Any:
    """None for what is no JSON, or nests too deep for Python's reader."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
