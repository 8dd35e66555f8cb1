"""What of a page a reader sees, and what of that is there to find the way on the site."""

import regex

from llmattr.text.split.blocks import SENTENCE_END, UP, says_something
from llmattr.text.split.tags import LISTS, Element

_UNSEEN = frozenset(["audio", "canvas", "iframe", "noscript", "object", "script", "select", "style", "template", "video"])
_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "dialog", "doc-backlink"])
_BACK = regex.compile(r"#(?:user-content-)?(?:fnref|fnr|cite_?ref|footnote-?ref|backref)|#(?:\w+-)*top$", regex.I)
_TOLD = frozenset(("h1", "h2", "h3", "p"))  # in a header: it is no bar of the site alone
_SAID = 4  # words of a button that says something, such as a question that it opens the answer to
_NAMES = regex.compile(  # of classes and ids
    r"(?:^|[\s_-])(?:nav|navbar|nav-?panel|navigation|nav-?header|nav-?footer|menu|menubar|sidebar|toc|contents|header|breadcrumbs?|pagination)(?=$|\s)",
    regex.I,
)
_TITLE = 30  # characters
_LINKS = 3  # items of a list of links, at least
_LINKED = 0.5  # of the letters of what is called navigation


def is_left_out(element: Element, inside: bool = False) -> bool:
    """Whether an element is no part of what a page says; `inside`: of its main part, where a header has its heading.

    What was never closed hides nothing: it may be a word that looks like a tag.
    """
    if not element.is_closed or element.tag in ("html", "body"):
        return False
    if element.tag == "svg":
        return not texts_of_picture(element)
    if element.tag == "button":
        return len("".join(element.texts()).split()) < _SAID
    if element.tag in _UNSEEN or element.tag == "nav" or (element.tag == "footer" and not inside):
        return True
    if element.tag == "header" and not inside and not any(inner.tag in _TOLD for inner in element.elements()):
        return True
    said = element.attributes
    if not said:
        return False
    if element.tag == "a" and said.get("href", "").startswith("#"):
        text = "".join(element.texts())  # "¶" behind a heading is a link to itself
        return bool(_BACK.match(said["href"]) or UP.fullmatch(text)) or not says_something(text)
    unseen = "display:none" in said.get("style", "").replace(" ", "").lower()
    if (
        said.get("aria-hidden") == "true" and len("".join(element.texts()).split()) < 2
    ):  # an icon, or a formula that is said again
        return True
    return unseen or "hidden" in said or said.get("role") in _ROLES


def texts_of_picture(picture: Element) -> list[Element]:
    """What is written in a drawing (SVG)."""
    return [element for element in picture.elements() if element.tag == "text" and any(map(str.strip, element.texts()))]


def is_navigation(element: Element) -> bool:
    """Whether it is a list of links alone, or is called so and has more letters in links than beside them."""
    if element.tag in LISTS:
        items = [child for child in element.children if isinstance(child, Element)]
        return len(items) >= _LINKS and all(_linked(item) == 1 for item in items)
    called = element.attributes and _NAMES.search(" ".join(element.attributes.get(name, "") for name in ("class", "id")))
    return bool(called) and element.is_block and _linked(element) > _LINKED


def is_title(line: str) -> bool:
    """Whether what stands right above navigation is its title: short, without a stop."""
    return len(line) < _TITLE and not SENTENCE_END.search(line)


def _linked(element: Element) -> float:
    """The share of its letters and digits that stand in links."""
    letters = sum(map(_letters, element.texts()))
    return sum(sum(map(_letters, link.texts())) for link in element.elements() if "href" in link.attributes) / max(letters, 1)


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))
