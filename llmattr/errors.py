"""The one error for everything that the user can mend."""

import difflib
import math
import numbers
import operator
import warnings
from collections.abc import Iterable
from typing import SupportsIndex


class LlmattrError(ValueError):
    """Bad input: the message says what was wrong, with names and shapes, and what to do."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name nearest to `name`, or an empty string."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one may have meant."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


def check_choice(name: str, value: object, choices: Iterable[str], or_a_number: bool = False) -> None:
    """Raise `LlmattrError` unless the value is one of these words."""
    words = list(choices)
    if not (isinstance(value, str) and value in words):
        known = f"one of {', '.join(words)}" if len(words) > 1 else repr(words[0])
        number = " or a number" if or_a_number else ""
        raise LlmattrError(f"{name} must be {known}{number}, not {value!r:.60}{did_you_mean(str(value), words)}")


def check_text(text: object, what: str) -> str:
    """Return the text; raises `LlmattrError` when it is none or not valid Unicode."""
    if not isinstance(text, str):
        raise LlmattrError(f"{what} must be text, not {text!r:.60}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise LlmattrError(f"{what} is not valid Unicode at character {error.start}") from None
    return text


def check_number(
    name: str,
    value: object,
    least: int | float,
    below: int | float = math.inf,
    *,
    whole: bool = False,
    words: Iterable[str] = (),
) -> None:
    """Raise `LlmattrError` unless `least <= value < below`, a whole number where it must be one, or one of the words."""
    if isinstance(value, str) and words:
        return check_choice(name, value, words, or_a_number=True)
    kind = numbers.Integral if whole else numbers.Real
    if isinstance(value, kind) and not isinstance(value, bool) and least <= float(value) < below:
        return
    bounds = f"be {least} or more" if below == math.inf else f"lie between {least} and {below}"
    raise LlmattrError(f"{name} must {bounds}{' and whole' if whole else ''}, not {value!r}")


def check_index(index: SupportsIndex | slice, n: int, what: str) -> slice:
    """A whole number (numpy's too, and from the end) as the slice of that one of n, a slice as it is.

    Raises `LlmattrError` for anything else, `IndexError` for a number that is out of range.
    """
    if isinstance(index, slice):
        return index
    try:
        place = operator.index(index)
    except TypeError:
        place = None
    if place is None or type(index).__name__ == "bool":  # numpy 2.0's is an index, too
        raise LlmattrError(f"{what} are chosen by a whole number or a slice, not by {index!r:.60}")
    if not -n <= place < n:
        raise IndexError(f"{place} is out of range: there are {n} {what}")
    return slice(place % n, place % n + 1)


class LlmattrNote(UserWarning):
    """Something the user should know but need not mend; the command line shows it as one `note:` line."""


def note(message: str) -> None:
    """Tell the user something in passing."""
    warnings.warn(message, LlmattrNote, stacklevel=3)
