"""Measurements of a picture's pixels and of its JPEG coding."""
