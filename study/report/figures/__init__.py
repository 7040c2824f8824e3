"""Figures of a study: an info, which is tested without a renderer, and a drawing of it."""
