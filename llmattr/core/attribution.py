"""What a result is: a number for every target and source, and what else is known of them (`Attribution`)."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex, get_args, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from llmattr.core.agreement import Agreement
from llmattr.core.citing import SHARE, UNITLESS, Score, is_cited, is_clear, least_score
from llmattr.core.evidence import Evidence
from llmattr.core.faces import face
from llmattr.core.fields import check_fields, is_plain
from llmattr.core.files import write
from llmattr.core.sources import Part, Sources, Targets
from llmattr.errors import LlmattrError, check_choice, check_index, check_number

if TYPE_CHECKING:
    import pandas as pd

OF_SCORES = ("index", "stderr", "relevance", "p_values", "deviation", "q_values")  # arrays [t, k] beside the values


@runtime_checkable
class Session(Protocol):
    """What a fresh attribution can still ask of the model."""

    def span(self, part: str | tuple[int, int]) -> "Attribution":
        """The same method for a part of the response."""
        ...

    def zoom(self, source: int, targets: Targets, into: Part = "words") -> "Attribution":
        """These targets, attributed to the words or sentences of one source."""
        ...

    def refine(self, method: object) -> "Attribution":
        """The same by another method."""
        ...

    def over(
        self,
        seeds: Sequence[int],
        mean: "Callable[[Sequence[Attribution]], Attribution]",
        paraphrases: Sequence[str] = (),
    ) -> "Attribution":
        """What `mean` makes of the same by several seeds, of the query and of each of its paraphrases."""
        ...


@dataclass(frozen=True, eq=False)
class Attribution:
    """A number for every (target, source): `values[target, source]`, positive = the source made the target likelier.

    Additive methods predict an ablation as `outputs[m, t] = baseline[t] + masks[m, n] @ values[t, n].T`. The fields, in order:

    - `values` [t, k], `sources` (n), `targets` (t), the `unit` of the values, the record of the `method`;
    - `run`: a record of settings and seconds;
    - `index` [t, k]: the source of each column; None = all n sources in order;
    - `stderr` [t, k]: None where nothing was sampled (scores have no error), nan where an error is not known (too few
      ablations): nothing is cited then;
    - `baseline` [t]: what is left with every source removed;
    - `lds` [t]: how well a fit predicts ablations that it did not see, their rank correlation (Spearman), cross-validated, from
      -1 to 1 = best; nan where the outputs never change, None for what makes no fit;
    - `response`: the model's whole answer, where the targets are parts of one;
    - `evidence`: what true ablations say beside the scores;
    - `session`: what can attribute further parts of the response;
    - `traced`: the sources are training data, so that its page ranks rows for each query instead of showing a context;
    - `asked`: the prompt and completion of each target, or of the one response that all of them are parts of; None where
      nothing was asked;
    - `cites`: False where scores have a unit and are no effects on what was said, so that they cite nothing;
    - `relevance` [t, k]: the share of what the target says that each source has by words, nan where that is not known, None
      where it means nothing;
    - `share`: of a target's highest score, weighed by relevance, what a citation has at least;
    - `ceiling` [t]: the highest LDS that the noise between seeds leaves;
    - `meaning`: what a score says, where that is not the usual;
    - `verified`: what models trained without the best rows say (`curation.counterfactual.verified`);
    - `details`: what else a method says of each target, t of each (a fit's penalty `alpha`, the `pairs` of sources);
    - `model`: what tells the model that answered from others (`Scorer.fingerprint`);
    - `agreement`: how far that model stands for a served one;
    - `p_values` [t, k]: of each score, how often what no source answers has one as high (`training.chance`); None where that
      is not known;
    - `deviation` [t, k] between the runs whose mean the scores are (`certainty.replicates`), and `q_values` [t, k] of the mean:
      of the scores whose q-value is no higher this share is noise; None of a single run.

    Slicing by target (`result[0]`) gives an Attribution with that target alone. Raises `LlmattrError` for scores that are not
    finite, an error below 0, arrays of another shape, and what is not of its field's type.
    """

    values: Float[np.ndarray, "t k"]
    sources: Sources
    targets: Targets
    unit: str
    method: dict[str, Any]
    run: dict[str, Any] = field(default_factory=dict)
    index: Int[np.ndarray, "t k"] | None = None
    stderr: Float[np.ndarray, "t k"] | None = None
    baseline: Float[np.ndarray, " t"] | None = None
    lds: Float[np.ndarray, " t"] | None = None
    response: str | None = None
    evidence: Evidence | None = field(default=None, repr=False)
    session: "Session | None" = field(default=None, repr=False)
    traced: bool = False
    asked: Sequence[Mapping[str, str]] | None = None
    cites: bool = True
    relevance: Float[np.ndarray, "t k"] | None = field(default=None, repr=False)
    share: float = SHARE
    ceiling: Float[np.ndarray, " t"] | None = None
    meaning: str | None = None
    verified: Mapping[str, Any] | None = field(default=None, repr=False)
    details: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)
    model: Mapping[str, str] | None = None
    agreement: Agreement | None = None
    p_values: Float[np.ndarray, "t k"] | None = None
    deviation: Float[np.ndarray, "t k"] | None = None
    q_values: Float[np.ndarray, "t k"] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def __post_init__(self) -> None:
        if not (isinstance(self.method, dict) and "name" in self.method):
            raise LlmattrError(f"an attribution's method must be the record of one (describe(self)), not {self.method!r:.60}")
        check_fields(self, self.method["name"])
        t, k = len(self.targets), len(self.sources) if self.index is None else np.shape(self.index)[-1]
        whole = {name: vars(self)[name] for name in ("values", *OF_SCORES)}
        columns = {"baseline": self.baseline, "lds": self.lds, "ceiling": self.ceiling}
        for name, array in (whole | columns).items():
            if array is not None or name == "values":
                self._check(name, array, (t, k) if name in whole else (t,))
        if self.index is not None and not _are_places(self.index, len(self.sources)):
            what = f"is not of {len(self.sources)} {self.sources.kind}, each at most once a target"
            raise LlmattrError(f"{self.method['name']} gave an index that {what}")
        for name, said in self.details.items():
            many = len(said) if isinstance(said, Sized) else "no list of"
            if many != t:
                raise LlmattrError(f"{self.method['name']} gave {many} details {name!r} for {t} targets")
        if not np.isfinite(self.values).all():  # or a report would say that there is no effect
            raise self._not_finite()
        if self.stderr is not None and (self.stderr < 0).any():
            raise LlmattrError(f"{self.method['name']} gave a standard error below 0: give nan where it is not known")

    def _check(self, name: str, array: object, shape: tuple[int, ...]) -> None:
        """Raise `LlmattrError` for what is no array of numbers in this shape."""
        if not (isinstance(array, np.ndarray) and is_plain(array) and array.dtype.kind in "fiu"):
            raise LlmattrError(
                f"{self.method['name']} gave a {type(array).__name__} as {name}: give an array of numbers (numpy)"
            )
        if array.shape != shape:
            many = f"{len(self.targets)} targets and {len(self.sources)} {self.sources.kind}"
            raise LlmattrError(f"{self.method['name']} gave {name} {array.shape} for {many}: {shape} is needed")

    def _not_finite(self) -> LlmattrError:
        t, column = np.argwhere(~np.isfinite(self.values))[0].tolist()
        source = column if self.index is None else int(self.index[t, column])
        return LlmattrError(
            f"{self.method['name']} gave {self.values[t, column]} for target {t} ({self.targets.texts[t]!r:.60}) and "
            f"{self.sources.ids[source]!r:.60} of the {self.sources.kind}: scores must be finite numbers"
        )

    def __getitem__(self, target: SupportsIndex | slice) -> "Attribution":
        target = check_index(target, len(self), "targets")
        columns = {name: vars(self)[name] for name in (*OF_SCORES, "baseline", "lds", "ceiling")}
        columns = {name: None if column is None else column[target] for name, column in columns.items()}
        asked = self.asked[target] if self.asked is not None and len(self.asked) == len(self) else self.asked
        evidence = None if self.evidence is None else self.evidence[target]
        details = {name: column[target] for name, column in self.details.items()}
        chosen = {"values": self.values[target], "targets": self.targets[target], "asked": asked, "evidence": evidence}
        return dataclasses.replace(self, **chosen, **columns, details=details)

    def __iter__(self) -> Iterator["Attribution"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"<Attribution of {len(self.targets)} targets to {len(self.sources)} {self.sources.kind} by "
            f"{self.method['name']}, in {self.unit}: try [0].top(5), .to_frame(), .open()>"
        )

    @property
    def cited(self) -> Bool[np.ndarray, "t k"]:
        """Which scores are citations, by the rule of `is_cited`, of targets that are from the context.

        No score is one where scores have no unit (products of gradients), or where `evidence` calls the target anything else.
        """
        if not self.can_cite:
            return np.zeros(self.values.shape, dtype=bool)
        beside = {"share": self.share, "quotable": self._quotable, "relevance": self.relevance}
        cited = is_cited(self.values, self.stderr, self._least, **beside)
        if self.evidence is None:
            return cited
        return cited & np.array([one.is_supported for one in self.evidence.targets], dtype=bool)[:, None]

    @property
    def clear(self) -> Bool[np.ndarray, "t k"]:
        """Which scores, for the target or against it, stand clear of their errors, are worth a mention, and can be quoted."""
        if not self.can_cite:
            return np.zeros(self.values.shape, dtype=bool)
        return is_clear(np.abs(self.values), self.stderr, self._least) & self._quotable

    @property
    def _least(self) -> Float[np.ndarray, "t 1"]:
        return least_score(self.targets.measure, self.values, self.baseline)

    @property
    def _quotable(self) -> Bool[np.ndarray, "..."]:
        known = self.sources.quotable
        return np.array(True) if known is None else known[... if self.index is None else self.index]

    @property
    def can_cite(self) -> bool:
        """Whether the rule of citation means something: the scores have a unit, and are effects on what was said."""
        return self.cites and self.targets.measure not in UNITLESS

    def predict(self, masks: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m t"]:
        """What an additive method expects of each target when only the sources in each mask are left."""
        if self.index is not None or self.baseline is None:
            raise LlmattrError(f"{self.method['name']} gives scores, not predictions of what an ablation would do")
        if masks.shape[1] != len(self.sources):
            raise LlmattrError(f"the masks {masks.shape} are not of these {len(self.sources)} {self.sources.kind}")
        return self.baseline + masks.astype(float) @ self.values.T

    def top(self, k: int | None = 5) -> list[Score]:
        """The k highest scores of each target, best first, one target after the other; None = all of them.

        Equal scores keep the order of their sources.
        """
        if k is not None:
            check_number("k", k, 0, whole=True)
        cited, order = self.cited, np.argsort(-self.values, axis=1, kind="stable")[:, :k].tolist()
        ranked = [(t, rank, column) for t, columns in enumerate(order) for rank, column in enumerate(columns, 1)]
        return [self._score(t, rank, column, bool(cited[t, column])) for t, rank, column in ranked]

    def _score(self, t: int, rank: int, column: int, cited: bool) -> Score:
        source = column if self.index is None else int(self.index[t, column])
        document = self.sources.document(source)
        return Score(
            target=t,
            rank=rank,
            source=source,
            id=self.sources.ids[source],
            document=None if document is None else document.id,
            text=self.sources.texts[source],
            score=float(self.values[t, column]),
            stderr=None if self.stderr is None else float(self.stderr[t, column]),
            cited=cited,
            p=None if self.p_values is None else float(self.p_values[t, column]),
            deviation=None if self.deviation is None else float(self.deviation[t, column]),
            q=None if self.q_values is None else float(self.q_values[t, column]),
        )

    def span(self, part: str | tuple[int, int]) -> "Attribution":
        """Attribute any part of the response (its text, or its first and last + 1 character) without another forward pass.

        Raises `LlmattrError` when the response does not contain it, or when this attribution was loaded from a file.
        """
        if self.session is None:
            raise LlmattrError("only a fresh result of cite() can attribute further spans; run cite() again for this one")
        return self.session.span(part)

    def zoom(self, source: int, into: Part = "words") -> "Attribution":
        """The words or sentences of one source as sources of their own, with all others kept: which of them matter.

        So a step of a chat is looked into while the others stay. New ablations, one for each; what is found can be zoomed into.
        """
        if self.session is None:
            raise LlmattrError("only a fresh result of cite() can zoom into a source; run cite() again for this one")
        check_number("source", source, 0, len(self.sources), whole=True)
        check_choice("what a source is zoomed into", into, get_args(Part))
        return self.session.zoom(source, self.targets, into)

    def refine(self, method: object) -> "Attribution":
        """The same response by another method; ablations that were scored before are not run again.

        So citations can be had at once, and better ones later: `cite(..., method="alone")`, then `.refine("screening")`.
        """
        if self.session is None:
            raise LlmattrError("only a fresh result of cite() can be refined; run cite() again for this one")
        return self.session.refine(method)

    def by_document(self) -> "Attribution":
        """The same scores summed over each document: a document's score is that of its parts together."""
        return by_document(self)

    def to_frame(self) -> "pd.DataFrame":
        """Every score as a row: target, its text, rank, source, id, document, text, score, stderr, cited (p, deviation, q).

        What else is known of a source stands behind, a column `metadata.NAME` for each name.
        """
        import pandas as pd

        scores = self.top(None)
        frame = pd.DataFrame(scores, columns=Score._fields)
        known = {"p": self.p_values, "deviation": self.deviation, "q": self.q_values}
        frame = frame.drop(columns=[name for name, array in known.items() if array is None])
        frame.insert(1, "target_text", [self.targets.texts[t] for t in frame["target"]])
        known = [self.sources.metadata(score.source) for score in scores]
        names = dict.fromkeys(name for metadata in known for name in metadata)
        return frame.assign(**{f"metadata.{name}": [metadata.get(name) for metadata in known] for name in names})

    def markdown(self) -> str:
        """The response with numbered footnotes, in Markdown."""
        return face("markdown").markdown(self)

    def citations(self, shape: str) -> Any:
        """What the answer cites, sentence by sentence, in the shape in which a vendor gives citations.

        `shape`: "anthropic" (a message), "openai" (the part `output_text`), "gemini" (a candidate), "cohere" (a message),
        "bedrock" (a response of Converse), "langchain" (a text block), each a dict with their names and units; or "markdown".
        Scores, errors, support in nats and verdicts stand under "llmattr" in the one place where each has room for what is not
        theirs: there `start` and `end` are code points of the answer, and of the document. `llmattr.text.shapes.read` reads
        them. Raises `LlmattrError` where nothing can be cited: training rows, no answer, scores without a unit.
        """
        return face("shapes").citations(self, shape)

    def html(self) -> str:
        """One self-contained page: choose a sentence of the response and see its sources."""
        return face("html").page(self)

    def open(self) -> Path:
        """Write the HTML page to a temporary file, show it in the browser, and return its place."""
        return face("html").open_page(self)

    def _repr_html_(self) -> str:
        return face("html").frame(self)

    def save(self, path: str | Path) -> Path:
        """Write the attribution, whole or not at all: as JSON, HTML or Markdown by the path's ending; return the path."""
        writers = {".json": face("json").to_json, ".html": Attribution.html, ".md": Attribution.markdown}
        path = Path(path)
        if path.suffix.lower() not in writers:
            raise LlmattrError(f"an attribution is saved as {', '.join(writers)}, not as {path.name!r}")
        return write(path, writers[path.suffix.lower()](self))

    @staticmethod
    def load(path: str | Path) -> "Attribution":
        """Read what `save` wrote as JSON. The result cannot attribute further spans: those need the model's outputs."""
        try:
            return face("json").from_json(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise LlmattrError(f"cannot read {str(path)!r}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise LlmattrError(f"cannot read {str(path)!r}: it is not text") from None
        except LlmattrError as error:
            raise LlmattrError(f"cannot read {str(path)!r}: {error}") from None


def _are_places(index: Int[np.ndarray, "t k"], n: int) -> bool:
    """Whether each row has places among n things, none of them twice."""
    if index.dtype.kind not in "iu":
        return False
    return bool(((index >= 0) & (index < n)).all()) and bool((np.diff(np.sort(index, axis=1), axis=1) > 0).all())


def sentence_rows(attribution: Attribution) -> range:
    """The rows of the sentence targets: all but target 0 when the others are parts of it."""
    spans = attribution.targets.spans
    if spans is None or attribution.response is None or len(attribution) < 2:
        return range(len(attribution))
    is_whole = bool((spans[1:, 0] >= spans[0, 0]).all() and (spans[1:, 1] <= spans[0, 1]).all())
    return range(1 if is_whole else 0, len(attribution))


def by_document(attribution: Attribution) -> Attribution:
    """Scores of documents: `values[t, d] = sum of values[t, i] over the sources i of d`.

    The error of a sum is at most the sum of the errors, which is what it is said to be. Raises `LlmattrError` for sources that
    were not cut from documents, or of which only some were returned.
    """
    sources = attribution.sources
    if sources.spans is None or sources.groups is None or attribution.index is not None:
        raise LlmattrError(f"these {len(sources)} {sources.kind} are not the parts of documents: there is nothing to add up")
    present, place = np.unique(sources.groups, return_inverse=True)
    documents = tuple(sources.documents[number] for number in present)

    def summed(scores: Float[np.ndarray, "t n"]) -> Float[np.ndarray, "t d"]:
        found = np.zeros((len(scores), len(present)))
        np.add.at(found.T, place, scores.T)
        return found

    values = summed(attribution.values)
    stderr = None if attribution.stderr is None else summed(attribution.stderr)
    ids, texts, groups = [d.id for d in documents], [d.text for d in documents], np.arange(len(documents))
    whole = Sources("documents", ids, texts, groups=groups, documents=documents)
    of_the_parts = {"evidence": None, "session": None, "relevance": None, "details": {}}
    of_the_parts |= {"p_values": None, "deviation": None, "q_values": None}
    return dataclasses.replace(attribution, values=values, stderr=stderr, sources=whole, **of_the_parts)
