"""Citations as others write them: every vendor's shape, out of what we cite and into what can be checked."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

from llmattr.errors import LlmattrError, check_choice, check_text
from llmattr.text.documents import Context, read_documents
from llmattr.text.shapes import anthropic, bedrock, cohere, gemini, langchain, markdown, openai
from llmattr.text.shapes.answers import with_documents
from llmattr.text.shapes.cited import Cited
from llmattr.text.shapes.marked import Claim, Marked, Marker, placed
from llmattr.text.shapes.naming import is_called, named, own_names
from llmattr.text.shapes.units import POINTS, UTF8

__all__ = ["SHAPES", "TEXT", "Cited", "Marked", "Marker", "Shape", "read"]


class Shape(NamedTuple):
    """How a vendor writes citations, how an answer of theirs is read (None: it is not theirs), and what its places count."""

    write: Callable[[Cited], dict[str, Any]]
    read: Callable[[Any], tuple[list[str], list[Claim]] | None]
    unit: str = POINTS


SHAPES = {  # an answer is read by the first that knows it
    "gemini": Shape(gemini.write, gemini.read, UTF8),
    "bedrock": Shape(bedrock.write, bedrock.read),
    "cohere": Shape(cohere.write, cohere.read),
    "openai": Shape(openai.write, openai.read),
    "anthropic": Shape(anthropic.write, anthropic.read),
    "langchain": Shape(langchain.write, langchain.read),
}
TEXT = "markdown"  # the one that is no dict


@runtime_checkable
class _Model(Protocol):
    def model_dump(self, *, by_alias: bool, exclude_none: bool) -> dict[str, Any]: ...


def read(given: object, shape: str | None = None, *, documents: Context | None = None, names: object = None) -> Marked:
    """An answer with its citations: a text with marks, or a vendor's response, message or content, as a dict or their object.

    Or an answer that comes with its documents, as frameworks return it (`answers.PARTS`): these count where none are given.
    `shape` is one of `SHAPES` or "markdown"; None: what the answer looks like. A vendor's answer without citations is read as a
    text. `documents` is what the answer had, in any of the forms that `cite` takes: the markers say which of these they mean,
    by id, title, address or quote, else by their number. `names` says which document a name is: `{"Doe 2020": "tower.pdf"}`.
    Raises `LlmattrError` for what is no such answer.

    >>> found = read("Built in 1889 [2]. Nobody knows by whom.", documents=["It is tall.", "It was built in 1889."])
    >>> found.answer
    'Built in 1889. Nobody knows by whom.'
    >>> [(marker.start, marker.document) for marker in found.markers]
    [(13, 1)]
    """
    if shape is not None:
        check_choice("shape", shape, (*SHAPES, TEXT))
    names = _checked(names)
    if (both := with_documents(given)) is not None:
        given, own = both
        documents = own if documents is None else documents
    known = None if documents is None else read_documents(documents)
    how = names, own_names(known or ()), partial(is_called, known or ()), None if known is None else len(known)
    if isinstance(given, str):
        if shape not in (None, TEXT):
            raise LlmattrError(
                f"an answer in the shape of {shape!r} is a dict or their object, not a text: parse its JSON first"
            )
        return named(markdown.read(check_text(given, "the answer"), *how), known)
    found = _structured(_plain(given), [one for one in SHAPES if shape in (None, one)])
    if found is None:
        what = "of " + repr(shape) if shape else "with citations that is known"
        keys = f"a dict with {', '.join(map(str, given))}" if isinstance(given, dict) else f"a {type(given).__name__}"
        raise LlmattrError(f"this is no answer {what}: {keys:.120}; give a text, or a response of {', '.join(SHAPES)}")
    return named(found if found.markers else markdown.read(found.answer, *how), known)


def _structured(given: Any, shapes: list[str]) -> Marked | None:
    """What the first of these shapes that knows the answer reads."""
    for name in shapes:
        try:
            if (found := SHAPES[name].read(given)) is not None:
                parts, claims = found
                return placed([check_text(part, "the answer") for part in parts], claims, SHAPES[name].unit)
        except LlmattrError:
            raise
        except KeyError as error:
            raise LlmattrError(f"this answer in the shape of {name!r} cannot be read: a citation has no {error}") from None
        except (TypeError, AttributeError, IndexError, ValueError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise LlmattrError(f"this answer in the shape of {name!r} cannot be read ({reason:.80})") from None
    return None


def _plain(given: object) -> Any:
    """The dicts and lists of a vendor's objects, by the names that stand on the wire."""
    if isinstance(given, _Model):
        return given.model_dump(by_alias=True, exclude_none=True)
    return [_plain(one) for one in given] if isinstance(given, (list, tuple)) else given


def _checked(names: object) -> Mapping[str, str | int]:
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise LlmattrError(f'names must be a dict such as {{"Doe 2020": 2}}, not {names!r:.40}')
    for name, document in names.items():
        if not (isinstance(name, str) and name and isinstance(document, (str, int)) and not isinstance(document, bool)):
            raise LlmattrError(
                f"names say which document each is, by its number, id or title, not {name!r:.40}: {document!r:.40}"
            )
    return names
