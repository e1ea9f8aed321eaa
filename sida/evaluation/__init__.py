"""Measuring how well pictures are judged."""
