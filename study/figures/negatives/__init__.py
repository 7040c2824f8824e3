"""Figures of what negatives mean."""
