"""The tests, foldered like the library."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
