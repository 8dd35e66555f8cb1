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
    asked = asking(chat)
    if asked is None:
        asked = max((i for i, message in enumerate(chat) if message.role not in RESULTS), default=len(chat) - 1)
    steps, ids = _steps(chat), _ids(chat)
    stays = [message.role in SYSTEM or (i == asked if only is None else steps[i] != only) for i, message in enumerate(chat)]
    made = tuple(
        message if fixed else _as_documents(message, step, name)
        for message, fixed, step, name in zip(chat, stays, steps, ids, strict=True)
    )
    if any(document.text.strip() for message in made for document in message.documents):
        return made
    if only is not None:
        has = "only calls tools, or is silent" if 1 <= only <= steps[-1] else f"is not there: before the answer are {steps[-1]}"
        raise LlmattrError(f"step {only} {has}; steps are the chat's turns, counted from 1 without the system's")
    question = (Document(chat[asked].text, ids[asked]),)
    return (*made[:asked], dataclasses.replace(chat[asked], parts=(question,)), *made[asked + 1 :])


def results_of(chat: Sequence[Message]) -> tuple[Message, ...]:
    """What tools returned becomes documents, named as `steps_of` names them; all else stays.

    >>> results_of([Message("user", ("How deep?",)), Message("tool", ("It is deep.",), {"name": "search"})])[1].documents
    (Document(text='It is deep.', id='step 2: result of search', title=None),)
    """
    found, steps, ids = observations(chat), _steps(chat), _ids(chat)
    return tuple(
        _as_documents(message, steps[i], ids[i]) if message.role in RESULTS or i in found else message
        for i, message in enumerate(chat)
    )


def asking(chat: Sequence[Message]) -> int | None:
    """The turn that asks: the user's last that is no result; None where there is none."""
    found = observations(chat)
    return max((i for i, message in enumerate(chat) if message.role == "user" and i not in found), default=None)


def _steps(chat: Sequence[Message]) -> list[int]:
    """Each turn's number, from 1, without the system's."""
    return list(itertools.accumulate(int(message.role not in SYSTEM) for message in chat))


def _ids(chat: Sequence[Message]) -> list[str]:
    """What each turn is called as a document."""
    found, names = observations(chat), called(chat)
    return [f"step {step}: {_called(chat[i], found.get(i), names)}" for i, step in enumerate(_steps(chat))]


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
