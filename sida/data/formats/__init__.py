"""Readers of labelled sets, one module for each published form."""
