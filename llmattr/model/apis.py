"""What chat servers want to be asked, and where the text stands in what they answer: one `Api` for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Turn = Mapping[str, str]  # role and content
Name = Literal["openai", "anthropic", "ollama", "llamacpp"]
FIXED = {"temperature": 0, "seed": 0}


class Said(NamedTuple):
    """A server's text, and whether it came to its end by itself."""

    text: str
    is_whole: bool


@dataclass(frozen=True)
class Api:
    """A chat server's manner of being asked.

    `path`: where a request goes, and `models` where the list of models is, with the keys that lead to the names in it. `key`:
    the environment's name for the key, and `headers` what is sent with it, or without one. `bodies(model, turns, max_tokens)`:
    requests, of which the first that is not refused is kept; only the first fixes what is generated. `said`: the text in an
    answer.
    """

    path: str
    models: tuple[str, str, str]
    key: str
    headers: Callable[[str], dict[str, str]]
    bodies: Callable[[str, Sequence[Turn], int], tuple[dict[str, Any], ...]]
    said: Callable[[Mapping[str, Any]], Said]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _versioned(key: str) -> dict[str, str]:
    return {"anthropic-version": "2023-06-01", **({"x-api-key": key} if key else {})}


def _openai(model: str, turns: Sequence[Turn], most: int) -> tuple[dict[str, Any], ...]:
    """Reasoning models take no temperature, and name the limit otherwise."""
    asked = {"model": model, "messages": list(turns)}
    return {**asked, "max_tokens": most, **FIXED}, {**asked, "max_completion_tokens": most}


def _llamacpp(model: str, turns: Sequence[Turn], most: int) -> tuple[dict[str, Any], ...]:
    """Without the prompt's cache, since it makes equal requests differ."""
    return ({"model": model, "messages": list(turns), "max_tokens": most, **FIXED, "cache_prompt": False},)


def _anthropic(model: str, turns: Sequence[Turn], most: int) -> tuple[dict[str, Any], ...]:
    """What the system says stands beside the turns. Some models take no temperature."""
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    asked: dict[str, Any] = {"model": model, "max_tokens": most}
    asked |= {"messages": [turn for turn in turns if turn["role"] != "system"]} | ({"system": system} if system else {})
    return {**asked, "temperature": 0}, asked


def _ollama(model: str, turns: Sequence[Turn], most: int) -> tuple[dict[str, Any], ...]:
    return ({"model": model, "messages": list(turns), "stream": False, "options": {**FIXED, "num_predict": most}},)


def _choice(answer: Mapping[str, Any]) -> Said:
    choice = answer["choices"][0]
    return Said(choice["message"].get("content") or "", choice.get("finish_reason") != "length")


def _blocks(answer: Mapping[str, Any]) -> Said:
    texts = [block["text"] for block in answer["content"] if block["type"] == "text"]
    return Said("".join(texts), answer.get("stop_reason") != "max_tokens")


def _message(answer: Mapping[str, Any]) -> Said:
    return Said(answer["message"]["content"], answer.get("done_reason") != "length")


_V1 = ("/v1/models", "data", "id")
APIS: dict[Name, Api] = {
    "openai": Api("/v1/chat/completions", _V1, "OPENAI_API_KEY", _bearer, _openai, _choice),
    "anthropic": Api("/v1/messages", _V1, "ANTHROPIC_API_KEY", _versioned, _anthropic, _blocks),
    "ollama": Api("/api/chat", ("/api/tags", "models", "name"), "OLLAMA_API_KEY", _bearer, _ollama, _message),
    "llamacpp": Api("/v1/chat/completions", _V1, "LLAMA_API_KEY", _bearer, _llamacpp, _choice),
}
