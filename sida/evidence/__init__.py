"""Evidence for people: what a file declares, what is measured in it, and the words for it."""

from sida.evidence.provenance import inspect

__all__ = ["inspect"]
