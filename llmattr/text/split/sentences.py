"""Where sentences end inside one paragraph: sentencex (Wikimedia) by the language, and rules of our own on top."""

import itertools
from collections.abc import Iterator

import regex

from llmattr.core.progress import heed
from llmattr.text.split.abbreviations import MAY_END, is_abbreviated
from llmattr.text.split.quotations import quotation_goes_on
from llmattr.text.split.tags import TAG

Span = tuple[int, int]
_AHEAD = 60  # characters that are looked at behind a stop, and
_BEHIND = 300  # before it
_PAGE = 5000  # characters

# What stands for itself and holds stops that end nothing: code, addresses, targets of links, tags.
_OPAQUE = regex.compile(
    rf"(?<!`)`++[^`\n]++`++|<code\b[^<>]*>[^<>]*</code>|\]\([^()\s]*(?:\s[^()\n]*)?\)|\$\$[^$]+\$\$|https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]|{TAG}|<!--[^<>]*>|&#?\w+;"
)
_WHOLE = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{N}\s,/%’-]*+[.!?]?")  # no stop inside: it is one sentence
_CODE_STOP = regex.compile(r"(?<=\w\w)\.`+$|\.\s*\$\$$")  # of the sentence, set inside as quotation marks have it
_CLOSERS = regex.compile(
    r"(?:[」』”’）】》〉〟»›)\]}]|&(?:quot|r[sda]quo);|[\"'*_~`]+(?!\w)|\$\$|</[a-zA-Z][^<>]*>|\[\^?\w{1,4}(?:[,–-]\s?\w{1,4})*\]|<sup\b[^<>]*>.{0,80}?</sup>"
    r"|[¹²³⁰-⁹†‡]+|\s?(?:(?:(?=\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F)\X)++|[:;]-?[)(DP](?!\w)))+"
)
_NAMED_WHITE = regex.compile(r"&(?:nbsp|quot|[lr][sda]quo|bdquo|sbquo);")  # to the sentence: quotation marks are at its ends
_OPENERS = regex.compile(r"(?<=\S)\s+[\"'“”„«»‘(\[¿¡*_]+$")
_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}」』”’）】》]"
_WIDE_STOP = regex.compile(rf"(?:[。！？｡．]|(?<={_CJK})[!?…])[。！？｡．!?…]*[」』”’）】》〉)\"]*")
_OWN_STOP = regex.compile(
    r"(?<!។\s?ល\s?)[៕။۔។]+(?!\s*ល\s*។)[»”’\"')\]]*\s*|(?<=[\p{Khmer}\p{Myanmar}\p{Lao}\p{Thai}][!?…]+)[»”’\"')\]]*\s+"
)
# Thai and Lao part sentences, and now and then words, by a space: not behind or before what binds, nor around a few letters.
_GAP = regex.compile(r"(?<=[\p{Thai}\p{Lao}])[ ]+(?=[\p{Thai}\p{Lao}])")
_BINDS = r"และ|แต่|หรือ|ซึ่ง|ที่|โดย|เพราะ|เพื่อ|ว่า|จึง|ก็|ทั้ง|คือ|ได้แก่|เช่น|แล้ว|ๆ|ແລະ|ແຕ່|ຫຼື|ທີ່|ໂດຍ|ເພາະ|ເພື່ອ|ວ່າ|ຄື|ເຊັ່ນ|ໆ"
_CLAUSE = regex.compile(rf"(?!{_BINDS})[\p{{Thai}}\p{{Lao}}\p{{M}}]{{10,}}")
_CLAUSE_END = regex.compile(rf"[\p{{Thai}}\p{{Lao}}\p{{M}} ]{{20,}}(?<!{_BINDS})$")
_ASIDE = r"\[\p{L}[^\[\]]{1,30}\]\s+\p{Lu}"  # "[pause] Then"
_CLOSED = regex.compile(
    r"(?:[.!?…।؟។](?:[\"'”’»)\]*_`]|\[\^?\w{1,4}\]|[¹²³⁰-⁹†‡])+|…|\.\.\.)\s+(?=[\"'“‘«(\[*_¿¡„—–-]*\s?[\p{Lu}\p{Lt}\p{Lo}\p{Nd}])"
)
_QUOTED = regex.compile(r"(?<![^\s(\[—–-])(?:[“«„”\"]|»(?=\S))([^“”«»„\"]{3,600}?[.!?…؟।។]\s[^“”«»„\"]{2,600}?)[”«»“\"]")
_BEFORE_THE_FIRST = regex.compile(r"(?:^|[:.;!?]\s)\s*$")
_NUMBERED = regex.compile(r"(?<!\S)\(?(\d{1,2})[.)]\s+(?=\p{L})")

_BULLET = r"[-*+•‣◦▪·–—>#|\s]*+(?:\[[ xX]\]\s*)?"
_NUMBER = r"\(?(?:[A-Z]?\d{1,3}(?:\.\d{1,3})*|[ivxlcIVXLC]{1,6}|\p{L}\p{M}*)[.):]+"
_NAMED = r"\p{L}[\p{L}\p{M}]{1,11}\.?\s(?:\d{1,3}(?:\.\d{1,3})*|[IVX]{1,4})[.):]"
_MARK = regex.compile(rf"\s*{_BULLET}(?:{_NUMBER}\)?\s|{_NAMED}\s)?")
_MARKS = regex.compile(rf"\s*{_BULLET}[*_(\[\"'“«]*(?:{_NUMBER}|{_NAMED})?[*_)\]]*\s*$")
_LETTER = regex.compile(r"[\p{L}\p{N}º]")
_JOINED = regex.compile(r"[-‐‑/]?[\p{L}\p{N}º]")
_UNCASED = regex.compile(r"\p{Lo}")
_WIDE_LETTER = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_NO_BEGINNING = frozenset(",;:，、；：)]")
_QUOTES = regex.compile(r"[\r\n][^\S\r\n]*+(?:>\s?)+")  # of a quotation, at the beginning of its next line
_ANGLES = regex.compile(r"(?:>\s?)*+\s*+")
_OWN = regex.compile(r"[।॥។៕။።]")  # stops of scripts in which a full stop is one of abbreviations, where they have both
_ABBREVIATED = regex.compile(r"[\p{Devanagari}\p{Bengali}\p{Khmer}\p{Myanmar}\p{Ethiopic}](?<!\.)\.$")
_INK = regex.compile(r"\S")
_WHITE = regex.compile(r"\s")
_COMPARED = str.maketrans("<>", "==")
_LETTERED = regex.compile(r"\(?\p{Ll}[.)]\s")  # an item of a list inside a line
_LOWER = regex.compile(rf"(?!{_ASIDE}|['’]\p{{Ll}}\s\p{{Lu}})[\"'“”‘’«»(\[*_¿¡—–-]*\s*(?:</?[a-z][^<>]*>)*\p{{Ll}}(?!\p{{Lu}})")
_PAUSE = regex.compile(r"\s(?:…|\.\.\.)$")  # an ellipsis apart, in the middle of a sentence where no capital letter follows


def sentence_spans(text: str, language: str) -> list[Span]:
    """Where the sentences of a paragraph lie, without the white space between them; together they are all of it."""
    heed()
    if _WHOLE.fullmatch(text):
        return [span] if (span := _trimmed(text, 0, len(text))) else []
    plain = _OPAQUE.sub(_veiled, _QUOTES.sub(lambda marks: " " * len(marks[0]), text))
    plain = _WHITE.sub(" ", plain)
    numbered = _numbered(plain)
    mark = _MARK.match(plain)
    if mark:  # sentencex keeps what a list mark opens whole
        plain = _INK.sub("x", mark[0]) + plain[mark.end() :]
    places = sorted({_between(text, plain, end) for end in [*numbered, *_candidates(plain, language)]})
    has_case = text != text.lower()
    has_own = bool(_OWN.search(text))
    cuts, start = [0], 0
    for place in places:
        heed()
        if place <= start or place >= len(text):
            continue
        left, right = text[max(start, place - _BEHIND) : place], plain[place : place + _AHEAD]
        if (has_own and _ABBREVIATED.search(left.rstrip())) or _goes_on(left, right, language, has_case):
            continue
        cuts.append(place)
        start = place
    return [span for a, b in itertools.pairwise([*cuts, len(text)]) if (span := _trimmed(text, a, b))]


def _veiled(match: regex.Match[str]) -> str:
    """As long as what it stands for: tags are white space to the sentence, code may open one, all else is a word inside."""
    if match[0][0] in "`$" or match[0].startswith("<code"):
        stop = _CODE_STOP.search(match[0])
        ending = stop[0] if stop else ""
        return "X" + "x" * (len(match[0]) - 1 - len(ending)) + ending
    return (" " if match[0][0] == "<" or _NAMED_WHITE.fullmatch(match[0]) else "x") * len(match[0])


def _trimmed(text: str, start: int, end: int) -> Span | None:
    first = end - len(text[start:end].lstrip())
    if "\n" in text[start:first] or "\r" in text[start:first]:  # marks of a quotation may begin its line
        first = _ANGLES.match(text, first, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    last = first + len(text[first:end].rstrip())
    return (first, last) if first < last else None


def _candidates(plain: str, language: str) -> Iterator[int]:
    """Places where a sentence may end, by sentencex and by rules for what it has not."""
    yield from _segmented(plain, language)
    for pattern in (_OWN_STOP, _CLOSED, MAY_END, _WIDE_STOP, _GAP):
        yield from (stop.end() for stop in pattern.finditer(plain))
    for quoted in _QUOTED.finditer(plain):  # sentencex keeps a quotation whole
        yield from (quoted.start(1) + end for end in _segmented(quoted[1], language))


def _numbered(text: str) -> list[int]:
    """Where the items of a list inside a line begin: "The steps are: 1. Open the box. 2. Take the key."."""
    found: list[int] = []
    for number in _NUMBERED.finditer(text):
        begins = found or _BEFORE_THE_FIRST.search(text[max(number.start() - 3, 0) : number.start()])
        if begins and int(number[1]) == len(found) + 1:
            found.append(number.start())
    return found if len(found) > 1 else []


def _segmented(plain: str, language: str) -> Iterator[int]:
    """Where sentencex ends sentences inside a text; it is asked for a page at once, since its time grows with the square."""
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]  # compiled

    start = 0
    while start < len(plain):
        heed()
        edge = start + _PAGE
        edge = (plain.rfind(". ", start, edge) + 2 if edge < len(plain) else 0) or edge
        edge = edge if edge > start + 1 else start + _PAGE
        # sentencex 1.0.32 fails on a full stop before a no-break space, so it sees plain spaces alone; and "p < 0.05. q > 1"
        # would be a quotation to it.
        ends = list(itertools.accumulate(map(len, segment(language, plain[start:edge].translate(_COMPARED)))))
        yield from (start + end for end in ends[: None if plain.startswith(". ", edge - 2) else -1])
        start = edge


def _between(text: str, plain: str, place: int) -> int:
    """The place between what closes a sentence (quotation marks, tags, references) and what opens the next."""
    tail = max(place - 20, 0)
    opening = _OPENERS.search(plain[tail:place])
    if opening and opening.end() == place - tail:
        place = tail + opening.start()
    stop = tail + len(plain[tail:place].rstrip()) if plain[tail:place].strip() else len(plain[:place].rstrip())
    closers = _CLOSERS.match(text, stop)
    return closers.end() if closers else stop


def _goes_on(left: str, right: str, language: str, has_case: bool) -> bool:
    """Whether a sentence so far, `left`, goes on in what comes behind its stop."""
    if len(left) < _BEHIND and _MARKS.match(left):  # "1.", "Step 1.", "Q.": it stands for itself in no list
        return True
    left = left.rstrip()
    if left[-1:] == "." and _JOINED.match(right):  # "A.E.", "n.º", "J.-C.", "./run"
        return not _WIDE_LETTER.match(right)
    right = right.lstrip()
    if right[:1] in _NO_BEGINNING:
        return True
    if has_case and _LOWER.match(right) and not _LETTERED.match(right):
        return True
    if _GAP.search(f"{left[-1:]} {right[:1]}"):
        return not (_CLAUSE_END.search(left) and _CLAUSE.match(right))
    if _PAUSE.search(left) and _UNCASED.match(right):
        return True
    return (
        is_abbreviated(left, right, language)
        or quotation_goes_on(left, right, has_case)
        or _inside(left)
        or _parenthesis_goes_on(left)
    )


def _inside(left: str) -> bool:
    """Whether a bracket of East Asia is open."""
    if not _WIDE_STOP.search(left[-4:]):
        return False
    return any(left.count(opening) > left.count(closing) for opening, closing in ("（）", "《》"))


def _parenthesis_goes_on(left: str) -> bool:
    """Whether it is a parenthesis inside a sentence that ends with a stop: one around a sentence opens with it."""
    if left.endswith("）"):
        return not _WIDE_STOP.search(left[: left.rfind("（")].strip()[-3:] or "。")
    return (
        left.endswith(")") and "(" in left and not left.lstrip(" *_\"'“").startswith("(") and left.rfind("(") > left.rfind(". ")
    )
