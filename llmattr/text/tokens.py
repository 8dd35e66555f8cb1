"""Text to tokens and back: what a tokenizer puts around a text, and which tokens a text has behind another one."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from transformers import AddedToken

# Texts that a tokenizer seldom merges with what stands behind them; the first that it does not merge is used.
_BEFORE = ("\n", "a", ".")


@runtime_checkable
class Tokenizer(Protocol):
    """What makes tokens of a text: a tokenizer of transformers, or what stands for one before a server (`TextTokenizer`)."""

    @property
    def is_fast(self) -> bool:
        """Whether it says which characters its tokens have."""
        ...

    @property
    def chat_template(self) -> str | None:
        """What makes a text of a chat, where it has one."""
        ...

    @property
    def added_tokens_decoder(self) -> "Mapping[int, AddedToken]":
        """The tokens beside its vocabulary, special ones among them."""
        ...

    @property
    def all_special_ids(self) -> Sequence[int]:
        """The tokens that it calls special, an unknown one's among them."""
        ...

    @property
    def all_special_tokens(self) -> Sequence[str]:
        """How these are spelled."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """What begins a text, where it has that."""
        ...

    @property
    def eos_token_id(self) -> int | None:
        """What ends one, where it has that."""
        ...

    @property
    def pad_token_id(self) -> int | None:
        """What fills the room beside one, where it has that."""
        ...

    @property
    def unk_token_id(self) -> int | None:
        """What stands for text that it does not know."""
        ...

    def __call__(self, text: str = "", **options: str | bool) -> Mapping[str, Any]:
        """A text's `input_ids`, and its `offset_mapping` where it is asked for."""
        ...

    def decode(self, ids: list[int], **options: bool) -> str:
        """The text of tokens."""
        ...

    def apply_chat_template(self, chat: Sequence[Mapping[str, Any]], **options: bool | list[Any]) -> Any:
        """A chat as text, or as tokens where that is asked for."""
        ...


@runtime_checkable
class Cutter(Protocol):
    """A tokenizer that does not know by itself what the tokens of a response are: the server behind it does."""

    @property
    def cut(self) -> Callable[[str, str], tuple[list[int], Int[np.ndarray, "r 2"]]]:
        """From a prompt and a response behind it to the response's tokens, and their characters [r, 2]."""
        ...


class Tokens(NamedTuple):
    """The tokens of a text, and their characters in it where the tokenizer says them."""

    ids: list[int]
    offsets: Int[np.ndarray, "s 2"] | None


@dataclass(frozen=True, eq=False)
class Reader:
    """The one way from text to tokens, for prompts and for training rows."""

    tokenizer: Tokenizer

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and behind a text by itself: a beginning and an end of text, where it has them."""
        alone, whole = (self.tokenizer("a", add_special_tokens=added, verbose=False)["input_ids"] for added in (False, True))
        fits = (k for k in range(len(whole) - len(alone) + 1) if whole[k : k + len(alone)] == alone)
        start = next(fits, None)
        return ([], []) if start is None else (whole[:start], whole[start + len(alone) :])

    @cached_property
    def marks(self) -> re.Pattern[str] | None:
        """Where a special token (an end of turn, say) is spelled in a text; None where the tokenizer has none."""
        added = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        names = {*added, *self.tokenizer.all_special_tokens}
        names = {name for name in names if len(name) > 1}
        return re.compile(f"(?={'|'.join(map(re.escape, sorted(names)))})") if names else None

    def encode(self, text: str, breaks: Sequence[int] = ()) -> Tokens:
        """The tokens of a text with nothing around it; none of them runs over a break.

        A break inside a special token's name makes it text.
        """
        ends = [0, *breaks, len(text)]
        pieces = [(self.behind if a else self._alone)(text[a:b]) for a, b in itertools.pairwise(ends)]
        ids = [token for piece in pieces for token in piece.ids]
        offsets = [piece.offsets + a for a, piece in zip(ends, pieces, strict=False) if piece.offsets is not None]
        return Tokens(ids, np.concatenate(offsets) if len(offsets) == len(pieces) else None)

    def behind(self, text: str) -> Tokens:
        """The tokens of a text behind another one: without the space that sentencepiece puts before a first word."""
        for before in _BEFORE:
            first, both = self._alone(before).ids, self._alone(before + text)
            if first and both.ids[: len(first)] == first:
                return _cut_off(both, len(first), len(before))
        return self._alone(text)

    def parted(self, before: str, after: str, breaks: Sequence[int] = ()) -> tuple[list[int], Tokens]:
        """The tokens of a text, and those of a second one behind it, as the two together have them.

        A model is given the first text's own tokens: where the tokenizer merges across the border, they are kept.
        """
        first, both = self.encode(before, breaks).ids, self.encode(before + after, breaks)
        same = both.ids[: len(first)] == first
        return first, _cut_off(both, len(first), len(before)) if same else self.behind(after)

    def begun(self, ids: list[int]) -> list[int]:
        """The tokens with the tokenizer's beginning of text before them, unless it was written there already."""
        begin = self.around[0]
        return ids if ids[: len(begin)] == begin else begin + ids

    def ended(self, ids: list[int]) -> list[int]:
        """The tokens with the tokenizer's end of text behind them, unless it was written there already."""
        end = self.around[1]
        return ids if ids[max(len(ids) - len(end), 0) :] == end else ids + end

    def offsets(self, tokens: Tokens, text: str) -> Int[np.ndarray, "s 2"] | None:
        """The tokens' characters in their text, decoded where the tokenizer does not say; None where that is another text."""
        if tokens.offsets is None and decode(self.tokenizer, tokens.ids) == text:
            return decoded_offsets(self.tokenizer, tokens.ids, len(text))
        return tokens.offsets

    def _alone(self, text: str) -> Tokens:
        fast = self.tokenizer.is_fast
        made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
        return Tokens(made["input_ids"], np.array(made["offset_mapping"], dtype=int).reshape(-1, 2) if fast else None)


def _cut_off(tokens: Tokens, first: int, characters: int) -> Tokens:
    """The tokens from number `first` on; their text begins at this character."""
    offsets = None if tokens.offsets is None else np.maximum(tokens.offsets[first:] - characters, 0)
    return Tokens(tokens.ids[first:], offsets)


def trim(text: str, offsets: Int[np.ndarray, "s 2"]) -> Int[np.ndarray, "s 2"]:
    """Token offsets without the white space at either end; tokens of white space only keep theirs."""
    solid = np.array([not c.isspace() for c in text], dtype=bool)
    places = np.arange(len(text))
    after = np.append(np.minimum.accumulate(np.where(solid, places, len(text))[::-1])[::-1], len(text))
    before = np.insert(np.maximum.accumulate(np.where(solid, places + 1, 0)), 0, 0)
    start, end = after[offsets[:, 0]], before[offsets[:, 1]]
    return np.where((start < end)[:, None], np.stack([start, end], axis=1), offsets)


def special_ids(tokenizer: Tokenizer) -> set[int]:
    """The tokens that are no text: ends of text and of turns, padding. An unknown token stands for text."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of tokens, as it is: with special tokens, and with the spaces that they spell."""
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def decoded_offsets(tokenizer: Tokenizer, ids: Sequence[int], length: int) -> Int[np.ndarray, "r 2"]:
    """Character offsets of tokens by decoding ever longer prefixes; the bytes of one character share its offsets."""
    ends = [0]
    for k in range(1, len(ids) + 1):
        text = decode(tokenizer, ids[:k])
        whole = text if k == len(ids) else text.rstrip("\ufffd")
        ends.append(min(max(ends[-1], len(whole)), length))
    starts, ends = np.array(ends[:-1]), np.array(ends[1:])
    for k in range(len(ids) - 2, -1, -1):
        if ends[k] == starts[k]:
            ends[k] = ends[k + 1]
    return np.stack([starts, ends], axis=1)
