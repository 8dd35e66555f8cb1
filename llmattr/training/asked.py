"""What an index is asked: queries as the model reads them, where their losses lie, and what a result calls them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from llmattr.errors import note
from llmattr.model.lm import LM
from llmattr.text.questions import asks_in_a_chat, has_other, has_span, only_spans, other_of
from llmattr.text.rows import LOSSES, Examples, prompt_and_completion
from llmattr.text.tokens import Tokenizer, decode, decoded_offsets
from llmattr.training.found import Said
from llmattr.training.gradients.passes import token_losses

MOST, FEW, LEAST = 0.8, 0.25, 8  # share of a loss, and of at least so many tokens, above and below which few carry the most


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries as tokens, with the tokenizer that made them; `losses[i]` are those of query i's counted tokens.

    `losses` is None for methods that do not ask the model.
    """

    queries: Examples
    tokenizer: Tokenizer
    tokens: bool
    losses: Sequence[Float[np.ndarray, " _"]] | None

    @staticmethod
    def of(lm: LM, rows: Sequence[Mapping[str, Any]], loss: str, *, tokens: bool, weighed: bool) -> "Asked":
        """The queries as a model reads them, asked of an index whose rows count `loss`; `weighed`: with their losses.

        With `tokens` each counted token is a target by itself.
        """
        read = lm.tokenize(rows).called("query")
        alike = loss == LOSSES["messages"] and all(map(asks_in_a_chat, rows))  # of a chat the turns that are asked about
        if read.loss != loss and not alike:
            note(f"of the queries the loss counts {read.loss}, of the rows {loss}")
        others = {i: other_of(row, read.name(i)) for i, row in enumerate(rows) if has_other(row)}
        set_against = {
            i: replace(lm.tokenize([row]), names=[f"what {read.name(i)} is set against"]) for i, row in others.items()
        }
        queries = replace(only_spans(read, lm.tokenizer), others=set_against)
        return Asked(queries, lm.tokenizer, tokens, token_losses(lm, queries) if weighed else None)

    @property
    def examples(self) -> Examples:
        """One for each target."""
        return self.queries.each_token() if self.tokens else self.queries

    def said(self) -> Said:
        """What the targets are."""
        asked = [self._shown(i) for i in range(len(self.queries))]
        if self.tokens:
            return self._each_token(asked)
        return Said([query.get("span", query["completion"]) for query in asked], asked, losses=self._losses())

    def _shown(self, i: int) -> dict[str, str]:
        """A query as a report shows it, its span as the tokens have it that it covers."""
        row = self.queries.rows[i]
        span = {"span": self._pieces(i)[0]} if has_span(row) else {}
        return prompt_and_completion(row) | span | ({"rather_than": row["rather_than"]} if has_other(row) else {})

    def _losses(self) -> list[list[tuple[str, float]]]:
        """Each query's counted tokens with their losses."""
        found = []
        for i, losses in enumerate(self.losses or ()):
            text, places = self._pieces(i)
            found.append([(text[start:end], float(loss)) for (start, end), loss in zip(places, losses, strict=True)])
        return found

    def _each_token(self, asked: Sequence[dict[str, str]]) -> Said:
        """Each counted token as a target."""
        answers = [self._pieces(i) for i in range(len(asked))]
        texts = [text[start:end] for text, places in answers for start, end in places]
        if len(asked) == 1:
            return Said(texts, [asked[0]], *answers[0])
        return Said(texts, [query for query, (_, places) in zip(asked, answers, strict=True) for _ in places])

    def _pieces(self, i: int) -> tuple[str, Int[np.ndarray, "r 2"]]:
        """The text of a query's counted tokens, and each token's characters in it."""
        said = np.asarray(self.queries.ids[i])[self.queries.counted[i]].tolist()
        text, alone = decode(self.tokenizer, said), [decode(self.tokenizer, [token]) for token in said]
        if "".join(alone) != text:  # a token that is a part of a character, or a word that begins a text without its space
            return text, decoded_offsets(self.tokenizer, said, len(text))
        ends = np.cumsum([0, *map(len, alone)])
        return text, np.stack([ends[:-1], ends[1:]], axis=1)

    def note_few(self) -> None:
        """Say it where a few of a whole answer's tokens carry most of its loss, so that they are what is asked about."""
        few = {}
        for i, losses in enumerate(self.losses or ()):
            row = self.queries.rows[i]
            if not (has_span(row) or has_other(row)) and (number := carrying(losses)):
                few[i] = number
        if not few:
            return
        first, number = next(iter(few.items()))
        tokens = self._losses()[first]
        highest = sorted(tokens, key=lambda token: -token[1])[: min(number, 3)]
        others = f"; so it is in {len(few) - 1} more" if len(few) > 1 else ""
        note(
            f"{number} of {len(tokens)} tokens carry {MOST:.0%} of the loss of {self.queries.name(first)}, first of all "
            f"{', '.join(repr(token) for token, _ in highest)}{others}: ask about the part that you mean (--span)"
        )


def carrying(losses: Float[np.ndarray, " r"]) -> int:
    """How many tokens carry most of the loss, the highest first; 0 where they are not few.

    >>> carrying(np.array([9.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])), carrying(np.ones(8))
    (1, 0)
    """
    if len(losses) < LEAST or losses.sum() <= 0:
        return 0
    number = int(np.searchsorted(np.cumsum(np.sort(losses)[::-1]), MOST * losses.sum())) + 1
    return number if number <= FEW * len(losses) else 0
