"""Attribution of what a model says to its training data. To add a method: one dataclass, and one line here."""

from llmattr.training.curvature import LoGra, TrackStar, Trak
from llmattr.training.similarity import GradCos, GradDot

METHODS = {method.name: method for method in (LoGra, GradCos, GradDot, Trak, TrackStar)}
