"""What of a page a reader sees, and what of that is there to find the way on the site."""

import regex

from llmattr.text.split.blocks import SENTENCE_END, UP, says_something
from llmattr.text.split.tags import LISTS, Element

_UNSEEN = frozenset(["audio", "canvas", "dialog", "iframe", "menu", "nav", "noscript", "object", "script"])
_UNSEEN |= {"select", "style", "template", "video"}
_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "dialog", "doc-backlink"])
_BACK = regex.compile(r"#(?:user-content-)?(?:fnref|fnr|cite_?ref|footnote-?ref|backref)|#(?:\w+-)*top$", regex.I)
_TOLD = frozenset(("h1", "h2", "h3", "p"))  # in a header: it is no bar of the site alone
_FORMED = frozenset(
    ("p", "article", "section", "h1", "h2", "h3", "ul", "ol", "table", "pre")
)  # in a form: it is a page as a whole
_SAID = 4  # words of a button or a label that says something, such as a question that it opens the answer to
_NAMES = regex.compile(  # of classes and ids
    r"(?:^|[\s_-])(?:nav|navbar|nav-?panel|navigation|nav-?header|nav-?footer|menu|menubar|sidebar|toc|contents|header|breadcrumbs?|pagination)(?=$|\s)",
    regex.I,
)
_BOXES = regex.compile(
    r"(?:^|[\s_-])(?:(?:cookies?|consent|gdpr)[_-]?(?:alert|banner|bar|box|consent|container|info|law|message|modal|notice|overlay|popup|wall)"
    r"|(?:share|social|sharing)(?:[_-]?(?:bar|buttons|icons|links|media))?|newsletter(?:[_-]?(?:box|form|signup))?"
    r"|feedback[_-]?(?:box|form|widget)|page[_-]?feedback|(?:page|was)[_-]?helpful|skip[_-]?links?)(?=$|\s)",
    regex.I,
)
_BADGES = regex.compile(  # "Verified purchase", "Read more"
    r"(?:^|[\s_-])(?:badges?|btn|button|chip|pill|verified(?:[_-]purchase)?|label-\w+)(?=$|[\s_-])", regex.I
)
_CALLED = ("class", "id", "data-hook", "data-testid")
_BOX = 60  # words: what is called so and says more is no box
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
    if element.tag == "button" or element.attributes.get("role") == "button":
        return _is_short(element)
    if element.tag in _UNSEEN or (element.tag in ("aside", "footer") and not inside):
        return True
    if element.tag == "form":
        return not any(inner.tag in _FORMED for inner in element.elements())
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
    role = said.get("role")
    return unseen or "hidden" in said or role in _ROLES or (role == "complementary" and not inside)


def _is_short(element: Element) -> bool:
    return len("".join(element.texts()).split()) < _SAID


def texts_of_picture(picture: Element) -> list[Element]:
    """What is written in a drawing (SVG)."""
    return [element for element in picture.elements() if element.tag == "text" and any(map(str.strip, element.texts()))]


def is_navigation(element: Element) -> bool:
    """Whether it is a list of links alone, or a box that is called so: with more letters in links, or for cookies."""
    if element.tag in LISTS:
        items = [child for child in element.children if isinstance(child, Element)]
        return len(items) >= _LINKS and all(_linked(item) == 1 for item in items)
    if not element.is_block:
        return False
    called = " ".join(element.attributes.get(name, "") for name in ("class", "id"))
    if _BOXES.search(called):
        return len("".join(element.texts()).split()) < _BOX
    return bool(_NAMES.search(called)) and _linked(element) > _LINKED


def is_label(element: Element) -> bool:
    """Whether it is the label of a field or of a place in a drawing, or is called a badge or a button; in a few words each."""
    named = element.tag in ("label", "text") or _BADGES.search(" ".join(element.attributes.get(name, "") for name in _CALLED))
    return bool(named) and _is_short(element)


def is_title(line: str) -> bool:
    """Whether what stands right above navigation is its title: short, without a stop."""
    return len(line) < _TITLE and not SENTENCE_END.search(line)


def _linked(element: Element) -> float:
    """The share of its letters and digits that stand in links."""
    letters = sum(map(_letters, element.texts()))
    return sum(sum(map(_letters, link.texts())) for link in element.elements() if "href" in link.attributes) / max(letters, 1)


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))
