"""Which language a text is in: by its script where that says it, else by its letters (py3langid); short ones are English.

What plainly is English is told by its commonest words: py3langid first unpacks 68 MB, a third of the time of a check by words.
"""

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_SAMPLE = 2000  # characters that are looked at
_SURE = 0.6  # a language that is less probable than this is not taken
_SCRIPTS = {  # a script, and its languages with the commonest first: more than one are told apart by their words
    "Latin": ("en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "no", "fi", "et", "pl", "cs", "sk", "sl", "hr", "hu", "ro",
              "tr", "lv", "lt", "ca", "eu", "gl", "id", "vi", "is", "ga", "sq"),
    "Greek": ("el",),
    "Cyrillic": ("ru", "uk", "bg", "sr", "mk", "kk"),
    "Arabic": ("ar", "fa", "ur"),
    "Hebrew": ("he",),
    "Devanagari": ("hi", "mr", "ne"),
    "Bengali": ("bn",),
    "Gurmukhi": ("pa",),
    "Gujarati": ("gu",),
    "Tamil": ("ta",),
    "Telugu": ("te",),
    "Kannada": ("kn",),
    "Malayalam": ("ml",),
    "Armenian": ("hy",),
    "Georgian": ("ka",),
    "Ethiopic": ("am",),
    "Hiragana": ("ja",),
    "Katakana": ("ja",),
    "Hangul": ("ko",),
    "Han": ("zh",),
    "Khmer": ("km",),
    "Thai": ("th",),
    "Lao": ("lo",),
    "Myanmar": ("my",),
}  # fmt: skip
# Words of English that are seldom ones of another language in Latin letters, and those that often are.
_ENGLISH = {"the", "and", "that", "this", "these", "those", "which", "what", "when", "where", "who", "with", "from", "they",
            "their", "them", "there", "it", "its", "has", "were", "would", "could", "should"}  # fmt: skip
_ENGLISH_TOO = {"of", "is", "was", "are", "be", "been", "by", "have", "had", "his", "her", "she", "he", "we", "you", "for",
                "as", "not", "an", "or", "at", "into", "than", "about", "in", "to", "a", "on"}  # fmt: skip
_WORD = regex.compile(r"[^\W\d_]+")
_LETTERS = regex.compile("|".join(rf"(?P<{script}>\p{{{script}}})" for script in _SCRIPTS))


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language, always the same for the same text; English where nothing says another."""
    script = script_of(text)
    return told_language(text) or ("en" if script is None else _SCRIPTS[script][0])


def told_language(text: str) -> str | None:
    """The same, None where neither script nor words say it."""
    known = _SCRIPTS.get(script_of(text) or "", ())
    return known[0] if len(known) == 1 else _told_apart(text[:_SAMPLE], known)


def script_of(text: str) -> str | None:
    """The script of most letters at the beginning of a text; kana among Han makes it Japanese."""
    counts = Counter(str(letter.lastgroup) for letter in _LETTERS.finditer(text[:_SAMPLE]))
    if not counts:
        return None
    best = max(counts, key=lambda script: counts[script])
    kana = counts["Hiragana"] + counts["Katakana"]
    return "Hiragana" if best == "Han" and kana * 10 > counts["Han"] else best


def is_plainly_english(text: str) -> bool:
    """Whether every fifth word and more is one of the commonest of English, two of them its own, and its letters, too.

    One of its own will do where half of the words are common. A title alone ("The Lord of the Rings") makes no other language's
    sentence English.

    >>> [is_plainly_english(text) for text in ("It is what the tower has.", "De film The Matrix is in 1999 uitgekomen.")]
    [True, False]
    >>> [is_plainly_english(text) for text in ("It opened in 1914.", "The Matrix, in Den Haag")]
    [True, False]
    """
    words = [word.casefold() for word in _WORD.findall(text[:_SAMPLE])]
    common = sum(word in _ENGLISH or word in _ENGLISH_TOO for word in words)
    own = len(_ENGLISH.intersection(words))
    enough = (own >= 2 and common >= len(words) / 5) or (own == 1 and common >= max(len(words) / 2, 2))
    return enough and sum(map(str.isascii, words)) >= 0.95 * len(words)


def _told_apart(text: str, known: tuple[str, ...]) -> str | None:
    if "en" in known and is_plainly_english(text):
        return "en"
    chances = dict(_identifier().rank(regex.sub(r"https?://\S+|[\d\W_]+", " ", text)))
    best = max(known, key=lambda language: chances[language], default=None)
    return best if best and chances[best] >= _SURE * sum(chances[language] for language in known) else None


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
