"""Which tokens of a chat the assistant said: found in the whole rendering, never from a part of the chat."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from llmattr.errors import LlmattrError, check_text, note
from llmattr.text.rendering import Place, located, render_chat
from llmattr.text.tokens import Reader

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_WORD = re.compile(r"(?<=[\s>\]])[^\s<\[]")  # where a template that drops the reasoning may begin to quote a turn
_NO_THOUGHT = re.compile(r"\s*<think>\s*</think>\s*")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")

Path = tuple[str | int, ...]  # where a text stands in a message


@dataclass(frozen=True, eq=False)
class Chat:
    """A chat as a template takes it, with its tools; the assistant's words count from message `first` on."""

    reader: Reader
    messages: Sequence[Mapping[str, Any]]
    name: str  # of its row
    tools: Sequence[Any] | None = None
    first: int = 0

    @cached_property
    def texts(self) -> list[str]:
        """What each message says; nothing where it has no content."""
        return [message["content"] if isinstance(message.get("content"), str) else "" for message in self.messages]

    @cached_property
    def spoken(self) -> list[int]:
        """The assistant's turns that count."""
        return [turn for turn in range(self.first, len(self.messages)) if self.messages[turn]["role"] == "assistant"]

    def render(self, messages: Sequence[Mapping[str, Any]] | None = None, **how: bool) -> Any:
        """What the template makes of it, or of these messages in its place."""
        chat = self.messages if messages is None else messages
        try:
            return render_chat(self.reader.tokenizer, chat, self.tools, **({"add_generation_prompt": False} | how))
        except Exception as error:  # templates raise what they like
            raise LlmattrError(f"the model's chat template refuses {self.name}: {error}") from error

    def located(
        self, places: Sequence[tuple[int, Path, int]], until: int | None = None, **how: bool
    ) -> tuple[str, list[int | None]]:
        """The text of the chat until a message, and where the characters of its texts stand in it."""
        chat = self.messages[:until]
        fields = [(turn, ("content",)) for turn in range(len(chat)) if isinstance(chat[turn].get("content"), str)]
        fields += [(turn, path) for turn, path, _ in places if path != ("content",)]
        fields = list(dict.fromkeys(fields))

        def render(texts: list[str]) -> str:
            given = list(chat)
            for (turn, path), text in zip(fields, texts, strict=True):
                given[turn] = _with(given[turn], path, text)
            return self.render(given, tokenize=False, **how)

        marks: list[Place] = [(fields.index((turn, path)), at) for turn, path, at in places]
        return located(render, [_at(chat[turn], path) for turn, path in fields], marks)


def said_by_assistant(chat: Chat) -> tuple[list[int], Bool[np.ndarray, " s"]]:
    """The tokens of the whole chat, and which of them the assistant's turns have, with what ends them.

    A template that marks what is generated decides itself (`{% generation %}`); else each turn is found by its content, as
    the whole rendering has it: what the template drops of it, or writes before it, does not count. A turn with calls of
    tools or a reasoning that the template writes is all that stands between what opens and what ends a turn. Raises
    `LlmattrError` for a turn that is not found.
    """
    reader = chat.reader
    if reader.tokenizer.is_fast and _GENERATION.search(str(reader.tokenizer.chat_template)):
        return _generated(chat)
    text, spans = _turns(chat)
    tokens = reader.encode(text)
    offsets = reader.offsets(tokens, text)
    if offsets is None:
        raise LlmattrError("the tokenizer does not say which characters its tokens have: rows with messages need a fast one")
    counted = np.zeros(len(tokens.ids), dtype=bool)
    for start, end in spans:
        counted |= (offsets[:, 0] < end) & (offsets[:, 1] > start) & (offsets[:, 0] < offsets[:, 1])
    return tokens.ids, counted


def _generated(chat: Chat) -> tuple[list[int], Bool[np.ndarray, " s"]]:
    made = chat.render(tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    counted = np.array(made["assistant_masks"], dtype=bool)
    before = sum(message["role"] == "assistant" for message in chat.messages[: chat.first])
    starts = np.flatnonzero(np.diff(counted, prepend=False) & counted)
    if 0 < before < len(starts):
        counted[: starts[before]] = False
    return made["input_ids"], counted


def _turns(chat: Chat) -> tuple[str, list[tuple[int, int]]]:
    """The whole text, and the characters of the assistant's turns in it."""
    for turn in chat.spoken:
        content = chat.messages[turn].get("content")
        if content is not None or not _more(chat.messages[turn]):
            check_text(content, f"what the assistant says in message {turn + 1} of {chat.name}")
    more = _written_more(chat)
    plain = [turn for turn in chat.spoken if turn not in more and chat.texts[turn].strip()]
    places = [(turn, ("content",), at) for turn in plain for at in _places(chat.texts[turn])]
    text, found = chat.located(places)
    spans = {turn: _span(chat, turn, text, [(at, f) for (t, _, at), f in zip(places, found, strict=True) if t == turn])
             for turn in plain}  # fmt: skip
    if plain:
        closing = _closing(chat, plain[-1], text[spans[plain[-1]][1] :])
        spans = {turn: (start, end + _same(text[end:], closing)) for turn, (start, end) in spans.items()}
    spans |= {turn: _whole_span(chat, turn) for turn in more}
    return text, [spans[turn] for turn in sorted(spans)]


def _closing(chat: Chat, turn: int, rest: str) -> str:
    """What ends a turn: what ends a chat of which it is the last word."""
    if turn + 1 == len(chat.messages):
        return rest
    upto, (end,) = chat.located([(turn, ("content",), len(chat.texts[turn].rstrip()))], until=turn + 1)
    return "" if end is None else upto[end:]


def _more(message: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in message if message[key] is not None and key not in ("role", "content"))


def _written_more(chat: Chat) -> list[int]:
    """The assistant's turns of which the template writes more than their content: calls of tools, a reasoning."""
    found, turns = [], [turn for turn in chat.spoken if _more(chat.messages[turn])]
    whole = chat.render(tokenize=False) if turns else ""
    for turn in turns:
        own = {"role": "assistant", "content": chat.messages[turn].get("content") or ""}
        try:
            without = chat.render([*chat.messages[:turn], own, *chat.messages[turn + 1 :]], tokenize=False)
        except LlmattrError:  # a result of a tool that was not called
            without = None
        if without != whole:
            found.append(turn)
        elif chat.messages[turn].get("tool_calls"):
            note(f"the model's chat template writes nothing of the tools that message {turn + 1} of {chat.name} calls")
    return found


def _whole_span(chat: Chat, turn: int) -> tuple[int, int]:
    """The characters of a turn that calls tools or thinks aloud, from what opens a turn to what ends it.

    What opens it is what the template writes behind the last word before it to ask for an answer; what ends it is what the
    chat ends with when it is the last turn. Both are compared with the whole, character by character.
    """
    last = max((before for before in range(turn) if chat.texts[before].strip()), default=None)
    before = [] if last is None else [(last, ("content",), len(chat.texts[last].rstrip()))]
    anchors = [(turn, path, 0) for path in _sayings(chat.messages[turn])]
    text, found = chat.located([*before, *anchors])
    known = [(anchor, at) for anchor, at in zip(anchors, found[len(before) :], strict=True) if at is not None]
    asked, asked_at = chat.located(before, until=turn, add_generation_prompt=True)
    if not known or None in (*found[: len(before)], *asked_at):
        raise _lost(chat, turn)
    anchor, at = min(known, key=lambda pair: pair[1])
    closed, (closed_at,) = chat.located([anchor], until=turn + 1)
    start, opened = (found[0] or 0, asked[asked_at[0] or 0 :]) if before else (0, asked)
    start += _common(text[start:at], opened)
    if thought := _NO_THOUGHT.match(text, start, at):
        start = thought.end()
    if closed_at is None:
        raise _lost(chat, turn)
    return start, at + _common(text[at:], closed[closed_at:])


def _sayings(message: Mapping[str, Any]) -> list[Path]:
    """Where in a message stands what its author says: a reasoning, the content, the name of the first call."""
    paths: list[Path] = [
        (key,) for key in (*_THOUGHTS, "content") if isinstance(message.get(key), str) and message[key].strip()
    ]
    calls = message.get("tool_calls")
    if calls:
        inside = ("function", "name") if "function" in calls[0] else ("name",)
        paths.append(("tool_calls", 0, *inside))
    return paths


def _at(value: Any, path: Path) -> str:
    for key in path:
        value = value[key]
    return value


def _with(value: Any, path: Path, text: str) -> Any:
    """The value with this text at the path."""
    if not path:
        return text
    copy: Any = dict(value) if isinstance(value, Mapping) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], text)
    return copy


def _lost(chat: Chat, turn: int) -> LlmattrError:
    said = chat.texts[turn][:60] or ", ".join(_more(chat.messages[turn]))
    return LlmattrError(
        f"the model's chat template rewrites message {turn + 1} of {chat.name}, so the assistant's words cannot be found in "
        f"the chat: {said!r}"
    )


def _same(text: str, other: str) -> int:
    """How many characters the texts begin with together; white space before them, the end of what was said, may differ."""
    blank = len(text) - len(text.lstrip()) if other.strip() else 0
    same = _common(text[blank:], other.lstrip() or other)
    return blank + same if same else 0


def _common(text: str, expected: str) -> int:
    """How many characters the texts begin with together, without a part of a mark: `<|` of `<|user|>` and of `<|end|>`.

    >>> _common("<|end|><|user|>", "<|end|><|stop|>"), _common("<|end|><|user|>", "<|end|>")
    (7, 7)
    """
    same = os.path.commonprefix([text, expected])  # noqa: RUF071  # of characters, not of paths
    return len(same) if len(same) == len(expected) else max(map(same.rfind, ">]\n ")) + 1


def _places(content: str) -> list[int]:
    """Its first character, the words with which it may begin when the template drops some, and its end."""
    first, end = len(content) - len(content.lstrip()), len(content.rstrip())
    return [*sorted({first, *(found.start() for found in _WORD.finditer(content) if first <= found.start() < end)}), end]


def _span(chat: Chat, turn: int, text: str, here: list[tuple[int, int | None]]) -> tuple[int, int]:
    """The characters of a turn that is its content, from where characters of that were found."""
    kept = [(at, where) for at, where in here[:-1] if where is not None]
    end = here[-1][1]
    if not kept or end is None or kept[0][1] > end:
        raise _lost(chat, turn)
    at, start = kept[0]
    opening = chat.texts[turn][:at].strip()  # "<think>", which some templates take off and write again
    before = text[:start].rstrip()
    return (len(before) - len(opening) if opening and before.endswith(opening) else start), end
