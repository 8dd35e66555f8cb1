"""What a chat template makes of messages, and where their characters stand in the whole of it."""

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.text.forms import function_of
from llmattr.text.message import THOUGHTS
from llmattr.text.tokens import Tokenizer

Place = tuple[int, int]  # the number of a text, and a character in it
_PRIVATE = range(0x100000, 0x10FFFE)  # characters that no script uses


def render_chat(
    tokenizer: Tokenizer, chat: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None, **how: bool
) -> Any:
    """What the tokenizer's chat template makes of a chat, told of the tools that there are; raises what the template raises.

    Arguments of calls are given as dicts, as templates of transformers want them, or as JSON to one that refuses these; a
    message that only calls has no content, or an empty one for a template that knows nothing of calls.
    """
    options: dict[str, Any] = how | ({"tools": list(tools)} if tools else {})
    if not any(message.get("tool_calls") for message in chat):
        return tokenizer.apply_chat_template(chat, **options)
    refused: list[Exception] = []
    for form, content in ((_as_dict, None), (_as_json, None), (_as_dict, "")):
        try:
            return tokenizer.apply_chat_template([_calling(message, form, content) for message in chat], **options)
        except Exception as error:  # templates raise what they like
            refused.append(error)
    raise refused[0]


def thought_key(tokenizer: Tokenizer) -> str | None:
    """The key of a message under which the tokenizer's chat template looks for the assistant's reasoning; None: it has none."""
    thought = chr(_PRIVATE[0])
    for key in THOUGHTS:
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!", key: thought}]
        try:
            text = tokenizer.apply_chat_template(turns, tokenize=False)
        except Exception:  # templates raise what they like
            continue
        if thought in text:
            return key
    return None


def with_thought(content: str | None, thought: str | None, key: str | None) -> dict[str, str | None]:
    """A message's content and reasoning: under the template's key or, without one, as models write it before what they say."""
    if not thought or not thought.strip():
        return {"content": content}
    if key is not None:
        return {"content": content, key: thought}
    return {"content": f"<think>\n{thought}\n</think>\n\n{content or ''}"}


def _calling(message: Mapping[str, Any], form: Callable[[Any], Any], content: str | None) -> Mapping[str, Any]:
    """The message with the arguments of its calls in this form, and this content where it has none."""
    if not message.get("tool_calls"):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = function_of(call)
        given = {**function, "arguments": form(function["arguments"])} if "arguments" in function else function
        calls.append({**call, "function": given} if "function" in call else given)
    said = message.get("content")
    return {**message, "content": content if said is None else said, "tool_calls": calls}


def _as_dict(arguments: object) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


def _as_json(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def located(render: Callable[[list[str]], str], texts: Sequence[str], places: Sequence[Place]) -> tuple[str, list[int | None]]:
    """The texts rendered, and where characters of theirs stand in it: None for what the template left out or rewrote.

    Rendered a second time with a numbered mark before each of these characters, which says exactly where it went. A template
    that makes something else of marked texts leaves those to be found that stand there as often as in the texts.
    """
    text = render(list(texts))
    if not places:
        return text, []
    mark = next(c for c in map(chr, _PRIVATE) if c not in text and not any(c in one for one in texts))
    try:
        pieces = re.split(f"{mark}(\\d+){mark}", render(_marked(texts, places, mark)))
    except LlmattrError:
        pieces = []
    if "".join(pieces[::2]) != text:
        starts = [_start(text, texts, number) for number in range(len(texts))]
        return text, [None if (start := starts[number]) is None else start + at for number, at in places]
    ends = itertools.accumulate(len(piece) for piece in pieces[:-1:2])
    found = dict(reversed([*zip(map(int, pieces[1::2]), ends, strict=True)]))  # where it stands for the first time
    return text, [found.get(k) for k in range(len(places))]


def _marked(texts: Sequence[str], places: Sequence[Place], mark: str) -> list[str]:
    """The texts with the number of each place before its character."""
    pieces: list[list[str]] = [[] for _ in texts]
    ends = [0] * len(texts)
    for (number, at), k in sorted(zip(places, range(len(places)), strict=True)):
        pieces[number] += [texts[number][ends[number] : at], f"{mark}{k}{mark}"]
        ends[number] = at
    return ["".join([*some, text[end:]]) for some, text, end in zip(pieces, texts, ends, strict=True)]


def _start(text: str, texts: Sequence[str], number: int) -> int | None:
    """Where a text begins: the one that stands at its turn among equal ones, where all of them do."""
    said = texts[number].strip()
    if not said or text.count(said) != sum(one.count(said) for one in texts):
        return None
    start = -1
    for _ in range(sum(one.count(said) for one in texts[:number]) + 1):
        start = text.find(said, start + 1)
    return start - texts[number].index(said)
