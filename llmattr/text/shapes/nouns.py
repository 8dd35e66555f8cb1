"""Marks that are words of their sentence, which has a hole without them: "According to [1]", "[1] says", "both [1] and [2]"."""

import re

_FAR = 120  # characters before that are looked at
_MARK = r"[\[【［][^\[\]【】［］\n]{1,60}[\]】］]"
_AND = r"(?:\s*(?:,|&|、|和|与)\s*|,?\s+(?:and|or|und|oder|et|ou|y|o|e|en)\s+)"
_RULING = (  # what is followed by a noun
    r"according\s+to|per|see(?:\s+also)?|cf\.|in|from|by|of|with|unlike|like|than|both|either|(?:similar|contrary|refers?|compared)\s+to"
    r"|laut|nach|gemäß|siehe|selon|d['’]après|dans|según|secondo|segundo|volgens|согласно"
)
_CALLED = r"(?<!\bthe )(?<!\bthis )(?<!\bthese )\b(?:source|document|reference|article|passage|excerpt|snippet|text|quelle)s?"
_RULED = re.compile(rf"(?:(?:\b(?:{_RULING})|{_CALLED})\s+|根据|据|依据)(?:both\s+)?(?:{_MARK}{_AND})*\Z", re.I)
_OPENING = re.compile(  # what a subject stands behind
    r"(?:^|\n|[.!?:;,—–(]['\"”’)]*\s+|[。！？，：]"
    r"|\b(?:and|but|while|whereas|that|as|what|how|because|since|although|though|if|where|both|und|wie|dass|et|comme|que|y|como|e|come)\s+)"
    rf"[-*+•>|\s]*(?:{_MARK}{_AND})*\Z",
    re.I,
)
_SAYS = (
    r"says?|states?|notes?|reports?|mentions?|describes?|explains?|shows?|argues?|adds?|confirms?|indicates?|suggests?|writes?|gives?|claims?"
    r"|contains?|agrees?|disagrees?|differs?|covers?|discuss(?:es)?|lists?|supports?|contradicts?|said|stated|noted|reported|is|are|was|were|has|have|does|do"
    r"|sagt|nennt|berichtet|schreibt|erwähnt|besagt|gibt|ist|indique|dit|mentionne|précise|affirme|explique|est|dice|indica|menciona|afirma|señala|es|è|é"
)
_SAYING = re.compile(
    rf"(?:{_AND}{_MARK})*(?:['’]s\b|\s+(?:(?:also|both|clearly|explicitly|further|all|only)\s+)?(?:{_SAYS})\b|\s*(?:指出|说|提到|表示|认为|によると|によれば|は))",
    re.I,
)


def is_noun(text: str, start: int, end: int) -> bool:
    """Whether the mark from `start` to `end` is a word of its sentence.

    >>> text = "[1] and [2] say so [3]. According to [4], it is."
    >>> [text[a : a + 3] for a in (0, 8, 19, 37) if is_noun(text, a, a + 3)]
    ['[1]', '[2]', '[4]']
    """
    before = text[max(0, start - _FAR) : start]
    if _RULED.search(before):
        return True
    return _OPENING.search(before) is not None and _SAYING.match(text, end) is not None
