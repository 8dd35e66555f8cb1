"""What true ablations say beside the scores: does it depend on the context at all, which sources suffice, which are needed."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

Verdict = Literal["context", "memory", "contradicted", "unsupported", "refusal"]
VERDICTS: dict[Verdict, str] = {
    "context": "from the context",
    "memory": "from the model's own memory",
    "contradicted": "contradicted by the context",
    "unsupported": "not supported by the context",
    "refusal": "says that it does not know",
}
CITING: tuple[Verdict, ...] = ("context",)  # what sources are cited for
LEAST_SUPPORT = 1.0  # nats of log-odds: the odds change by a factor of e
LEAST_PER_TOKEN = 0.1  # nats: a long sentence shifts a little at every token whatever the context
CARRIED = 0.75  # of 2: the share of the surprise that the context takes away, and of the words that one source has
MISSING = 0.4  # less, where a name or number stands nowhere in what the model was given
APART = 0.6  # less, where one stands there, but not with the rest of what the sentence says
EXPLAINED = 0.3  # of the surprise, where words cannot be compared
LIKELY = -0.7  # nats a token: the model would say it by itself, half of the time token by token
ENOUGH = 0.9  # of the support: what suffices
RIVAL = 4.0  # nats: another name of the documents is 55 times likelier in a name's place
RULE = (
    "Support = with the whole context less without any. Of the words that a sentence adds to the question, the context takes "
    "away a share of the surprise, and one source has a share. A sentence that says no more than that the documents do not "
    f"tell is a refusal. It is contradicted when the support is {LEAST_SUPPORT:.0f} nat ({LEAST_PER_TOKEN} a token, if that is "
    "more) below zero, or one source opposes by as much and by more than the support; from the context when the support is at "
    f"least {LEAST_SUPPORT:.0f} nat and the two shares add up to {CARRIED} or more ({CARRIED + MISSING} where a name or number "
    f"stands nowhere in what the model was given, {CARRIED + APART} where it does but not with the rest of what the sentence "
    f"says; the first alone to {EXPLAINED} where words cannot be compared). It is not supported where another name or number "
    f"of the documents is likelier by {RIVAL:.0f} nats in the place of its own, and contradicted where the sources that have "
    "an English sentence's words say the contrary. It is "
    f"from memory when it has {LIKELY} nats a token or more without the context; else not supported."
)


@dataclass(frozen=True)
class Citation:
    """One source of one target: what is lost without it, and what it gives alone, in the target's unit."""

    source: int
    necessity: float  # f(all) - f(all but it)
    sufficiency: float  # f(it alone) - f(none)


@dataclass(frozen=True)
class Rival:
    """A name of the documents that is likelier to the model, by so many nats, than the one which the response says there."""

    start: int  # characters of the response
    end: int
    text: str
    nats: float


@dataclass(frozen=True)
class Contrary:
    """A source that has a sentence's words and says the contrary, how that shows, and of which of its characters."""

    source: int
    because: str  # a negation, an opposite, the order of words
    start: int
    end: int


@dataclass(frozen=True)
class TargetEvidence:
    """What ablations say of one target: its value with the whole context and without any, and what follows.

    `sufficient`: the fewest of its best sources that alone give at least 90 % of the support `full - empty`, truly ablated (all
    that were tried, where none do); `share` is what they give. `alternatives`: pairs of which either suffices. Of the words
    that it adds to the question, `explained` is the share of their surprise that the context takes away, `stated` the share
    that one source has; None where that is not known. `missing`: its names, numbers and dates that stand nowhere in what the
    model was given, as characters of the response; `apart`: those that do, but not with the rest of what the sentence says.
    `rival`: the likeliest of the documents' other names that were tried in place of its own, if it is far likelier. `contrary`:
    a source that says the contrary in the sentence's words. `second_hop`: a source of another document that has what was asked
    and said and no cited source has: a reader needs it to check the sentence, the model did not need it to say it. `entailed`:
    how likely a judge finds it that a document says it, `unjudged`: what the verdict were without that; None without a judge.
    """

    full: float
    empty: float
    verdict: Verdict
    opposed_by: int | None = None
    citations: tuple[Citation, ...] = ()
    sufficient: tuple[int, ...] = ()
    share: float | None = None
    alternatives: tuple[tuple[int, int], ...] = ()
    explained: float | None = None
    stated: float | None = None
    missing: tuple[tuple[int, int], ...] = ()
    apart: tuple[tuple[int, int], ...] = ()
    rival: Rival | None = None
    contrary: Contrary | None = None
    second_hop: int | None = None
    entailed: float | None = None
    unjudged: Verdict | None = None

    @property
    def support(self) -> float:
        """What the context as a whole does for the target."""
        return self.full - self.empty

    @property
    def is_supported(self) -> bool:
        """Whether sources are cited for it."""
        return self.verdict in CITING

    @property
    def is_contradicted(self) -> bool:
        """Whether the context makes it less likely, as a whole or by one source, or says the contrary."""
        return self.verdict == "contradicted"

    @property
    def contradicting(self) -> int | None:
        """The source that contradicts it, where that is the verdict."""
        opposing = self.contrary.source if self.contrary else self.opposed_by
        return opposing if self.is_contradicted else None

    def citation(self, source: int) -> Citation | None:
        """What is known of this source, if it was tried."""
        return next((citation for citation in self.citations if citation.source == source), None)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Every target's evidence, and the log-probability of each response token with the whole context and without any."""

    targets: tuple[TargetEvidence, ...]
    spans: Int[np.ndarray, "r 2"]  # the characters of the response's tokens
    full: Float[np.ndarray, " r"]
    empty: Float[np.ndarray, " r"]

    def __getitem__(self, rows: slice) -> "Evidence":
        return dataclasses.replace(self, targets=self.targets[rows])

    @property
    def shift(self) -> Float[np.ndarray, " r"]:
        """Nats by which the context makes each token likelier."""
        return self.full - self.empty

    def to_dict(self) -> dict[str, Any]:
        """The tokens, in plain lists; the targets' evidence is saved with each target."""
        return {"spans": self.spans.tolist(), "full": self.full.tolist(), "empty": self.empty.tolist()}


@dataclass(frozen=True)
class Signs:
    """What a verdict is given by, of one sentence.

    `support`: with the whole context less without any, in nats of log-odds. `empty`: the log-probability of its `tokens` tokens
    without. `explained`: the share of the surprise of its own words (those that it adds to the question) that the context takes
    away, `1 - log p(with) / log p(without)`. `stated`: the share of its own words that one source has, None where words cannot
    be compared. `is_missing`: a name or number of it stands nowhere in what the model was given; `is_apart`: it does, but not
    with the rest of what the sentence says. `rival`: another name is far likelier in the place of one of its own. `contrary`:
    the sources that have its words say the contrary. `opposing`: the strongest score against it that stands clear of its error,
    as a size, or 0. `is_refusal`: it says that the answer is not known. `entailed`: how likely a judge finds that it follows.
    """

    support: float
    empty: float
    tokens: float
    explained: float
    stated: float | None = None
    is_missing: bool = False
    is_apart: bool = False
    rival: Rival | None = None
    contrary: Contrary | None = None
    opposing: float = 0.0
    is_refusal: bool = False
    entailed: float | None = None


def verdict_of(signs: Signs) -> Verdict:
    """The verdict by `RULE`."""
    least = max(LEAST_SUPPORT, LEAST_PER_TOKEN * signs.tokens)
    if signs.is_refusal:
        return "refusal"
    if signs.support <= -least or (signs.opposing >= least and signs.opposing > signs.support):
        return "contradicted"
    if signs.support >= LEAST_SUPPORT and _is_carried(signs):
        return "contradicted" if signs.contrary else "unsupported" if signs.rival else "context"
    return "memory" if signs.empty >= LIKELY * signs.tokens else "unsupported"


def _is_carried(signs: Signs) -> bool:
    less = APART if signs.is_apart else MISSING if signs.is_missing else 0.0
    less -= judged(signs.entailed)
    if signs.stated is None:
        return signs.explained - less >= EXPLAINED
    return signs.explained + signs.stated - less >= CARRIED


def judged(entailed: float | None) -> float:
    """What a judge adds to a sentence's signs: a half where it is sure that the sentence follows, less where it is not.

    >>> judged(None), judged(1.0), judged(0.25)
    (0.0, 0.5, -0.25)
    """
    return 0.0 if entailed is None else entailed - 0.5


def target_to_dict(evidence: TargetEvidence) -> dict[str, Any]:
    """One target's evidence in plain lists, with its support."""
    return {**dataclasses.asdict(evidence), "support": evidence.support}


def from_dicts(tokens: dict[str, Any], targets: list[dict[str, Any]]) -> Evidence:
    """The inverse of `Evidence.to_dict` and `target_to_dict`."""
    return Evidence(
        tuple(_target(saved) for saved in targets),
        np.array(tokens["spans"], dtype=int).reshape(-1, 2),
        np.array(tokens["full"], dtype=float),
        np.array(tokens["empty"], dtype=float),
    )


def _target(saved: dict[str, Any]) -> TargetEvidence:
    known = {key: value for key, value in saved.items() if key != "support"}
    known |= {name: _number(known[name]) for name in ("full", "empty")}
    known["citations"] = tuple(
        Citation(one["source"], _number(one["necessity"]), _number(one["sufficiency"])) for one in known["citations"]
    )
    known["sufficient"] = tuple(known["sufficient"])
    for name in ("alternatives", "missing", "apart"):
        known[name] = tuple(tuple(pair) for pair in known.get(name, ()))
    known["rival"] = Rival(**known["rival"]) if known.get("rival") else None
    known["contrary"] = Contrary(**known["contrary"]) if known.get("contrary") else None
    return TargetEvidence(**known)


def _number(saved: float | None) -> float:
    return float("nan") if saved is None else saved
