"""Negative-selection strategies, one family a file."""

from models.negatives import difficulty as difficulty
from models.negatives import oracle as oracle
from models.negatives import uniform as uniform
from models.negatives.strategy import STRATEGIES, Candidates, Selection, Strategy

__all__ = ["STRATEGIES", "Candidates", "Selection", "Strategy"]
