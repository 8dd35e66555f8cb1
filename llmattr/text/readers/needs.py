"""What of the extra `files` is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from llmattr.errors import LlmattrError


@contextmanager
def needs(kind: str) -> Iterator[None]:
    """Around the import of what reads files of this kind: what to install, where it is missing."""
    try:
        yield
    except ImportError as error:
        raise LlmattrError(f"{kind} files need pip install 'llmattr[files]' ({error})") from None
