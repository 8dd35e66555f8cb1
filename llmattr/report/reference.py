"""Where a source comes from, as a reader is told: its document's title, page, author, date and address, or its characters."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmattr.core.sources import Document, Sources
from llmattr.text.shapes.naming import CALLED

PAGES = ("page_label", "page_number", "page")  # the label is what is printed on it: a `page` may count from 0
ABOUT = ("author", "authors", "date", "published")
ADDRESSES = ("url", "link", "source")
_LINK = re.compile(r"""https?://[^\s<>"'`\\^{|}\x00-\x1f\x7f]+""", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """What is known of a source, in short texts; `url` is an address of the web and nothing else, so that it may be a link."""

    name: str
    page: str | None
    about: tuple[str, ...]
    url: str | None


def titled(document: Document) -> Reference | None:
    """The reference to a whole document; None where nothing is known but its text."""
    return _reference(document, document.metadata)


def reference_to(sources: Sources, source: int) -> Reference | None:
    """The reference to a source; None where nothing is known but the text that it was cut from."""
    document = sources.document(source)
    return None if document is None else _reference(document, sources.metadata(source))


def references(sources: Sources) -> dict[int, Reference]:
    """The references to all sources that have one."""
    return {i: found for i in range(len(sources)) if (found := reference_to(sources, i))}


def place(sources: Sources, source: int, with_characters: bool = True) -> str:
    """Where a source stands: its document, page or line (and characters in it), and what else is known."""
    found = reference_to(sources, source)
    if found is None:
        return ", ".join(_lines(sources, source, None, with_characters))
    cell = _short(sources.metadata(source).get("cell"))
    part = f"p. {found.page}" if found.page else f"cell {cell}" if cell else ""
    where = [found.name, part] if part else _lines(sources, source, found.name, with_characters)
    return ", ".join([*where, *found.about, *([found.url] if found.url and found.url != found.name else [])])


def _lines(sources: Sources, source: int, name: str | None, with_characters: bool) -> list[str]:
    """The name of its document (None: its id), told from others with this id, and the line (and characters) in it."""
    document = sources.document(source)
    if document is None or sources.spans is None or sources.groups is None:
        return [name or sources.ids[source]]
    start, end = sources.spans[source]
    line = document.text.count("\n", 0, start) + 1
    alike = sum(other.id == document.id for other in sources.documents) > 1
    name = name or document.id
    characters = [f"characters {start}-{end}"] if with_characters else []
    return [f"{name} (document {sources.groups[source] + 1})" if alike else name, f"line {line}", *characters]


def _reference(document: Document, known: Mapping[str, Any]) -> Reference | None:
    if not known:
        return None
    texts = {key: text for key in (*CALLED, *PAGES, *ABOUT, *ADDRESSES) if (text := _short(known.get(key)))}
    return Reference(
        name=document.title or _first(texts, CALLED) or document.id,
        page=_first(texts, PAGES),
        about=tuple(dict.fromkeys(texts[key] for key in ABOUT if key in texts)),
        url=next((texts[key] for key in ADDRESSES if _LINK.fullmatch(texts.get(key, ""))), None),
    )


def _first(texts: Mapping[str, str], keys: Iterable[str]) -> str | None:
    return next((texts[key] for key in keys if key in texts), None)


def _short(value: object) -> str:
    """A text, a number or several of them on one line; nothing for what is no such thing, or empty."""
    if isinstance(value, (list, tuple)):
        return ", ".join(text for one in value if (text := _short(one)))
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a table with an empty cell has whole numbers as such
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value != value:
        return ""
    return " ".join(str(value).split())
