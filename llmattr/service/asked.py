"""What a request asks, out of its JSON: texts and a few choices, of which none opens a file or loads a model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from llmattr.context import METHODS
from llmattr.context.made_up import Unsupported
from llmattr.core.method import check_options, option
from llmattr.core.sources import Document, Measure
from llmattr.errors import LlmattrError, check_choice, did_you_mean
from llmattr.text.documents import read_documents
from llmattr.text.messages import TEMPLATE
from llmattr.text.shapes import SHAPES, TEXT
from llmattr.text.split import SPLITTERS

T = TypeVar("T")

ALSO = {"context": "documents", "question": "query", "answer": "response"}  # other names of the same
Verb = Literal["cite", "check"]
KEYS: dict[Verb, tuple[str, ...]] = {
    "cite": ("documents", "query", "response", "messages", "shape", "options"),
    "check": ("documents", "query", "response", "messages", "shape", "names", "options"),
}


@dataclass(frozen=True)
class CiteOptions:
    """Of the options of `llmattr cite` those that a client may choose."""

    method: str = option("screening", "a context method, with its defaults")
    quick: bool = option(False, "stop at the first look")
    sources: str = option("sentences", "what is removed")
    step: int | None = option(None, "of messages, all others of which stay", least=1)
    language: str | None = option(None, "of the documents")
    template: str = option(TEMPLATE, "the prompt, with {context} and {query}")
    max_new_tokens: int = option(256, "longest answer", least=1, below=4097)
    seed: int = option(0, "of everything random", below=2**32)
    measure: Measure = option("logit", "of what was said")
    verify: bool = option(True, "ask the model about what is cited")
    rather_than: str | None = option(None, "another answer")


@dataclass(frozen=True)
class CheckOptions:
    """The same of `llmattr check`."""

    quick: bool = option(False, "by words, without the model")
    repair: bool = option(False, "also the answer repaired")
    unsupported: Unsupported = option("keep", "in it, what no document supports")
    language: str | None = option(None, "of the documents and the answer")


@dataclass(frozen=True)
class Asked:
    """A request that can be worked on; `response` is a text, or for `check` a vendor's response."""

    options: CiteOptions | CheckOptions
    documents: tuple[Document, ...] | None = None
    query: str | None = None
    response: Any = None  # a text; of a check also what JSON has
    messages: list[Any] | None = None
    shape: str | None = None
    names: object = None


def read_json(body: bytes) -> Any:
    """The value of a JSON text; raises `LlmattrError` for any other."""
    try:
        return json.loads(body)
    except RecursionError:
        raise LlmattrError("the body is JSON that is nested too deeply") from None
    except ValueError as error:
        raise LlmattrError(f"the body is no JSON: {error!s:.120}") from None


def read_asked(given: Any, verb: Verb) -> Asked:
    """The request; raises `LlmattrError` for one that lacks something, or has what is not known."""
    if not isinstance(given, Mapping):
        raise LlmattrError(f"the body must be a JSON object, not {given!r:.60}")
    for name, other in ALSO.items():
        if name in given and other in given:
            raise LlmattrError(f"{name!r} and {other!r} are two names of the same: give one")
    said: dict[str, Any] = {ALSO.get(str(name), str(name)): value for name, value in given.items() if value is not None}
    _check_known(said, KEYS[verb], "the request")
    for name, kind, word in (("query", str, "a text"), ("messages", list, "a list"), ("shape", str, "a text")):
        if not isinstance(said.get(name, kind()), kind):
            raise LlmattrError(f"{name!r} must be {word}, not {said[name]!r:.60}")
    if "shape" in said:
        check_choice("shape", said["shape"], (*SHAPES, TEXT))
    if verb == "check" and not said.keys() & {"response", "messages"}:
        raise LlmattrError(
            "'answer' is missing: give the answer whose citations are to be checked, or 'messages' that end with it"
        )
    if verb == "cite" and not isinstance(said.get("response", ""), str):
        raise LlmattrError(f"'response' must be a text, not {said['response']!r:.60}")
    documents = None if "documents" not in said else texts_alone(said["documents"])
    options = _options(CiteOptions if verb == "cite" else CheckOptions, said.get("options", {}))
    return Asked(**{**said, "documents": documents, "options": options})


def texts_alone(given: Any) -> tuple[Document, ...]:
    """The documents of a client, read as everywhere, but nobody looks whether a file of the server is called as a text is."""
    if isinstance(given, str):
        return read_documents((Document(given, "context"),))
    if isinstance(given, list):
        return read_documents([{"text": one} if isinstance(one, str) else one for one in given])
    return read_documents(given)


def _options(kind: type[T], given: Any) -> T:
    """The options with what the request chose of them."""
    if not isinstance(given, Mapping):
        raise LlmattrError(f"'options' must be an object, not {given!r:.60}")
    _check_known(given, [field.name for field in fields(kind)], "options")  # pyright: ignore[reportArgumentType]
    made = kind(**given)
    check_options(made)
    for name, words in (("method", METHODS), ("sources", SPLITTERS)):
        if name in given:
            check_choice(name, given[name], words)
    return made


def _check_known(given: Mapping[str, Any], known: Any, whose: str) -> None:
    for name in given:
        if name not in known:
            raise LlmattrError(f"{whose} knows no {name!r:.60}{did_you_mean(name, known)} (it has {', '.join(known)})")
