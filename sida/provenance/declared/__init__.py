"""Statements of a file about itself, read from its metadata, each with its state."""
