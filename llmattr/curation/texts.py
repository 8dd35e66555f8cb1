"""Training rows as texts: what the model is given, what it is to say, and both."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from llmattr.core.progress import progress
from llmattr.text.rows import prompt_and_completion, row_text, unanswered

SIGN = r"[\p{S}#%&*@/\\]|(?<!\p{L})\p{Pd}|\p{Pd}(?!\p{L})"  # what tells C++ from C#, 5 from -5; a hyphen within a word does not


@dataclass(frozen=True)
class Texts:
    """Of each of n rows its prompt ("" where it has none), its completion, and the whole."""

    prompts: list[str]
    completions: list[str]
    whole: list[str]

    def __len__(self) -> int:
        return len(self.whole)

    @staticmethod
    def of(rows: Sequence[Mapping[str, Any]]) -> "Texts":
        """Read them; raises `LlmattrError` for a row without a text or a completion."""
        prompts, completions, whole = [], [], []
        for row in progress(rows, "reading", "rows"):
            whole.append(row_text(row))
            parts = {"prompt": whole[-1], "completion": ""} if unanswered(row) else prompt_and_completion(row)
            prompts.append(parts["prompt"])
            completions.append(parts["completion"])
        return Texts(prompts, completions, whole)

    def digest(self) -> str:
        """SHA-256 of all of them."""
        found = hashlib.sha256()
        for prompt, whole in zip(self.prompts, self.whole, strict=True):
            found.update(f"{len(prompt)} {len(whole)} {whole}".encode())
        return found.hexdigest()


def spaced(text: str) -> str:
    """The text with one space wherever it has white space."""
    return " ".join(text.split())


def signed(text: str) -> str:
    """The text with its signs as words, for what compares words; of a text without words every character that is none.

    >>> signed("5 %"), signed("-5"), signed("Yes!"), signed(":)")
    ('5 sign37', 'sign45 5', 'Yes!', 'sign58 sign41')
    """
    signs = SIGN if regex.search(r"[\p{L}\p{N}]", text) else r"\S"
    return spaced(regex.sub(signs, lambda found: f" sign{ord(found[0])} ", text))


def quoted(text: str, length: int = 60) -> str:
    """Its beginning in quotes, on one line, as a reason names it."""
    line = spaced(text)
    return repr(line if len(line) <= length else f"{line[: length - 1]}…")
