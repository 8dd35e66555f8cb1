"""Attribution of a response to its context. To add a method: one file with one dataclass, and one line here."""

from llmattr.context.context_cite import ContextCite
from llmattr.context.leave_one_out import LeaveOneOut

METHODS = {method.name: method for method in (ContextCite, LeaveOneOut)}
