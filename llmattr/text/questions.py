"""Questions as people ask them: in the form of the rows, about a part of the answer (`span`), or against another one
(`rather_than`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from llmattr.errors import LlmattrError, check_text, note
from llmattr.text.checked import kind_of_row
from llmattr.text.forms import is_chat, plain_chat
from llmattr.text.rows import Examples
from llmattr.text.tokens import Reader, Tokenizer, decode, decoded_offsets
from llmattr.text.turns import Chat


def has_span(row: Mapping[str, Any]) -> bool:
    """Whether a part of the answer is asked about; a file of which some rows do has None in the others."""
    return row.get("span") is not None


def has_other(row: Mapping[str, Any]) -> bool:
    """Whether the answer is set against another one."""
    return row.get("rather_than") is not None


def whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """A training row as a question, whatever its own columns are called."""
    return {name: value for name, value in row.items() if name not in ("span", "rather_than")}


def other_of(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The question with the answer that its own is set against; of a chat the last turn is another.

    Raises `LlmattrError` where there are not two answers, and where only a part of one is asked about.
    """
    kind, said = kind_of_row(row), check_text(row["rather_than"], f"what {name} is set against")
    column = "completion" if kind == "prompt" else kind
    other: Any = said
    if is_chat(row[column]):
        *before, last = row[column]
        if last["role"] != "assistant":
            raise LlmattrError(f"{name} ends with a turn of {last['role']!r}, and it is the assistant's that another replaces")
        other = [*before, {"role": "assistant", "content": said}]
    if other == row[column] or not said.strip():
        raise LlmattrError(f"{name} is set against {said!r:.60}, which is {'what it says' if said.strip() else 'no answer'}")
    if has_span(row):
        raise LlmattrError(f"{name} has a span and another answer (rather_than), which is set against the whole: leave one out")
    return {**row, column: other}


def asks_in_a_chat(row: Mapping[str, Any]) -> bool:
    """Whether it is a chat."""
    return is_chat(row[kind_of_row(row)])


def in_form(row: Mapping[str, Any], form: Mapping[str, Any], tokenizer: Tokenizer) -> Mapping[str, Any]:
    """A question in the form of a training row: a prompt and its completion as a chat of two turns where the row is a chat.

    A prompt that a chat template has written already stays as it is.
    """
    asked = kind_of_row(row)
    if asks_in_a_chat(row) or asked != "prompt" or not asks_in_a_chat(form) or _is_rendered(row["prompt"], tokenizer):
        return row
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
    beside = {name: value for name, value in row.items() if name not in ("prompt", "completion")}
    chat = {"messages": turns} if kind_of_row(form) == "messages" else {"prompt": turns[:1], "completion": turns[1:]}
    return beside | chat


def _is_rendered(prompt: str, tokenizer: Tokenizer) -> bool:
    """Whether it has a special token's name in it, or begins as a template begins a chat."""
    marks = Reader(tokenizer).marks
    if not tokenizer.chat_template or (marks is not None and marks.search(prompt)):
        return True
    chat = Chat(Reader(tokenizer), [{"role": "user", "content": "Hi"}], "a question")
    text, (place,) = chat.located([(0, ("content",), 0)])
    return bool(place) and prompt.startswith(text[:place])


def of_chat(messages: Sequence[Mapping[str, Any]], completion: str | None = None) -> dict[str, Any]:
    """A question about the last turn of a chat, the assistant's; or, after all of it, about this completion.

    Raises `LlmattrError` for a chat that ends with another's turn where there is no completion.
    """
    chat = plain_chat(messages)
    if completion is not None:
        return {"prompt": chat, "completion": completion}
    speakers = [message.get("role") for message in chat]
    if speakers[-1:] != ["assistant"]:
        said = f"ends with a turn of {speakers[-1]!r}" if speakers else "says nothing"
        raise LlmattrError(f"the chat {said}: end it with the assistant's, or give what it said (--completion)")
    return {"messages": chat} if speakers.count("assistant") == 1 else {"prompt": chat[:-1], "completion": chat[-1:]}


def only_spans(examples: Examples, tokenizer: Tokenizer) -> Examples:
    """The same, of which a row with a `span` counts only the tokens that it covers, those at its ends whole.

    The model reads and is asked for what it was before, so that the gradients of an answer's parts add up to the answer's.
    Raises `LlmattrError` for a span that is no part of what the loss counts.
    """
    if not any(map(has_span, examples.rows)):
        return examples
    counted = [
        _covered(examples, i, tokenizer) if has_span(row) else examples.counted[i] for i, row in enumerate(examples.rows)
    ]
    return replace(examples, counted=counted, asked=examples.answers)


def _covered(examples: Examples, i: int, tokenizer: Tokenizer) -> Bool[np.ndarray, " s"]:
    """Which tokens of a row its span covers."""
    name, span = examples.name(i), check_text(examples.rows[i]["span"], f"the span of {examples.name(i)}")
    places = np.flatnonzero(examples.counted[i])
    said = np.asarray(examples.ids[i])[places].tolist()
    text = decode(tokenizer, said)
    wanted = span if span in text else decode(tokenizer, Reader(tokenizer).encode(span).ids)  # as one in small letters has it
    if not span.strip() or wanted not in text:
        raise LlmattrError(
            f"{name} does not say {span!r:.60}: of it the loss counts {text!r:.200}, and a span is a part of that"
        )
    if (times := text.count(wanted)) > 1:
        note(f"{span!r:.60} stands {times} times in the answer of {name}: the first is asked about; a longer span says which")
    start, offsets = text.index(wanted), decoded_offsets(tokenizer, said, len(text))
    counted = np.zeros(len(examples.ids[i]), dtype=bool)
    counted[places[(offsets[:, 0] < start + len(wanted)) & (offsets[:, 1] > start)]] = True
    return counted
