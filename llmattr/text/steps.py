"""The steps of a chat as documents: what was said before the question, what tools returned, what the model thought."""

import dataclasses
import itertools
from collections.abc import Sequence

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.message import Message, Parts, called
from llmattr.text.observations import observations
from llmattr.text.split.reasoning import has_reasoning
from llmattr.text.split.reasoning import parts as reasoned

SYSTEM = ("system", "developer")
RESULTS = ("tool", "function", "ipython")  # of what a tool returned, as templates know it


def steps_of(chat: Sequence[Message], only: int | None = None) -> tuple[Message, ...]:
    """Every turn becomes a document but the system's and the one that asks: the user's last; that one, where there is no other.

    `only`: this step alone becomes one, whatever it is, and all others stay as they are.

    A document's id says which turn it is, counted from 1 without the system's, and what: "step 3: result of search", "step 4:
    assistant", and "step 4: reasoning" for what was thought there. Calls of tools are written by the template and stay. A turn
    of the user that says what an action found is a result, too (`observations`).
    """
    found = observations(chat)
    asking = max((i for i, message in enumerate(chat) if message.role == "user" and i not in found), default=None)
    if asking is None:
        asking = max((i for i, message in enumerate(chat) if message.role not in RESULTS), default=len(chat) - 1)
    names = called(chat)
    steps = list(itertools.accumulate(int(message.role not in SYSTEM) for message in chat))
    ids = [f"step {steps[i]}: {_called(message, found.get(i), names)}" for i, message in enumerate(chat)]
    stays = [message.role in SYSTEM or (i == asking if only is None else steps[i] != only) for i, message in enumerate(chat)]
    made = tuple(
        message if fixed else _as_documents(message, step, name)
        for message, fixed, step, name in zip(chat, stays, steps, ids, strict=True)
    )
    if any(document.text.strip() for message in made for document in message.documents):
        return made
    if only is not None:
        has = "only calls tools, or is silent" if 1 <= only <= steps[-1] else f"is not there: before the answer are {steps[-1]}"
        raise LlmattrError(f"step {only} {has}; steps are the chat's turns, counted from 1 without the system's")
    question = (Document(chat[asking].text, ids[asking]),)
    return (*made[:asking], dataclasses.replace(chat[asking], parts=(question,)), *made[asking + 1 :])


def _as_documents(message: Message, step: int, name: str) -> Message:
    """The turn with what it says (of this name) and thinks as documents."""
    thoughts: Parts = tuple((Document(part, f"step {step}: reasoning"),) for part in message.thoughts if isinstance(part, str))
    text, parts = message.text, message.parts
    if message.role == "assistant" and has_reasoning(text):
        parts = _apart(text, name, f"step {step}: reasoning")
    elif text.strip():
        parts = ((Document(text, name),),)
    return dataclasses.replace(message, thoughts=thoughts, parts=parts)


def _apart(text: str, name: str, thought: str) -> Parts:
    """What was said and what was thought as documents, and the marks between them."""
    parts: list[str | tuple[Document, ...]] = []
    end = 0
    for part in reasoned(text):
        said = text[part.start : part.end].strip()
        if said:
            start = text.index(said, part.start)
            parts += [text[end:start], (Document(said, thought if part.is_reasoning else name),)]
            end = start + len(said)
    return tuple(part for part in (*parts, text[end:]) if part)


def _called(message: Message, found_by: str | None, names: dict[str, str]) -> str:
    if message.role not in RESULTS and found_by is None:
        return message.role
    return f"result of {found_by or names.get(message.result_of or '') or message.other.get('name') or 'a tool'}"
