"""Figures of the theory: bounds, their slack, and fitted losses against K."""
