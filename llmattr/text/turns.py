"""Which tokens of a chat the assistant said: found in the whole rendering, never from a part of the chat."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from llmattr.errors import LlmattrError
from llmattr.text.messages import check_text
from llmattr.text.rendering import Place, located
from llmattr.text.tokens import Reader

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_WORD = re.compile(r"(?<=[\s>\]])[^\s<\[]")  # where a template that drops the reasoning may begin to quote a turn


def said_by_assistant(chat: Sequence[Mapping[str, Any]], reader: Reader, row: int) -> tuple[list[int], Bool[np.ndarray, " s"]]:
    """The tokens of the whole chat, and which of them the assistant's turns have, with what ends them.

    A template that marks what is generated decides itself (`{% generation %}`); else each turn is found by its content, as
    the whole rendering has it: what the template drops of it, or writes before it, does not count. Raises `LlmattrError`
    for a turn that is not found.
    """
    if reader.tokenizer.is_fast and _GENERATION.search(str(reader.tokenizer.chat_template)):
        made = _render(chat, reader, row, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        return made["input_ids"], np.array(made["assistant_masks"], dtype=bool)
    text, spans = _turns(chat, reader, row)
    tokens = reader.encode(text)
    offsets = reader.offsets(tokens, text)
    if offsets is None:
        raise LlmattrError("the tokenizer does not say which characters its tokens have: rows with messages need a fast one")
    counted = np.zeros(len(tokens.ids), dtype=bool)
    for start, end in spans:
        counted |= (offsets[:, 0] < end) & (offsets[:, 1] > start) & (offsets[:, 0] < offsets[:, 1])
    return tokens.ids, counted


def _turns(chat: Sequence[Mapping[str, Any]], reader: Reader, row: int) -> tuple[str, list[tuple[int, int]]]:
    """The whole text, and the characters of the assistant's turns in it."""
    texts = [message["content"] if isinstance(message["content"], str) else "" for message in chat]
    spoken = [turn for turn, message in enumerate(chat) if message["role"] == "assistant"]
    for turn in spoken:
        check_text(chat[turn]["content"], f"what the assistant says in message {turn + 1} of row {row}")
    spoken = [turn for turn in spoken if texts[turn].strip()]
    places = [(turn, at) for turn in spoken for at in _places(texts[turn])]

    def render(contents: list[str]) -> str:
        given = [{**m, "content": c} if isinstance(m["content"], str) else m for m, c in zip(chat, contents, strict=False)]
        return _render(given, reader, row, tokenize=False)

    text, found = located(render, texts, places)
    _refuse_more(chat, text, reader, row)
    spans = [_span(turn, text, texts[turn], places, found, row=row) for turn in spoken]
    if not spans:
        return text, []
    closing = text[spans[-1][1] :]
    if spoken[-1] + 1 < len(chat):  # what ends a turn is what ends a chat of the assistant's last word
        last = spoken[-1]
        upto, (end,) = located(render, texts[: last + 1], [(last, len(texts[last].rstrip()))])
        closing = "" if end is None else upto[end:]
    return text, [(start, end + _same(text[end:], closing)) for start, end in spans]


def _refuse_more(chat: Sequence[Mapping[str, Any]], text: str, reader: Reader, row: int) -> None:
    """Raise `LlmattrError` where the rendering has more of the assistant than what its content says (calls of tools)."""
    own = [{"role": m["role"], "content": m["content"]} if m["role"] == "assistant" else m for m in chat]
    more = sorted({key for m in chat if m["role"] == "assistant" for key in m if m[key] is not None} - {"role", "content"})
    if more and _render(own, reader, row, tokenize=False) != text:
        raise LlmattrError(
            f"row {row}: the chat template also writes {', '.join(more)} of the assistant, and does not mark what is generated "
            "({% generation %}): leave them out of the row, or give prompt + completion"
        )


def _same(text: str, other: str) -> int:
    """How many characters the texts begin with together; white space before them, the end of what was said, may differ."""
    blank = len(text) - len(text.lstrip()) if other.strip() else 0
    same = len(os.path.commonprefix([text[blank:], other.lstrip() or other]))  # noqa: RUF071  # of characters, not of paths
    return blank + same if same else 0


def _places(content: str) -> list[int]:
    """Its first character, the words with which it may begin when the template drops some, and its end."""
    first, end = len(content) - len(content.lstrip()), len(content.rstrip())
    return [*sorted({first, *(found.start() for found in _WORD.finditer(content) if first <= found.start() < end)}), end]


def _span(turn: int, text: str, content: str, places: list[Place], found: list[int | None], *, row: int) -> tuple[int, int]:
    here = [(at, where) for (number, at), where in zip(places, found, strict=True) if number == turn]
    kept = [(at, where) for at, where in here[:-1] if where is not None]
    end = here[-1][1]
    if not kept or end is None or kept[0][1] > end:
        raise LlmattrError(
            f"the model's chat template rewrites message {turn + 1} of row {row}, so the assistant's words cannot be found in "
            f"the chat: {content[:60]!r}"
        )
    at, start = kept[0]
    opening = content[:at].strip()  # "<think>", which some templates take off and write again
    before = text[:start].rstrip()
    return (len(before) - len(opening) if opening and before.endswith(opening) else start), end


def _render(chat: Sequence[Mapping[str, Any]], reader: Reader, row: int, **how: bool) -> Any:
    try:
        return reader.tokenizer.apply_chat_template(chat, add_generation_prompt=False, **how)
    except Exception as error:  # templates raise what they like
        raise LlmattrError(f"the model's chat template refuses row {row}: {error}") from error
