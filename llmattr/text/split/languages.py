"""Which language a text is in: by its script where that says it, else by its letters (py3langid); short ones are English."""

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


def _told_apart(text: str, known: tuple[str, ...]) -> str | None:
    chances = dict(_identifier().rank(regex.sub(r"https?://\S+|[\d\W_]+", " ", text)))
    best = max(known, key=lambda language: chances[language], default=None)
    return best if best and chances[best] >= _SURE * sum(chances[language] for language in known) else None


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
