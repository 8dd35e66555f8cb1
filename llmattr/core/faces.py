"""The one door upwards: how a result reaches the reports that show it (`llmattr.report`), which stand above all results.

Nothing else below `report` may look it up; `tests/test_house.py` lists who comes through here.
"""

from importlib import import_module
from typing import Any


def face(report: str) -> Any:
    """A module of `llmattr.report` by its name, imported when a result is shown."""
    return import_module(f"llmattr.report.{report}")
