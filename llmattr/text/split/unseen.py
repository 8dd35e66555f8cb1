"""What of a page or of Markdown nobody reads as its text: scripts, menus, what is hidden, tags."""

import html

import regex

from llmattr.text.split.tags import TAG, Element

_UNSEEN = frozenset(
    ["audio", "button", "canvas", "iframe", "noscript", "object", "script", "select", "style", "svg", "template", "video"]
)
_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "complementary", "dialog", "doc-backlink"])
_BACK = regex.compile(r"#(?:user-content-)?(?:fnref|fnr|cite_?ref|footnote-?ref|backref)|#(?:\w+-)*top$", regex.I)
_UP = regex.compile(r"\W*(?:(?:back|return|go|jump|skip) )?to (?:the )?(?:top|(?:main )?content|navigation)\W*", regex.I)
_WAY_BACK = regex.compile(
    rf"^[\s*_(-]*\[{_UP.pattern}\]\(#[^)\s]*\)[\s*_)]*$|(?:\[?↩\ufe0e?(?:\]\(#[^)\s]*\))?[\d\s]*)+$", regex.I
)
_MARKS = regex.compile(rf"(`+)(?!`)[^\n]*?(?<!`)\1(?!`)|<!--.*?-->|<[!?][a-zA-Z\[][^<>]*>|{TAG}|&#?\w+;?", regex.S)


def is_left_out(element: Element, inside: bool = False) -> bool:
    """Whether an element is no part of what a page says; `inside`: of its main part, where a header has its heading.

    What was never closed hides nothing: it may be a word that looks like a tag.
    """
    if not element.is_closed or element.tag in ("html", "body"):
        return False
    if element.tag in _UNSEEN or element.tag == "nav" or (element.tag in ("header", "footer") and not inside):
        return True
    said = element.attributes
    if not said:
        return False
    if element.tag == "a" and said.get("href", "").startswith("#"):
        return bool(_BACK.match(said["href"]) or _UP.fullmatch("".join(element.texts())))
    unseen = "display:none" in said.get("style", "").replace(" ", "").lower()
    return unseen or "hidden" in said or said.get("aria-hidden") == "true" or said.get("role") in _ROLES


def seen(text: str) -> str:
    """What a reader sees of HTML or of a line of Markdown: no tags, characters for their names, no way back in the page."""
    return _WAY_BACK.sub("", _MARKS.sub(_seen, text))


def _seen(mark: regex.Match[str]) -> str:
    return mark[0] if mark[0][0] == "`" else "" if mark[0][0] == "<" else html.unescape(mark[0])
