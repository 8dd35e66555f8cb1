"""Rules that give a verdict of an answer by what is read of it."""

from dataclasses import dataclass
from typing import ClassVar

from llmattr.core.evidence import APART, CARRIED, LEAST_PER_TOKEN, LEAST_SUPPORT, MISSING, Signs, judged, verdict_of


@dataclass(frozen=True)
class Ours:
    """What `cite` says."""

    name: ClassVar[str] = "llmattr"
    family: ClassVar[str] = "corroborative"

    def verdict(self, signs: Signs) -> str:
        """The library's own."""
        return verdict_of(signs)

    def sign(self, signs: Signs) -> float:
        """What the context explains, what one source states; less for a name that is missing or apart, a rival, a contrary."""
        less = APART if signs.is_apart else MISSING if signs.is_missing else 0.0
        less += CARRIED if signs.rival or signs.contrary else 0.0
        return signs.explained + (signs.stated or 0.0) - less


@dataclass(frozen=True)
class WithJudge(Ours):
    """The same with the word of an entailment model, which `--judge` names."""

    name: ClassVar[str] = "llmattr, judge"

    def sign(self, signs: Signs) -> float:
        """What the judge adds, too."""
        return super().sign(signs) + judged(signs.entailed)


@dataclass(frozen=True)
class Judge:
    """The entailment model alone."""

    name: ClassVar[str] = "judge"
    family: ClassVar[str] = "corroborative"

    def verdict(self, signs: Signs) -> str:
        """From the context when that is likelier than not."""
        return "refusal" if signs.is_refusal else "context" if self.sign(signs) > 0 else "unsupported"

    def sign(self, signs: Signs) -> float:
        """How much likelier than even."""
        return judged(signs.entailed)


@dataclass(frozen=True)
class Support:
    """As at d168c08: the support alone."""

    name: ClassVar[str] = "support (d168c08)"
    family: ClassVar[str] = "predictive"

    def verdict(self, signs: Signs) -> str:
        """From the context when it makes the answer a nat likelier, and a tenth a token."""
        least = max(LEAST_SUPPORT, LEAST_PER_TOKEN * signs.tokens)
        return "context" if signs.support >= least else "contradicted" if signs.support <= -least else "memory"

    def sign(self, signs: Signs) -> float:
        """Nats of log-odds."""
        return signs.support


@dataclass(frozen=True)
class Surprise:
    """What the context explains, alone; more is asked where a name or number stands nowhere."""

    name: ClassVar[str] = "surprise"
    family: ClassVar[str] = "predictive"
    enough: float = 0.15
    enough_missing: float = 0.3

    def verdict(self, signs: Signs) -> str:
        """From the context when it explains so much."""
        enough = signs.explained >= (self.enough_missing if signs.is_missing else self.enough)
        return "refusal" if signs.is_refusal else "context" if enough and signs.support >= LEAST_SUPPORT else "unsupported"

    def sign(self, signs: Signs) -> float:
        """The share of the surprise of its own words."""
        return signs.explained


@dataclass(frozen=True)
class Always:
    """Everything is from the context."""

    name: ClassVar[str] = "always"
    family: ClassVar[str] = "reference"

    def verdict(self, signs: Signs) -> str:
        """From the context."""
        return "context"

    def sign(self, signs: Signs) -> float:
        """The same of all."""
        return 0.0


RULES = {rule.name: rule for rule in (Ours, Support, Surprise, Always)}
JUDGED = {rule.name: rule for rule in (WithJudge, Judge)}  # those that want an entailment model
