"""Methods: how a step is made, one per file."""

from models.methods import byol as byol
from models.methods import directpred as directpred
from models.methods import imix as imix
from models.methods import memory_bank as memory_bank
from models.methods import moco as moco
from models.methods import simclr as simclr
from models.methods import simclr_easy_positive as simclr_easy_positive
from models.methods import simclr_same_class as simclr_same_class
from models.methods import simsiam as simsiam
from models.methods import supcon as supcon
from models.methods import supervised as supervised
from models.methods import swav as swav
from models.methods import unmix as unmix
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext

__all__ = ["METHODS", "Batch", "Learner", "Method", "TrainingContext"]
