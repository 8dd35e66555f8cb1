"""The prompt under a mask: which text is left, how it is tokenised, and where sources and response stand in it."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from llmattr import split
from llmattr.errors import LlmattrError
from llmattr.messages import Message
from llmattr.types import Document, Sources, Targets


class Rendered(NamedTuple):
    """A prompt and response as tokens: `ids` [s], the response's slice of them, and each source's tokens [n, 2].

    A removed source has the span (0, 0). A token that straddles two sources belongs to the one in which its first
    character that is not white space lies.
    """

    ids: list[int]
    response: slice
    sources: Int[np.ndarray, "n 2"]


def cut(messages: Sequence[Message], kind: str | split.Splitter) -> Sources:
    """The sources of the messages' documents, in order, each with its characters in its document."""
    name, splitter = split.find_splitter(kind)
    documents = tuple(document for message in messages for document in message.documents)
    spans = [split.spans(document.text, splitter) for document in documents]
    if not any(len(s) for s in spans):
        raise LlmattrError(f"the splitter {name!r} finds no part in the context: there is nothing to remove")
    groups = np.repeat(np.arange(len(documents)), [len(s) for s in spans])
    return Sources(
        kind=name,
        ids=_source_ids(name, [documents[g].id for g in groups]),
        texts=[documents[g].text[a:b] for g, (a, b) in zip(groups, itertools.chain(*spans), strict=True)],
        spans=np.concatenate(spans),
        groups=groups,
        documents=documents,
    )


def _source_ids(kind: str, documents: list[str]) -> list[str]:
    """`document#k` for the k-th source of that document, from 0; the document's own id where documents are the sources."""
    if kind == "documents" and len(set(documents)) == len(documents):
        return documents
    counts: dict[str, itertools.count[int]] = {}
    return [f"{name}#{next(counts.setdefault(name, itertools.count()))}" for name in documents]


@dataclass(frozen=True, eq=False)
class Prompt:
    """Messages with sources in them, and the response to attribute. Removing a source removes its text.

    What is kept of a document is joined with the white space that stood before each part (the first part's is dropped), as
    ContextCite does. Text that belongs to no source stays. A document of which nothing is left goes with its title. Documents
    in one place are parted by a blank line.
    """

    tokenizer: Any
    messages: tuple[Message, ...]
    sources: Sources
    response: str = ""
    response_ids: tuple[int, ...] = ()
    response_offsets: Int[np.ndarray, "r 2"] | None = None  # the characters of each response token

    @property
    def is_chat(self) -> bool:
        """Whether the model's own chat template is used, rather than the messages' text alone."""
        return bool(self.tokenizer.chat_template)

    def render(self, mask: Bool[np.ndarray, " n"]) -> Rendered:
        """The tokens of prompt and response when only the sources in the mask are left."""
        text, starts = self._text(mask)
        ids, offsets = self._tokenize(text)
        ids = ids or [self._first_id]
        spans = np.zeros((len(self.sources), 2), dtype=int)
        if offsets is not None:
            first = _trim(text, offsets)[:, 0]
            kept = np.array(sorted(starts), dtype=int)
            begin = np.array([starts[i] for i in kept], dtype=int)
            end = begin + [len(self.sources.texts[i]) for i in kept]
            spans[kept] = np.searchsorted(first, np.stack([begin, end], axis=1))
        return Rendered([*ids, *self.response_ids], slice(len(ids), len(ids) + len(self.response_ids)), spans)

    def full(self) -> Rendered:
        """The tokens of prompt and response with every source."""
        return self.render(np.ones(len(self.sources), dtype=bool))

    def with_response(self, response: str) -> "Prompt":
        """The prompt with a response given as text, tokenised as it would stand behind the whole prompt."""
        if not response.strip():
            raise LlmattrError("the response is empty: there is nothing to attribute")
        prompt_text, _ = self._text(np.ones(len(self.sources), dtype=bool))
        if cut := getattr(self.tokenizer, "cut", None):  # behind a server: only it knows its tokens
            ids, offsets = cut(prompt_text, response)
            return dataclasses.replace(self, response=response, response_ids=tuple(ids), response_offsets=offsets)
        prompt_ids, _ = self._tokenize(prompt_text)
        ids, offsets = self._tokenize(prompt_text + response)
        if ids[: len(prompt_ids)] == prompt_ids:
            ids = ids[len(prompt_ids) :]
            offsets = None if offsets is None else np.maximum(offsets[len(prompt_ids) :] - len(prompt_text), 0)
        else:  # the tokenizer merges across the border, but the model was given the prompt's own tokens
            ids, offsets = self._tokenize(response, special=False)
        offsets = _decoded_offsets(self.tokenizer, ids, len(response)) if offsets is None else offsets
        return dataclasses.replace(self, response=response, response_ids=tuple(ids), response_offsets=offsets)

    def with_generated(self, ids: Sequence[int]) -> "Prompt":
        """The prompt with a response as the model generated it, token by token; special tokens at its end are dropped."""
        ids, special = list(ids), special_ids(self.tokenizer)
        while ids and ids[-1] in special:
            ids.pop()
        text = _decode(self.tokenizer, ids)
        if not text.strip():
            raise LlmattrError("the model answered nothing: give the response to attribute (response=, --response)")
        offsets = _decoded_offsets(self.tokenizer, ids, len(text))
        return dataclasses.replace(self, response=text, response_ids=tuple(ids), response_offsets=offsets)

    def targets(self, measure: str = "logit") -> Targets:
        """The whole response and each of its sentences that has a token of its own."""
        spans = np.concatenate([split.spans(self.response, s) for s in (split.documents, split.sentences)])
        spans = spans[np.diff(self._tokens(spans))[:, 0] > 0]
        return Targets([self.response[a:b] for a, b in spans], spans, measure)

    def response_tokens(self, spans: Int[np.ndarray, "t 2"]) -> Int[np.ndarray, "t 2"]:
        """The response tokens of character spans: all that share a character that is not white space with the span.

        Raises `LlmattrError` for a span of no token (an invisible character, say).
        """
        tokens = self._tokens(spans)
        for (start, end), (first, last) in zip(spans, tokens, strict=True):
            if first >= last:
                raise LlmattrError(f"{self.response[start:end]!r} has no token of its own in the response")
        return tokens

    def _tokens(self, spans: Int[np.ndarray, "t 2"]) -> Int[np.ndarray, "t 2"]:
        assert self.response_offsets is not None  # a prompt with a response has them
        tokens = _trim(self.response, self.response_offsets)
        first = np.searchsorted(tokens[:, 1], spans[:, 0], side="right")
        last = np.searchsorted(tokens[:, 0], spans[:, 1], side="left")
        return np.stack([first, last], axis=1)

    @property
    def _first_id(self) -> int:
        """What stands for a prompt without any text: the first response token needs something before it."""
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return next((token for token in known if token is not None), 0)

    def _tokenize(self, text: str, special: bool | None = None) -> tuple[list[int], Int[np.ndarray, "s 2"] | None]:
        # A chat template writes its own special tokens; plain text gets the tokenizer's (but not an end of text).
        special, fast = not self.is_chat if special is None else special, self.tokenizer.is_fast
        encoded = self.tokenizer(text, add_special_tokens=special, return_offsets_mapping=fast, verbose=False)
        ids, offsets = encoded["input_ids"], encoded.get("offset_mapping")
        if special and ids and ids[-1] == self.tokenizer.eos_token_id:
            ids, offsets = ids[:-1], offsets and offsets[:-1]
        return ids, None if offsets is None else np.array(offsets, dtype=int).reshape(-1, 2)

    def _text(self, mask: Bool[np.ndarray, " n"]) -> tuple[str, dict[int, int]]:
        """The prompt's text, and where each kept source starts in it."""
        contents, places, group = [], [], 0
        for message in self.messages:
            content, starts = "", {}
            for part in message.parts:
                if not isinstance(part, str):
                    part, inside = self._documents_text(part, group, mask)
                    starts |= {i: len(content) + start for i, start in inside.items()}
                content += part
            group += len(message.documents)
            contents.append(content)
            places.append(starts)
        text = self._chat(contents) if self.is_chat else "\n\n".join(contents)
        return text, _locate(text, contents, places, self.sources.texts)

    def _chat(self, contents: list[str]) -> str:
        chat = [{**m.other, "role": m.role, "content": c} for m, c in zip(self.messages, contents, strict=True)]
        try:
            return self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # templates raise what they like
            roles = ", ".join(message.role for message in self.messages)
            raise LlmattrError(f"the model's chat template refuses messages from {roles}: {error}") from error

    def _documents_text(
        self, documents: tuple[Document, ...], group: int, mask: Bool[np.ndarray, " n"]
    ) -> tuple[str, dict[int, int]]:
        """The kept text of the documents in one place, the first of them numbered `group`, and its sources' starts."""
        text, starts = "", {}
        for number, document in enumerate(documents, group):
            body, inside = self._kept(number, mask)
            if body.strip():
                text += ("\n\n" if text else "") + (f"{document.title}\n" if document.title else "")
                starts |= {i: len(text) + start for i, start in inside.items()}
                text += body
        return text, starts

    def _kept(self, group: int, mask: Bool[np.ndarray, " n"]) -> tuple[str, dict[int, int]]:
        spans, whole = self.sources.spans, self.sources.documents[group].text
        assert spans is not None  # sources cut from documents have them
        text, starts, end_before = "", {}, 0
        for i in self._rows[group]:
            start, end = spans[i]
            between = whole[end_before:start]
            if between.strip() or (mask[i] and text):  # text that is no source stays; white space goes with the part behind it
                text += between
            if mask[i]:
                starts[i] = len(text)
                text += whole[start:end]
            end_before = end
        return text + (whole[end_before:] if whole[end_before:].strip() else ""), starts

    @cached_property
    def _rows(self) -> list[list[int]]:
        return [np.flatnonzero(self.sources.groups == g).tolist() for g in range(len(self.sources.documents))]


def _locate(text: str, contents: list[str], places: list[dict[int, int]], texts: Sequence[str]) -> dict[int, int]:
    """Where the sources start in the rendered text, from where they start in the messages that it was rendered from."""
    found, cursor = {}, 0
    for content, starts in zip(contents, places, strict=True):
        at = text.find(content, cursor)
        if at < 0:  # the template trimmed it
            at = text.find(content.strip(), cursor) - (len(content) - len(content.lstrip()))
        for i, start in starts.items():
            # A template that rewrote the message leaves only the sources' own texts to look for.
            exact = at + start if text.startswith(texts[i], max(at + start, 0)) else text.find(texts[i], cursor)
            found[i] = exact
            cursor = max(cursor, exact + len(texts[i]))
        cursor = max(cursor, at + len(content.rstrip()))
    return {i: start for i, start in found.items() if start >= 0}


def _trim(text: str, offsets: Int[np.ndarray, "s 2"]) -> Int[np.ndarray, "s 2"]:
    """Token offsets without the white space at either end; tokens of white space only keep theirs."""
    solid = np.array([not c.isspace() for c in text], dtype=bool)
    places = np.arange(len(text))
    after = np.append(np.minimum.accumulate(np.where(solid, places, len(text))[::-1])[::-1], len(text))
    before = np.insert(np.maximum.accumulate(np.where(solid, places + 1, 0)), 0, 0)
    start, end = after[offsets[:, 0]], before[offsets[:, 1]]
    return np.where((start < end)[:, None], np.stack([start, end], axis=1), offsets)


def special_ids(tokenizer: Any) -> set[int]:
    """The tokens that are no text: ends of text and of turns, padding. An unknown token stands for text."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _decoded_offsets(tokenizer: Any, ids: Sequence[int], length: int) -> Int[np.ndarray, "r 2"]:
    """Character offsets of tokens by decoding ever longer prefixes; the bytes of one character share its offsets."""
    ends = [0]
    for k in range(1, len(ids) + 1):
        text = _decode(tokenizer, ids[:k])
        whole = text if k == len(ids) else text.rstrip("\ufffd")
        ends.append(min(max(ends[-1], len(whole)), length))
    starts, ends = np.array(ends[:-1]), np.array(ends[1:])
    for k in range(len(ids) - 2, -1, -1):
        if ends[k] == starts[k]:
            ends[k] = ends[k + 1]
    return np.stack([starts, ends], axis=1)
