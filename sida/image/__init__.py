"""A picture, whatever file it comes in: reading, JPEG coding, drawing masks over it."""

from sida.image.read import Picture, read_mask, read_picture

__all__ = ["Picture", "read_mask", "read_picture"]
