"""Provenance: what a file declares of itself, what is measured in it, and contradictions."""

from sida.provenance.inspection import inspect

__all__ = ["inspect"]
