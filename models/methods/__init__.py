"""Methods: how a step is made, one a file."""

from models.methods import moco as moco
from models.methods import simclr as simclr
from models.methods.method import METHODS, Batch, Learner, Method, Setting

__all__ = ["METHODS", "Batch", "Learner", "Method", "Setting"]
