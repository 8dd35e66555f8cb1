"""Sentences that say no more than that the answer is not known, or does not stand in the documents."""

from collections.abc import Callable
from functools import cache, partial

import regex

from llmattr.text.names import missing
from llmattr.text.own_words import new_words
from llmattr.text.refusal_english import OF_DOCUMENTS, SPEAKER, TELLS, TOLD, YES_OR_NO
from llmattr.text.refusal_languages import LANGUAGES

Patterns = Callable[[str], regex.Pattern[str]]  # of the fields of `Refusing`, each made where it is needed

NEW = 3  # words: of 48 refusals 35 add no more; of 233 other answers and 160 claims none is taken for one
_LONGEST = 1000  # characters of a sentence that does nothing but refuse
_MARKS = regex.compile(r"(?:\b(?:References?|Sources?): ?)?\[\^?\d+(?:, ?\d+)*\]")  # of a citation
_DRESSING = " .,!?。、，！؟،*_\"'“”„«»()[]"


def refuses(sentence: str, question: str = "") -> bool:
    """Whether it says, of this question, that the answer is not known or not in the documents, and nothing else.

    What is denied must be what the documents say or what the speaker knows: that a thing is not so, or that nobody
    knows it, is a fact that documents have. English, German, French, Spanish, Italian, Portuguese, Dutch, Russian,
    Chinese, Japanese and Arabic.

    >>> refuses("Unfortunately, the text does not mention when the bridge was built.")
    True
    >>> refuses("The treaty does not mention slavery."), refuses("The text does not say when, but it was built in 1889.")
    (False, False)
    >>> refuses("The documents keep silent as to who built it.", "Who built the bridge?")
    True
    """
    if len(sentence) > _LONGEST:
        return False
    sentence = _MARKS.sub(" ", sentence)
    plain = regex.sub(r"[’‘]", "'", " ".join(sentence.casefold().split()).strip(_DRESSING))
    plain = regex.sub(r"\b(there|that|it|this)'s\b", r"\1 is", plain)
    refused = any(_all_refuse(plain, partial(_pattern, language)) for language in LANGUAGES)
    return refused or (bool(question) and _adds_nothing(sentence, plain, question))


def _adds_nothing(sentence: str, plain: str, question: str) -> bool:
    """In English: it denies that documents tell, and has hardly a word but the question's and what is said of documents.

    What the documents do tell before the denial is an answer, and so is any denial where yes or no was asked, and a name.
    """
    say = partial(_pattern, "en")
    denied = say("no").search(plain)
    of_documents = say("doc").search(plain) or SPEAKER.search(plain)
    tells = say("tell").search(plain) or say("known").search(plain) or TOLD.search(plain)
    if not (denied and of_documents and tells) or YES_OR_NO.search(question):
        return False
    if (telling := TELLS.search(plain)) and telling.start() < denied.start():
        return False
    new = new_words(plain, f"{question} {OF_DOCUMENTS}", "en")
    return len(new) <= NEW and all(word.number is None for word in new) and not missing(sentence, [question], language="en")


def _all_refuse(sentence: str, say: Patterns) -> bool:
    """At least one clause refuses, and those beside it name a topic, or are polite."""
    if not say("denies").search(sentence):
        return False
    clauses = [part.strip(_DRESSING) for part in say("cut").split(sentence)]
    rest = [clause for clause in clauses if clause and not _refuses(clause, say)]
    return len(rest) < len(list(filter(None, clauses))) and all(say("beside").match(clause) for clause in rest)


def _refuses(clause: str, say: Patterns) -> bool:
    return bool(say("phrase").search(clause) or say("denial").search(clause))


@cache
def _pattern(language: str, part: str) -> regex.Pattern[str]:
    words = LANGUAGES[language]._asdict()

    def filled(pattern: str) -> str:
        named = regex.sub("IN_DOC|DOC|NO|TELL|KNOWN", lambda name: f"(?:{words[name[0].lower()]})", pattern)
        return filled(named) if named != pattern else named

    return regex.compile(filled(words[part]))
