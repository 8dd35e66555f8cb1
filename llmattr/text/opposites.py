"""Whether one of two English sentences that say the same has the opposite of a word: "exports fell" beside "exports rose"."""

from functools import cache

from llmattr.text.negations import DOUBT
from llmattr.text.own_words import OwnWord, own_words
from llmattr.text.verbs import alike, bases

_PAIRS = """
    rise fall; increase decrease; grow shrink; gain lose; raise lower; open close; begin end; start finish; win lose; buy
    sell; import export; accept reject; approve reject; allow forbid; permit prohibit; include exclude; support oppose;
    agree disagree; arrive depart; lend borrow; teach learn; succeed fail; create destroy; build demolish; add remove;
    strengthen weaken; appear disappear; enter leave; join leave; attack defend; remember forget; high low; higher lower;
    highest lowest; large small; larger smaller; largest smallest; big small; bigger smaller; biggest smallest; long
    short; longer shorter; longest shortest; tall short; old new; older younger; oldest youngest; oldest newest; early
    late; earlier later; earliest latest; first last; north south; northern southern; east west; eastern western; left
    right; male female; man woman; men women; father mother; son daughter; brother sister; husband wife; king queen; uncle
    aunt; hot cold; warm cold; light dark; light heavy; strong weak; rich poor; public private; legal illegal; lawful
    unlawful; possible impossible; positive negative; maximum minimum; majority minority; upper lower; inner outer;
    internal external; major minor; true false; safe dangerous; guilty innocent; alive dead; present absent; permanent
    temporary; active inactive; visible invisible; rural urban; domestic foreign; summer winter; morning evening; victory
    defeat; profit loss; best worst; better worse; fast slow; faster slower; wide narrow; deep shallow; thick thin; rare
    common; simple complex; ancient modern; vertical horizontal; input output; ascend descend; exports imports
"""


def opposite(claim: str, passage: str) -> OwnWord | None:
    """The word of the claim whose opposite stands in its place in the passage; None where it is not sure.

    Its place is behind the same word with a meaning, or before the same one where it is the first; both where the passage has
    the word, too, which it may say of something else. Where either denies or doubts anything, nothing is sure.

    >>> opposite("Exports fell by 8%.", "Exports rose by 8%, while imports fell by 3%.").text
    'fell'
    >>> opposite("Sales fell in 2021.", "Sales rose in 2020 but fell in 2021.")
    """
    if DOUBT.search(claim) or DOUBT.search(passage):
        return None
    words, there = own_words(claim, language="en"), own_words(passage, language="en")
    for i, word in enumerate(words):
        wanted = {other for base in bases(word.text) for other in _opposites().get(base, ())}
        if not wanted:
            continue
        has_it = any(alike(word.text, one.text) for one in there)
        for j, one in enumerate(there):
            if not wanted.isdisjoint(bases(one.text)) and _in_its_place(words, i, there, j, both=has_it):
                return word
    return None


def _in_its_place(words: list[OwnWord], i: int, there: list[OwnWord], j: int, both: bool) -> bool:
    before = i > 0 and j > 0 and alike(words[i - 1].text, there[j - 1].text)
    behind = i + 1 < len(words) and j + 1 < len(there) and alike(words[i + 1].text, there[j + 1].text)
    return before and behind if both else before or (i == 0 and behind)


@cache
def _opposites() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pair in _PAIRS.split(";"):
        one, other = pair.split()
        for a, b in ((one, other), (other, one)):
            found.setdefault(a, set()).add(b)
    return found
