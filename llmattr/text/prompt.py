"""The prompt under a mask: which text is left, how it is tokenised, and where sources and response stand in it."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from llmattr.core.sources import Document, Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.text import split
from llmattr.text.message import Message, Parts
from llmattr.text.rendering import Place, located, render_chat, thought_key, with_thought
from llmattr.text.split.reasoning import ending_of, has_reasoning, said_in, without_opening
from llmattr.text.tokens import Cutter, Reader, Tokenizer, decode, decoded_offsets, special_ids, trim

Target = Literal["answer", "reasoning"]  # of a response: what was said, or what was thought before
Rest = tuple[str, dict[int, int]]  # what is left of a text, and where its sources start in it


class Rendered(NamedTuple):
    """A prompt and response as tokens: `ids` [s], the response's slice of them, and each source's tokens [n, 2].

    A removed source has the span (0, 0). A token that straddles two sources belongs to the one in which its first
    character that is not white space lies.
    """

    ids: list[int]
    response: slice
    sources: Int[np.ndarray, "n 2"]


def cut(messages: Sequence[Message], kind: str | split.Splitter, language: str | None = None) -> Sources:
    """The sources of the messages' documents, in order, each with its characters in its document.

    `language` is that of documents which do not say their own; None: as each reads.
    """
    name, splitter = split.find_splitter(kind)
    given = [document for message in messages for document in message.documents]
    documents = tuple(dataclasses.replace(d, language=d.language or language) for d in given)
    cuts = [] if callable(kind) else [split.cut(d.text, kind, d.format, d.language, d.blocks) for d in documents]
    spans = [c.spans for c in cuts] or [split.spans(document.text, splitter) for document in documents]
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
        blocks=[block for c in cuts for block in c.blocks] if cuts else None,
        quotable=np.concatenate([c.quotable for c in cuts]) if cuts else None,
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

    tokenizer: Tokenizer
    messages: tuple[Message, ...]
    sources: Sources
    response: str = ""
    response_ids: tuple[int, ...] = ()
    response_offsets: Int[np.ndarray, "r 2"] | None = None  # the characters of each response token
    tools: tuple[Any, ...] = ()  # that the model may call, as the chat template is told
    closing: str = ""  # ends the reasoning that the template opens, before a response that was given
    target: Target = "answer"

    def render(self, mask: Bool[np.ndarray, " n"]) -> Rendered:
        """The tokens of prompt and response when only the sources in the mask are left."""
        text, starts, breaks = self._text(mask)
        tokens = self._reader.encode(text, breaks)
        # A chat template writes its own special tokens; plain text gets the tokenizer's beginning of text.
        ids = tokens.ids if self.tokenizer.chat_template else self._reader.begun(tokens.ids)
        ids = ids or [self._first_id]
        spans = np.zeros((len(self.sources), 2), dtype=int)
        if tokens.offsets is not None:
            begin = np.zeros((len(ids) - len(tokens.ids), 2), dtype=int)
            first = trim(text, np.concatenate([begin, tokens.offsets]))[:, 0]
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
            raise LlmattrError("the response is empty: there is nothing to attribute; leave it out, and the model answers")
        opened = dataclasses.replace(self, closing="")._whole[0]
        response = without_opening(opened, response)
        prompt = dataclasses.replace(self, response=response, closing=ending_of(opened, response))
        text, _, breaks = prompt._whole
        if isinstance(self.tokenizer, Cutter):
            ids, offsets = self.tokenizer.cut(text, response)
        else:
            ids, offsets = said = self._reader.parted(text, response, breaks)[1]
            offsets = decoded_offsets(self.tokenizer, ids, len(response)) if said.offsets is None else offsets
        return dataclasses.replace(prompt, response_ids=tuple(ids), response_offsets=offsets)

    def with_generated(self, ids: Sequence[int]) -> "Prompt":
        """The prompt with a response as the model generated it, token by token; special tokens at its end are dropped."""
        ids, special = list(ids), special_ids(self.tokenizer)
        while ids and ids[-1] in special:
            ids.pop()
        text = decode(self.tokenizer, ids)
        if not text.strip():
            raise LlmattrError("the model answered nothing: give the response to attribute (response=, --response)")
        offsets = decoded_offsets(self.tokenizer, ids, len(text))
        return dataclasses.replace(self, response=text, response_ids=tuple(ids), response_offsets=offsets)

    def lost(self) -> list[int]:
        """The sources that are not found in the whole prompt's text, since the template leaves them out or rewrites them."""
        return [i for i in range(len(self.sources)) if i not in self._whole[1]]

    def oddities(self) -> list[str]:
        """What a reader of the prompt should know of it: what the template leaves out, and what stands in it otherwise."""
        text, _, breaks = self._whole
        lost = [source for source in (self.sources.texts[i] for i in self.lost()) if source not in text]
        found = [f"the chat template leaves {len(lost)} sources out, the first is {lost[0]!r:.60}"] if lost else []
        if breaks:
            typed = text[breaks[0] - 1 :][:20]
            found.append(f"special tokens are spelled in the documents ({len(breaks)}, the first in {typed!r}): they stay text")
        if self.closing:
            found.append(f"the chat template opens a reasoning: the response stands behind its end, {self.closing.strip()}")
        if self.target == "answer" and has_reasoning(self.response) and not said_in(self.response):
            found.append("the response has a reasoning and no answer behind it: the reasoning is what is attributed")
        said = [text.strip() for text in self.targets().texts[1:]] if self.response.strip() else []
        if (again := len(said) - len(set(said))) > 1:
            found.append(f"{again} of the response's {len(said)} sentences repeat earlier ones, which explain them")
        return found

    def targets(self, measure: str = "logit") -> Targets:
        """The whole answer and each of its sentences that has a token of its own: no heading, table's header or reasoning.

        With `target` "reasoning" the same of the reasoning before it; raises `LlmattrError` where there is none.
        """
        thinks = self.target == "reasoning"
        stretches = said_in(self.response, thinks) or said_in(self.response, not thinks)
        if thinks and not has_reasoning(self.response):
            raise LlmattrError("the response has no reasoning that could be attributed: leave the target away")
        language = next((document.language for document in self.sources.documents), None)
        if thinks:
            said = _sentences(self.response, stretches, language)
        else:
            inner = split.cut(self.response, "sentences", "answer", language)
            said = inner.spans[inner.quotable] if inner.quotable.any() else inner.spans
        whole = np.array(stretches[-1:])  # what is said last, where a reasoning stands between
        inside = (said[:, 0] >= whole[0, 0]) & (said[:, 1] <= whole[0, 1])
        spans = np.concatenate([whole, said[inside]])
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
        tokens = trim(self.response, self.response_offsets)
        first = np.searchsorted(tokens[:, 1], spans[:, 0], side="right")
        last = np.searchsorted(tokens[:, 0], spans[:, 1], side="left")
        return np.stack([first, last], axis=1)

    @property
    def _first_id(self) -> int:
        """What stands for a prompt without any text: the first response token needs something before it."""
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return next((token for token in known if token is not None), 0)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.tokenizer)

    @cached_property
    def _whole(self) -> tuple[str, dict[int, int], list[int]]:
        return self._text(np.ones(len(self.sources), dtype=bool))

    def _text(self, mask: Bool[np.ndarray, " n"]) -> tuple[str, dict[int, int], list[int]]:
        """The prompt's text, where each kept source starts in it, and where a mark that a document spells is broken."""
        contents: list[str] = []
        starts: dict[int, Place] = {}
        breaks: list[Place] = []
        groups = itertools.count()  # documents are numbered through all messages
        for number, parts in enumerate(self._fields):
            content = ""
            for part in parts:
                if not isinstance(part, str):
                    part, inside = self._documents_text(part, groups, mask)
                    starts |= {i: (number, len(content) + start) for i, start in inside.items()}
                    marks = self._reader.marks.finditer(part) if self._reader.marks else ()
                    breaks += [(number, len(content) + mark.start() + 1) for mark in marks]
                content += part
            contents.append(content)
        render = self._chat if self.tokenizer.chat_template else "\n\n".join
        text, found = located(render, contents, [*starts.values(), *breaks])
        at = {i: place for i, place in zip(starts, found, strict=False) if place is not None}
        at = {i: place for i, place in at.items() if text.startswith(self.sources.texts[i], place)}  # not rewritten inside
        return text + self.closing, at, sorted(place for place in found[len(starts) :] if place is not None)

    @property
    def _fields(self) -> list[Parts]:
        """What is written of each message: its reasoning, where it has one apart, and what it says."""
        return [parts for m in self.messages for parts in ((m.thoughts, m.parts) if m.thoughts else (m.parts,))]

    @cached_property
    def _thought_key(self) -> str | None:
        return thought_key(self.tokenizer)

    def _chat(self, contents: list[str]) -> str:
        texts = iter(contents)
        chat = []
        for m in self.messages:
            thought = next(texts) if m.thoughts else None
            said = next(texts)
            content = said if m.parts else None  # of a turn that only calls tools
            chat.append({**m.other, "role": m.role, **with_thought(content, thought, self._thought_key)})
        try:
            return render_chat(self.tokenizer, chat, self.tools, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # templates raise what they like
            roles = ", ".join(message.role for message in self.messages)
            raise LlmattrError(f"the model's chat template refuses messages from {roles}: {error}") from error

    def _documents_text(self, documents: tuple[Document, ...], groups: Iterator[int], mask: Bool[np.ndarray, " n"]) -> Rest:
        """The kept text of the documents in one place, with the next of these numbers, and its sources' starts."""
        text, starts = "", {}
        for document in documents:
            body, inside = self._kept(next(groups), mask)
            if body.strip():
                text += ("\n\n" if text else "") + (f"{document.title}\n" if document.title else "")
                starts |= {i: len(text) + start for i, start in inside.items()}
                text += body
        return text, starts

    def _kept(self, group: int, mask: Bool[np.ndarray, " n"]) -> Rest:
        spans, whole = self.sources.spans, self.sources.documents[group].text
        assert spans is not None  # sources cut from documents have them
        # Outer white space belongs to no source and goes, whichever of the document's parts are sources.
        text, starts, end_before = "", {}, len(whole) - len(whole.lstrip())
        for i in np.flatnonzero(self.sources.groups == group).tolist():
            start, end = spans[i]
            between = whole[end_before:start]
            if between.strip() or (mask[i] and text):  # text that is no source stays; white space goes with the part behind it
                text += between
            if mask[i]:
                starts[i] = len(text)
                text += whole[start:end]
            end_before = end
        return text + whole[end_before:].rstrip(), starts


def _sentences(text: str, stretches: Sequence[tuple[int, int]], language: str | None) -> Int[np.ndarray, "s 2"]:
    """The sentences of some stretches of a text."""
    cuts = [(split.cut(text[a:b], "sentences", "markdown", language), a) for a, b in stretches]
    return np.concatenate([cut.spans[cut.quotable if cut.quotable.any() else slice(None)] + a for cut, a in cuts])
