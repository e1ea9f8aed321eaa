"""Explanations in words: cues measured in a region, phrases for them, and descriptions."""
