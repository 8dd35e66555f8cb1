"""Marks that are words of their sentence, which has a hole without them: "According to [1]", "[1] says", "both [1] and [2]"."""

import re

_FAR = 120  # characters before that are looked at
_MARK = r"(?:[\[【［][^\[\]【】［］\n]{1,60}[\]】］]|\([^()\n]{1,60}\)|<cite\b[^<>\n]{0,60}(?:/>|>[^<\n]{0,60}</cite>))"
_AND = r"(?:\s*(?:,|&|、|和|与)\s*|,?\s+(?:and|or|und|oder|et|ou|y|o|e|en)\s+)"
_RULING = (  # what is followed by a noun
    r"according\s+to|per|see(?:\s+also)?|cf\.|in|from|by|of|with|unlike|like|than|both|either|following|using|citing|quoting|via|through"
    r"|(?:similar|contrary|refer(?:s|red|ring)?|compared|thanks)\s+to"
    r"|(?:bas(?:ed|ing)|rel(?:y|ies|ied|ying)|buil(?:ds?|t|ding)|draw(?:s|n|ing)?|depend(?:s|ing)?)\s+(?:up)?on"
    r"|laut|nach|gemäß|siehe|selon|d['’]après|dans|según|secondo|segundo|volgens|согласно"
)
_CALLED = r"(?<!\bthe )(?<!\bthis )(?<!\bthese )\b(?:source|document|reference|article|passage|excerpt|snippet|text|quelle)s?"
_HEADED = r"(?:^|\n|[.!?:]\s+)(?:stud(?:y|ies)|papers?|reports?|works?|chunks?|contexts?|results?)"  # "Study [1] found"
_RULED = re.compile(rf"(?:(?:\b(?:{_RULING})|{_CALLED}|{_HEADED})\s+|根据|据|依据)(?:both\s+)?(?:{_MARK}{_AND})*\Z", re.I)
_OPENING = re.compile(  # what a subject stands behind
    r"(?:^|\n|[.!?:;,—–(]['\"”’)]*\s+|[。！？，：]"
    r"|\b(?:and|but|while|whereas|that|as|what|how|because|since|although|though|if|where|both|und|wie|dass|et|comme|que|y|como|e|come)\s+)"
    rf"[-*+•>|\s]*(?:{_MARK}{_AND})*\Z",
    re.I,
)
_TELLS = (
    r"says?|states?|notes?|reports?|mentions?|describes?|explains?|shows?|argues?|adds?|confirms?|indicates?|suggests?|writes?|gives?|claims?"
    r"|contains?|agrees?|disagrees?|differs?|covers?|discuss(?:es)?|lists?|supports?|contradicts?|said|stated|noted|reported|found|finds?|zufolge"
    r"|sagt|nennt|berichtet|schreibt|erwähnt|besagt|gibt|indique|dit|mentionne|précise|affirme|explique|dice|indica|menciona|afirma|señala"
)
_SAYS = rf"{_TELLS}|is|are|was|were|has|have|does|do|ist|est|es|è|é"
_TOLD_BY = re.compile(rf"[,;—–\"”’]\s*(?:so\s+)?(?:{_TELLS})\s+(?:{_MARK}{_AND})*\Z", re.I)  # "It is tall, says [1]."
_SAYING = re.compile(
    rf"(?:{_AND}{_MARK})*(?:['’]s\b|[:：]|\s+(?:(?:also|both|clearly|explicitly|further|all|only)\s+)?(?:{_SAYS})\b|\s*(?:指出|说|提到|表示|认为|によると|によれば|は))",
    re.I,
)


def is_noun(text: str, start: int, end: int) -> bool:
    """Whether the mark from `start` to `end` is a word of its sentence: what a preposition or a verb asks for, its subject, or
    what a colon behind it speaks for ("[1]: It is tall.").

    >>> text = "[1] and [2] say so [3]. According to [4], it is."
    >>> [text[a : a + 3] for a in (0, 8, 19, 37) if is_noun(text, a, a + 3)]
    ['[1]', '[2]', '[4]']
    """
    before = text[max(0, start - _FAR) : start]
    if _RULED.search(before) or _TOLD_BY.search(before):
        return True
    return _OPENING.search(before) is not None and _SAYING.match(text, end) is not None
