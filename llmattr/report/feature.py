"""A feature of a dictionary, as text for the terminal and as a page: its examples with their tokens shaded, its neighbours."""

from dataclasses import dataclass
from typing import Any

from llmattr.components.features.dictionary import Dictionary
from llmattr.components.features.looking import Example, Looked
from llmattr.model.lm import LM
from llmattr.report.html import environment
from llmattr.report.lines import one_line, plain
from llmattr.report.trace import glyphs


@dataclass(frozen=True)
class Token:
    """A token, its code, and how strong its colour is, in percent of the feature's highest."""

    text: str
    code: float
    shade: int


def text(looked: Looked, dictionary: Dictionary) -> str:
    """How often it is active, the texts that make it most active with the strongest token marked, and its neighbours."""
    lines = [f"{name_of(looked, dictionary)}: {often(looked)}"]
    for rank, one in enumerate(looked.examples, 1):
        best = one.codes.index(one.highest)
        before, after = ("".join(some) for some in (one.tokens[:best], one.tokens[best + 1 :]))
        said = f"{before[-60:]}[[{one.tokens[best].strip() or one.tokens[best]}]]{after[:40]}"
        lines.append(f"  {rank:>2}  {one.highest:.4g}  {one_line(said)}")
    near = ", ".join(f"{number} ({cosine:+.2f})" for number, cosine in looked.neighbours)
    return plain("\n".join([*lines, f"nearest features, by the cosine of their directions: {near}"]))


def page(looked: Looked, dictionary: Dictionary, lm: LM) -> str:
    """The whole HTML document: self-contained, without scripts, every text escaped."""
    peak = looked.examples[0].highest if looked.examples else 1.0
    record = lm.record()
    a: dict[str, Any] = {
        "run": {"model": record["model"], "dtype": record["dtype"]},
        "method": {"name": dictionary.origin.name},
    }
    view = {
        "name": name_of(looked, dictionary),
        "often": often(looked),
        "size": len(dictionary.rows),
        "examples": [(one, _tokens(one, peak)) for one in looked.examples],
        "neighbours": looked.neighbours,
    }
    return environment().get_template("feature.html.j2").render(view, a=a, options=[], base=None)


def name_of(looked: Looked, dictionary: Dictionary) -> str:
    """What the feature is called."""
    of = {"stream": "", "attention": " (its attention)", "mlp": " (its MLP)"}[dictionary.hook.place]
    return f"feature {looked.feature} of layer {dictionary.hook.layer}{of}"


def often(looked: Looked) -> str:
    """How often it is active."""
    if not looked.active:
        return f"active at none of {looked.tokens:,} tokens"
    highest = f"{looked.examples[0].highest:.4g} at most"
    return f"active at {looked.active:,} of {looked.tokens:,} tokens ({looked.active / looked.tokens:.2%}), {highest}"


def _tokens(one: Example, peak: float) -> list[Token]:
    """With the strength of their colours."""
    return [Token(glyphs(said), code, round(100 * code / peak)) for said, code in zip(one.tokens, one.codes, strict=True)]
