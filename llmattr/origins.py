"""One answer, both origins: its sentences with their verdicts, what they cite in the context, and who taught them."""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmattr.core.attribution import Attribution, Score, sentence_rows
from llmattr.core.citing import is_clear
from llmattr.core.evidence import TargetEvidence
from llmattr.core.faces import face
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, LlmattrNote, note
from llmattr.retrieval.copied import Copied, copied
from llmattr.text.questions import whole
from llmattr.text.rendering import located
from llmattr.text.tokens import Tokenizer
from llmattr.training.index.store import refuse_difference

if TYPE_CHECKING:
    from llmattr.training.query import TraceIndex


@dataclass(frozen=True)
class Origin:
    """Where one sentence comes from: the verdict, its cited sources and the training rows for it, both best first.

    `copied`: what of it stands in them word for word; None of a file from before that was known. `components`: the model's own
    parts that make it likelier, best first, of a sentence from memory where they were asked for.
    """

    text: str
    evidence: TargetEvidence
    citations: list[Score]
    rows: list[Score]
    copied: Copied | None = None
    components: Sequence[Score] = ()


@dataclass(frozen=True, eq=False)
class Origins:
    """An answer attributed twice: to its context, and each of its sentences to the rows of a training index.

    `context`: what `cite` returned, with verdicts. `training`: the same sentences as targets, in nobody's unit: its scores
    rank rows and compare only within one sentence. `copied`: what of each sentence stands word for word where. `components`:
    those of its sentences that come from memory, attributed to parts of the model. Iterating gives an `Origin` for each
    sentence.
    """

    context: Attribution
    training: Attribution
    copied: Sequence[Copied] = ()
    components: Attribution | None = None

    def __len__(self) -> int:
        return len(self.training)

    def __getitem__(self, sentence: int) -> Origin:
        rows = sentence_rows(self.context)
        cited, taught = self.context[rows[sentence]], self.training[sentence]
        assert cited.evidence is not None  # `origins` refuses an attribution without it
        return Origin(
            text=cited.targets.texts[0].strip(),
            evidence=cited.evidence.targets[0],
            citations=[score for score in cited.top(None) if score.cited],
            rows=[score for score in taught.top(None) if score.score > 0],
            copied=self.copied[sentence] if self.copied else None,
            components=self._components(rows[sentence]),
        )

    def _components(self, row: int) -> list[Score]:
        """The parts of the model that carry a sentence, clear of their errors."""
        from_memory = _from_memory(self.context)
        if self.components is None or row not in from_memory:
            return []
        found = self.components[from_memory.index(row)]
        clear = is_clear(found.values[0], None if found.stderr is None else found.stderr[0])
        return [score for score in found.top(None) if clear[score.source]]

    def __iter__(self) -> Iterator[Origin]:
        return (self[sentence] for sentence in range(len(self)))

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, top: int = 3) -> str:
        """The answer sentence by sentence: verdict, then cited sources or training rows, `top` of each."""
        text = face("origins").text
        return text(self, top)

    def html(self) -> str:
        """One self-contained page: the answer coloured by origin, and beside it a card for each sentence."""
        page = face("origins").page
        return page(self)

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json_text(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """`{context, training, copied, components}`: attributions as `Attribution.save` writes them, each sentence's spans."""
        to_dict = face("json").to_dict
        found = {"context": to_dict(self.context), "training": to_dict(self.training)}
        found["copied"] = [asdict(one) for one in self.copied]
        return found | ({} if self.components is None else {"components": to_dict(self.components)})

    def save(self, path: str | Path) -> Path:
        """Write it, whole or not at all, as HTML, JSON or text by the path's ending; return the path."""
        writers = {".html": Origins.html, ".json": Origins.to_json, ".txt": Origins.to_text}
        path = Path(path)
        if path.suffix.lower() not in writers:
            raise LlmattrError(f"origins are saved as {', '.join(writers)}, not as {path.name!r}")
        return write(path, writers[path.suffix.lower()](self))

    @staticmethod
    def load(path: str | Path) -> "Origins":
        """Read what `save` wrote as JSON."""
        from_json = face("json").from_json
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
            copied = [Copied(**one) for one in saved.get("copied", ())]
            context, training = (from_json(json.dumps(saved[name])) for name in ("context", "training"))
            components = from_json(json.dumps(saved["components"])) if "components" in saved else None
            return Origins(context, training, copied, components)
        except OSError as error:
            raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror}") from error
        except (KeyError, TypeError, json.JSONDecodeError):
            raise LlmattrError(f"{str(path)!r} holds no saved origins") from None


def origins(
    result: Attribution,
    index: "TraceIndex",
    prompt: str | None = None,
    top: int = 3,
    *,
    verbatim: "TraceIndex | None" = None,
    components: object | None = None,
) -> Origins:
    """Join an answer's attribution to its context with the training rows behind each of its sentences.

    `result`: what `cite` returned. `index`: an open index of the same model's training rows. `prompt`: what the index is
    asked with, the question by default; `top`: rows for each sentence. `verbatim`: an index of that method, which says what of
    a sentence stands in rows word for word; `index` itself may be one. `components`: a method of `llmattr.components.METHODS`,
    by which the sentences from memory are attributed to the model's attention heads as well.

    The index is asked for the sentence as completion of the question and the sentences before it, without the documents: what
    is left of a sentence when no source is there is what the verdict calls memory, and no row was trained on these documents.
    The question takes the form of the rows: a chat where they are chats, prompt + completion, or the sentence alone. Of a
    sentence from memory with a name or number that stands nowhere in what the model was given, that is asked about (its
    `span`), where the index can: who else was taught such sentences says nothing of it.

    Raises `LlmattrError` when the result has no verdicts or no question, when the index is of another model, and when
    `verbatim` is of another method.
    """
    if result.evidence is None:
        raise LlmattrError("the attribution has no verdicts: run cite() with verify=True and without rather_than")
    if prompt is None and result.asked:
        prompt = result.asked[0]["prompt"]
    if prompt is None:
        raise LlmattrError("the attribution has no query: give what the model was asked, prompt=...")
    _refuse_other_model(result, index)
    if components is not None:
        check_components(index)
    form = index.index.rows([0])[0]
    asked = [_question(result, row, prompt, form, index) | _name(result, row, index) for row in sentence_rows(result)]
    with warnings.catch_warnings():  # of chats the loss counts the end of a turn too, which is no part of a sentence
        warnings.filterwarnings("ignore", "of the queries the loss counts", LlmattrNote)
        warnings.filterwarnings("ignore", ".* stands .* times in the answer", LlmattrNote)  # of a name that nobody typed
        try:
            taught = index.query(asked, top)
        except LlmattrError:  # the name may begin a text, where no token foretells it, or stand in what was cut off
            asked = [whole(row) for row in asked]
            taught = index.query(asked, top)
    rows = list(sentence_rows(result))
    carried = _carried([asked[rows.index(row)] for row in _from_memory(result)], index, components)
    return Origins(result, taught, _copied(result, verbatim or (index if index.quotes else None)), carried)


def check_components(index: "TraceIndex") -> None:
    """Raise `LlmattrError` where an index has no model, or one whose heads cannot be told apart."""
    if not index.asks_model:
        folder = str(index.index.folder)
        raise LlmattrError(f"heads are those of a model, and the index {folder!r} compares texts: give one of gradients")
    from llmattr.components.build import check_heads  # which needs torch

    check_heads(index.checkpoints[0].load())


def _from_memory(result: Attribution) -> list[int]:
    """The sentences whose verdict that is, by their rows."""
    assert result.evidence is not None  # `origins` refuses an attribution without it
    return [row for row in sentence_rows(result) if result.evidence.targets[row].verdict == "memory"]


def _carried(asked: list[dict[str, str]], index: "TraceIndex", method: object | None) -> Attribution | None:
    """What is asked, attributed to the heads of the index's model."""
    if method is None:
        return None
    if not asked:
        return note("no sentence is from memory, so there is none whose heads could be named")
    from llmattr.components.build import attribute  # which needs torch

    return attribute(index.checkpoints[0].load(), asked, method)


def _copied(result: Attribution, index: "TraceIndex | None") -> list[Copied]:
    """What of each sentence stands word for word in the context, and in the rows of an index that tells it."""
    sentences = [result.targets.texts[row].strip() for row in sentence_rows(result)]
    context = [document.text for document in result.sources.documents] or result.sources.texts
    return copied(sentences, context, None if index is None else index.quoted(sentences))


def _name(result: Attribution, row: int, index: "TraceIndex") -> dict[str, str]:
    """The longest name of a sentence from memory that the model was not given, as the part that is asked about."""
    evidence = result.evidence.targets[row] if result.evidence else None
    if evidence is None or evidence.verdict != "memory" or not evidence.missing or not index.asks_spans:
        return {}
    assert result.response is not None  # sentences are parts of one
    start, end = max(evidence.missing, key=lambda place: place[1] - place[0])
    return {"span": result.response[start:end]}


def _question(result: Attribution, row: int, prompt: str, form: dict[str, Any], index: "TraceIndex") -> dict[str, str]:
    """One sentence as completion of the question and what was said before it, in the form of a training row."""
    assert result.response is not None  # sentences are parts of one
    assert result.targets.spans is not None
    start, end = map(int, result.targets.spans[row])
    before = result.response[:start].rstrip()
    said = result.response[len(before) : end]
    if "messages" in form and index.asks_model:
        tokenizer = index.checkpoints[0].load().tokenizer
        return {"prompt": _as_in_a_chat(tokenizer, prompt, result.response[:end], len(before)), "completion": said}
    if "completion" in form or not index.asks_model:
        return {"prompt": (f"{prompt}\n" if prompt else "") + before, "completion": said}
    return {"text": said.strip()}


def _as_in_a_chat(tokenizer: Tokenizer, prompt: str, answer: str, start: int) -> str:
    """What stands before the answer's character `start` in the chat of prompt and answer, as the rows' chats are rendered."""

    def render(contents: list[str]) -> str:
        chat = [{"role": role, "content": content} for role, content in zip(("user", "assistant"), contents, strict=True)]
        return tokenizer.apply_chat_template(chat, tokenize=False)

    text, (place,) = located(render, [prompt, answer], [(1, start)])
    if place is None:
        raise LlmattrError(f"the chat template rewrites the answer, so its sentences cannot be asked for: {answer[:60]!r}")
    return text[:place]


def _refuse_other_model(result: Attribution, index: "TraceIndex") -> None:
    """By fingerprint; by name where the result was read from a file of before there were any in it. None is of texts alone."""
    if not index.asks_model:
        return
    message = f"the index {str(index.index.folder)!r} is of another model (or dtype) than this answer: build one of its model"
    refuse_difference(index.index.run, dict(result.model or {"model": None}), message)
