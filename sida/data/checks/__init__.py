"""Checks of a labelled set: statistics, duplicates, leakage, and a page with the findings."""
