"""`cite`: which sources of the context made the model say this?"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llmattr.context import METHODS
from llmattr.context.ablation import ContextAblation
from llmattr.context.context_cite import ContextCite
from llmattr.context.leave_one_out import LeaveOneOut
from llmattr.errors import LlmattrError, note
from llmattr.lm import LM
from llmattr.messages import PLAIN_TEMPLATE, TEMPLATE, Context, Message, check_text, conversation, take_answer
from llmattr.method import describe, find_method
from llmattr.prompt import Prompt, cut
from llmattr.split import Splitter
from llmattr.types import Attribution, Targets


def cite(
    model: Any,
    context: Context | None = None,
    query: str | None = None,
    *,
    messages: Sequence[Mapping[str, Any]] | None = None,
    response: str | None = None,
    sources: str | Splitter = "sentences",
    template: str | None = None,
    method: Any = ContextCite(),
    max_new_tokens: int = 256,
    seed: int = 0,
) -> Attribution:
    """Attribute a model's response, whole and sentence by sentence, to the sources of its context.

    `model`: a hub id, a local folder, "smollm2" (the embedded model), (model, tokenizer), or an `LM`, which also says dtype,
    device and batch size. `context`: a text, or a list of
    documents (texts, or dicts with `text`, `title`, `id`). `messages`: a chat with the documents in it (see `conversation`); if
    its last turn is the assistant's, that is the response. `response`: generated (greedy) when it is not given. `sources`:
    documents, paragraphs, sentences, words, or a function text -> parts (text in no part stays). `method`: a name or a
    dataclass of `METHODS`.

    Returns scores [t, n], t = the whole response and each of its sentences, in nats of log-odds: positive = the source made
    it likelier. Raises `LlmattrError` for input that the user can mend.
    """
    method = find_method(method, METHODS)
    if messages is not None and response is None:
        messages, response = take_answer(messages)
    # Cut before a model is loaded, so that mistakes show at once; a model without a chat template is only known afterwards.
    cut(conversation(context, query, messages, template or TEMPLATE), sources)
    started = time.perf_counter()
    lm = LM.load(model)
    if lm.kind != "causal":
        raise LlmattrError(f"{lm.name or 'the model'} is a {lm.kind} model: cite needs one that predicts the next token")
    has_chat = bool(lm.tokenizer.chat_template)
    if not has_chat:
        note(f"{lm.name or 'the model'} has no chat template: the prompt is plain text")
    chat = conversation(context, query, messages, template or (TEMPLATE if has_chat else PLAIN_TEMPLATE))
    prompt = _answered(lm, chat, sources, response, max_new_tokens)
    answered = time.perf_counter()
    if len(prompt.sources) == 1:
        note("there is only one source: its score is what is lost without it (leave-one-out)")
        method = LeaveOneOut()
    result = attribute(method, ContextAblation(lm, prompt, prompt.targets()), seed)
    seconds = {"load_and_answer": answered - started, "attribute": time.perf_counter() - answered}
    return dataclasses.replace(result, run={"query": query, **result.run, "seconds": seconds})


def attribute(method: Any, ablation: ContextAblation, seed: int = 0) -> Attribution:
    """Apply a context method, and keep what `Attribution.span` and a saved file need."""
    result = method.attribute(ablation, seed)

    def attribute_targets(targets: Targets) -> Attribution:
        return attribute(method, ablation.of(targets), seed)

    return dataclasses.replace(
        result,
        method=describe(method),
        run={**result.run, **_versions()},
        response=ablation.prompt.response,
        attribute_targets=attribute_targets,
    )


def _answered(lm: LM, chat: tuple[Message, ...], sources: str | Splitter, response: str | None, max_new_tokens: int) -> Prompt:
    prompt = Prompt(lm.tokenizer, chat, cut(chat, sources))
    if response is not None:
        return prompt.with_response(check_text(response, "the response"))
    return prompt.with_generated(lm.generate(prompt.full().ids, max_new_tokens))


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in ("llmattr", "transformers", "torch", "scikit-learn")}
