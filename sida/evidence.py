"""`inspect` by the name under which it was published first: `sida.evidence.inspect`."""

from sida.provenance import inspect

__all__ = ["inspect"]
