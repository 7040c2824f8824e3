"""The colours of lines, the same in every figure."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255")
"""Told apart by the colour-blind, on white and on black: Okabe & Ito 2008, with Tol's wine for their black."""
