"""Whether one of two English sentences that say the same denies it: "did not open in 1914" beside "opened in 1914"."""

from collections.abc import Iterator

import regex

from llmattr.text.own_words import OwnWord, own_words
from llmattr.text.verbs import alike

_NOT = regex.compile(  # what denies the word behind it; "not only" and "no longer" do not
    r"(?<!\b(?:why|if)\s)\b(?:not(?!\s+(?:only|just|merely|simply|solely|necessarily|to\s+mention|even)\b)"
    r"|no(?!\s+(?:longer|later|more|less|fewer|doubt|matter|one|sooner|(?-i:\p{Lu}\w*))\b)|never|cannot|nobody|neither|nor)\b|n['’]t\b",
    regex.I,
)
DOUBT = regex.compile(  # what may deny in other words, or leaves it open
    r"\b(?:not|never|cannot|no|nobody|nothing|none|neither|nor|nowhere|without|fail\w*|refus\w*|den(?:y|ies|ied)|lack\w*|unable"
    r"|unlikely|few|little|hardly|rarely|seldom|barely|scarcely|only|instead|rather|avoid\w*|prevent\w*|stop\w*|contrary|false|myth"
    r"|except|unless|if|whether|impossible|opposed|until|till|last)\b|n['’]t\b|\?",
    regex.I,
)
_CLAUSE = regex.compile(r"[.;:!?—–()\[\]\n,]|\b(?:but|because|although|while|which|who|that|and|or|if|when)\b", regex.I)
_TURN = regex.compile(
    r"\b(?:but|until|till|before|since|unless|except|without|than|instead|rather)\b", regex.I
)  # takes it back
_LIMIT = regex.compile(r"\b(?:but|until|till|unless|except|without|than)\b", regex.I)  # the same of "no ships"
_ADVERB = regex.compile(r"\w+ly|also|yet", regex.I)


def denied(claim: str, passage: str) -> OwnWord | None:
    """The word of the claim that it denies and the passage does not, or the other way round; None where neither is sure.

    It stands once in each; the one has a single negation right before it, the other nothing like one. Both say it of the same
    thing, by a word before it that they share or a pronoun: what begins a sentence is an order. "No ships" denies what begins
    a sentence, too, where the same word follows.

    >>> denied("The canal did not open in 1914.", "The canal opened in 1914.").text
    'open'
    >>> denied("The canal opened in 1914.", "The canal did not open until 1914.")
    """
    if (found := _denied(claim, passage)) is not None:
        return found[0]
    return None if (found := _denied(passage, claim)) is None else found[1]


def _denied(denying: str, other: str) -> tuple[OwnWord, OwnWord] | None:
    """The word that the first text denies, as it stands in each."""
    negations = list(_NOT.finditer(denying))
    if len(negations) != 1 or DOUBT.search(other):
        return None
    words, others = own_words(denying, language="en"), own_words(other, language="en")
    negation = negations[0]
    turn = _LIMIT if negation[0].lower() == "no" else _TURN
    for word in _behind(denying, negation.end(), words) if not turn.search(denying, negation.end()) else ():
        once = [one for one in words if alike(one.text, word.text)]
        there = [one for one in others if alike(one.text, word.text)]
        if len(once) == len(there) == 1 and _are_of_one(words, word, others, there[0], negation[0]):
            return word, there[0]
    return None


def _are_of_one(words: list[OwnWord], word: OwnWord, others: list[OwnWord], other: OwnWord, negation: str) -> bool:
    """Whether the word is said of one thing in both."""
    if negation.lower() == "no" and not other.start:
        following = [one for one in words if one.start > word.start][:1], [one for one in others if one.start > other.start][:1]
        return any(alike(one.text, two.text) for one in following[0] for two in following[1])
    return bool(word.start and other.start) and _of_the_same(words, word, others, other)


def _of_the_same(words: list[OwnWord], word: OwnWord, others: list[OwnWord], other: OwnWord) -> bool:
    """Whether a word before it stands in both, or one of them has none there."""
    before = [one.text for one in words if one.end <= word.start]
    before_other = [one.text for one in others if one.end <= other.start]
    return not (before and before_other) or any(alike(one, two) for one in before for two in before_other)


def _behind(text: str, place: int, words: list[OwnWord]) -> Iterator[OwnWord]:
    """What a negation that ends at this place denies: the next word of its clause, and the one behind an adverb."""
    for word in words:
        if word.start < place:
            continue
        if _CLAUSE.search(text, place, word.start):
            return
        yield word
        if not _ADVERB.fullmatch(word.text):
            return
