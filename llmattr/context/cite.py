"""`cite`: which sources of the context made the model say this?"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from llmattr.context.contract import Method
from llmattr.context.entailing import load_judge
from llmattr.context.methods import METHODS
from llmattr.context.methods.games import LeaveOneOut
from llmattr.context.methods.screening import Screening
from llmattr.context.opening import ablation_of, check_length, scorer_of
from llmattr.context.relevance import relevance, what_cannot_be_compared
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.removal.cache import limit
from llmattr.context.removal.contrast import ONE_ALONE, contrast
from llmattr.context.verify import verify as evidence_for
from llmattr.core.attribution import Attribution
from llmattr.core.method import find_method
from llmattr.core.processes import is_main, of_main
from llmattr.core.returned import scores_of
from llmattr.core.sources import Measure, Part, Targets
from llmattr.core.versions import versions
from llmattr.errors import LlmattrError, check_choice, check_text, note
from llmattr.model.chat import ChatServer
from llmattr.model.contract import Scorer
from llmattr.text.documents import Context, read_documents
from llmattr.text.forms import plain_tools
from llmattr.text.message import take_answer
from llmattr.text.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
from llmattr.text.prompt import Prompt, Target, cut
from llmattr.text.split import Splitter

if TYPE_CHECKING:
    from llmattr.model.judge import Judge


def cite(
    model: object,
    context: Context | None = None,
    query: str | None = None,
    *,
    messages: Sequence[Mapping[str, Any]] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    step: int | None = None,
    response: str | None = None,
    rather_than: str | None = None,
    target: Target = "answer",
    sources: str | Splitter = "sentences",
    language: str | None = None,
    template: str | None = None,
    method: object = Screening(),
    measure: Measure = "logit",
    verify: bool = True,
    judge: str | None = None,
    cache: str | Path | None = None,
    max_new_tokens: int = 256,
    seed: int = 0,
) -> Attribution:
    """Attribute a model's response, whole and sentence by sentence, to the sources of its context.

    `model`: a hub id, a local folder, "smollm2" (the embedded model), (model, tokenizer), or an `LM`, which also says dtype,
    device and batch size; one behind a server: its address, a `ServerLM` or a `ChatServer`. `context`: a text, or documents:
    texts, dicts with `text`, `title`, `id`, `metadata`, or what a retriever returns (see `read_documents`). `messages`: a chat
    with the documents in it (see `conversation`); if its last turn is the assistant's, that is the response, unless another is
    given. `tools`: those that the model may call, for the chat template. `step`: only what this turn of the chat says can be
    removed (counted from 1 without the system's), all others stay. `response`: generated (greedy) when it is not given.
    `rather_than`: another answer; the scores then say what made the model give this one and not that. `target`: "answer", or
    the "reasoning" before it, which is never part of the answer. `sources`: documents, paragraphs, sentences, words, or a
    function text -> parts (text in no part stays). `language`: the documents' (ISO 639-1), for where sentences end; None: as
    each reads. `method`: a name or a dataclass of `METHODS`. `measure`: the log-odds of what was said, or its log-probability.
    `verify`: ask the model about what is cited (`Attribution.evidence`). `judge`: a hub id or folder of an entailment model,
    whose word counts in the verdicts. `cache`: a folder in which scored ablations are kept, so that a run goes on where it was;
    beyond LLMATTR_CACHE_LIMIT gigabytes (1) the files go that were not used for longest.

    Returns scores [t, n], t = the whole response and each of its sentences, in nats of log-odds: positive = the source made
    it likelier. Raises `LlmattrError` for input that the user can mend.
    """
    chosen: Method = find_method(method, METHODS, Method)
    check_choice("measure", measure, get_args(Measure))
    check_choice("target", target, get_args(Target))
    language = None if language is None else check_text(language, "the language")
    if messages is not None:
        messages, said = take_answer(messages, query)
        response = said if response is None else response
    context = None if context is None else read_documents(context)  # once: a generator gives them only once, files take long
    chat = conversation(context, query, messages, template or TEMPLATE, step)
    is_verified = verify and rather_than is None and step is None  # a verdict is of the whole answer, behind all before it
    if judge is not None and not is_verified:
        raise LlmattrError(
            "a judge counts in verdicts, and there are none without verifying (--no-verify), of a step or a contrast"
        )
    parts, asked = cut(chat, sources, language), load_judge(judge)  # before the model is, so that mistakes show at once
    room = limit() if cache is not None else 0.0
    started = time.perf_counter()
    lm = scorer_of(model, may_generate=True)
    if lm.kind != "causal":
        raise LlmattrError(f"{lm.name or 'the model'} is a {lm.kind} model: cite needs one that predicts the next token")
    if not lm.tokenizer.chat_template:
        note(f"{lm.name or 'the model'} has no chat template: the prompt is plain text")
        chat = conversation(context, query, messages, template or PLAIN_TEMPLATE, step)  # around the same documents
    prompt = Prompt(lm.tokenizer, chat, parts, tools=tuple(plain_tools(list(tools))), target=target)
    prompt = _answered(lm, prompt, response, max_new_tokens)
    check_length(lm, prompt)
    for oddity in [*prompt.oddities(), *what_cannot_be_compared(prompt)]:
        note(oddity)
    answered = time.perf_counter()
    if len(prompt.sources) == 1:
        note("there is only one source: its score is what is lost without it (leave-one-out)")
        chosen = LeaveOneOut()

    def ablated(prompt: Prompt) -> ContextAblation:
        made = ablation_of(lm, prompt, measure, max_new_tokens=max_new_tokens, cache=cache, room=room)
        return made if rather_than is None else _contrasted(made, rather_than, chosen)

    def reworded(query: str) -> ContextAblation:
        plain = PLAIN_TEMPLATE if not lm.tokenizer.chat_template else TEMPLATE
        other = dataclasses.replace(prompt, messages=conversation(context, query, messages, template or plain, step))
        check_length(lm, other)
        return ablated(other)

    is_verified = is_verified and not isinstance(lm, ChatServer)  # verdicts are on log-probabilities
    if asked is not None and not is_verified:
        note("the judge is not asked: it counts in verdicts, which take log-probabilities, and this server gives none")
    words = None if query is None else reworded
    session = ContextSession(chosen, ablated(prompt), seed, lm.fingerprint(), query, words, is_verified, asked)
    result = session.result()
    seconds = {"load_and_answer": answered - started, **result.run["seconds"]}
    return dataclasses.replace(result, run={**result.run, "seconds": seconds})


@dataclass(frozen=True, eq=False)
class ContextSession:
    """A method at work on a prompt: what a fresh attribution asks for further spans and words.

    `reworded`: from another wording of the query to the ablation of the same response behind it; None where there is no query.
    """

    method: Method
    ablation: ContextAblation
    seed: int = 0
    model: Mapping[str, str] | None = None
    query: str | None = None
    reworded: Callable[[str], ContextAblation] | None = None
    is_verified: bool = False
    judge: "Judge | None" = None

    def result(self) -> Attribution:
        """The response and its sentences attributed, with what true ablations (and the judge) say of what is cited."""
        return self.over((self.seed,), itemgetter(0))

    def over(
        self,
        seeds: Sequence[int],
        mean: Callable[[Sequence[Attribution]], Attribution],
        paraphrases: Sequence[str] = (),
    ) -> Attribution:
        """The same, of what `mean` makes of the attributions by several seeds, of the query and of each of its paraphrases."""
        started, store = time.perf_counter(), self.ablation.store
        store.asked = {}
        others = self._in_other_words(paraphrases)
        of = [dataclasses.replace(self, ablation=ablation) for ablation in (self.ablation, *others)]
        runs = [dataclasses.replace(one, seed=seed).attribute(self.ablation.targets) for one in of for seed in seeds]
        found = mean(runs)
        fitted = store.asked
        attributed = time.perf_counter()
        evidence = evidence_for(found, self.ablation, self.judge) if self.is_verified else None
        store.asked = fitted
        seconds = {"attribute": attributed - started}
        seconds |= {"verify": time.perf_counter() - attributed} if evidence else {}
        run = {"query": self.query, **found.run, **self.ablation.record(), "seconds": seconds}
        run |= {"judge": self.judge.name} if self.judge is not None else {}
        if others:
            more = sum(one.store.made for one in others)
            run |= {name: run[name] + more for name in ("forward_passes", "answers") if name in run}
            run["paraphrases"] = [*paraphrases]
        asked = None if self.query is None else [{"prompt": self.query, "completion": self.ablation.prompt.response}]
        return dataclasses.replace(found, run=run, evidence=evidence, asked=asked)

    def _in_other_words(self, paraphrases: Sequence[str]) -> list[ContextAblation]:
        """The ablation of each; raises `LlmattrError` without a query, and for what is none of its paraphrases."""
        if paraphrases and self.reworded is None:
            raise LlmattrError("paraphrases are a query in other words, and there is none: give the query apart from the chat")
        said = [self.query, *paraphrases]
        if twice := next((text for place, text in enumerate(said) if text in said[:place]), None):
            raise LlmattrError(f"{twice!r:.60} is there twice: a paraphrase says it in other words")
        return [self.reworded(text) for text in paraphrases if self.reworded]

    def refine(self, method: object) -> Attribution:
        """The same by another method; what was scored before is not run again."""
        return dataclasses.replace(self, method=find_method(method, METHODS, Method)).result()

    def attribute(self, targets: Targets) -> Attribution:
        """Attribute these targets; what was scored before is not run again."""
        ablation = self.ablation.of(targets)
        result = scores_of(self.method, ablation, lambda: self.method.attribute(ablation, self.seed), targets)
        return dataclasses.replace(
            result,
            relevance=relevance(ablation) if ablation.sources.kind != "words" and result.index is None else None,
            run={**result.run, **versions()},
            response=self.ablation.prompt.response,
            session=self,
            model=self.model,
        )

    def span(self, part: str | tuple[int, int]) -> Attribution:
        """Attribute a part of the response, by its text or its characters."""
        return self.attribute(part_of(self.ablation.prompt.response, part, self.ablation.targets.measure))

    def zoom(self, source: int, targets: Targets, into: Part = "words") -> Attribution:
        """What is lost without each word or sentence of one source while all others stay (leave-one-out)."""
        return ContextSession(LeaveOneOut(), self.ablation.of_parts(source, into), self.seed, self.model).attribute(targets)


def part_of(response: str, part: str | tuple[int, int], measure: str = "logit") -> Targets:
    """The target that is this part of the response, by its text (its first occurrence) or its character offsets."""
    if isinstance(part, str):
        start = response.find(part) if part.strip() else -1
        if start < 0:
            raise LlmattrError(f"the response does not contain {part!r}; it is: {response!r}")
        part = (start, start + len(part))
    start, end = part
    if not 0 <= start < end <= len(response) or not response[start:end].strip():
        raise LlmattrError(f"characters {start} to {end} are no part of the response, which has {len(response)}")
    return Targets([response[start:end]], np.array([part]), measure)


def _answered(lm: Scorer, prompt: Prompt, response: str | None, max_new_tokens: int) -> Prompt:
    if response is not None:
        return prompt.with_response(check_text(response, "the response"))
    ids = lm.generate(prompt.full().ids, max_new_tokens) if is_main() else []
    return prompt.with_generated(of_main(ids))


def _contrasted(ablation: ContextAblation, other: str, method: Method) -> ContextAblation:
    if method.family in ("corroborative", "reference"):  # what looks inside the model is refused where it looks
        raise LlmattrError(f"{method.name} {ONE_ALONE}")
    return contrast(ablation, check_text(other, "the other answer"))
