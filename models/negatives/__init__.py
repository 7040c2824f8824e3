"""Negative-selection strategies, one family a file."""

from models.negatives import cancellation as cancellation
from models.negatives import difficulty as difficulty
from models.negatives import mixing as mixing
from models.negatives import oracle as oracle
from models.negatives import ring as ring
from models.negatives import semantic as semantic
from models.negatives import semi_hard as semi_hard
from models.negatives import uniform as uniform
from models.negatives.strategy import STRATEGIES, Candidates, Filter, Selection, Strategy

__all__ = ["STRATEGIES", "Candidates", "Filter", "Selection", "Strategy"]
