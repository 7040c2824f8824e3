"""The colours and the names of lines, the same in every figure."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255")
"""Told apart by the colour-blind, on white and on black: Okabe & Ito 2008, with Tol's wine for their black."""


def legend_name(label: str, most: int = 48) -> str:
    """A cell's label, cut to a length that leaves the figure its room."""
    return label if len(label) <= most else label[: most - 1] + "…"
