"""Is this picture real, fully synthetic or tampered? Where, and why?

    from sida import Detector
    detector = Detector.load()
    verdict = detector.detect("photo.jpg", explain=True)

The names below are loaded when they are first used, so `import sida` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sida.detector import Detector, Request
    from sida.model import Sida, SidaConfig, SidaProcessor
    from sida.verdict import Verdict

__version__ = "0.1.0"

__all__ = ["Detector", "Request", "Sida", "SidaConfig", "SidaProcessor", "Verdict", "__version__"]

_MODULES = {
    "Detector": "sida.detector",
    "Request": "sida.detector",
    "Sida": "sida.model",
    "SidaConfig": "sida.model",
    "SidaProcessor": "sida.model",
    "Verdict": "sida.verdict",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(
            f"module 'sida' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
