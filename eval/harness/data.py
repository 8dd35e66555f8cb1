"""stub"""

from pathlib import Path


def files(name):
    return Path("/work/shared/data") / name
