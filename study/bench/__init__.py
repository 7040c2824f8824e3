"""Figures of speed, each a ratio inside one run."""
