"""Levels that agree: what documents are worth is what their parts are worth together."""

import dataclasses

import numpy as np
from jaxtyping import Float

from llmattr.core.attribution import Attribution, Sources
from llmattr.errors import LlmattrError


def by_document(attribution: Attribution) -> Attribution:
    """Scores of documents: `values[t, d] = sum of values[t, i] over the sources i of d`.

    The error of a sum is at most the sum of the errors, which is what it is said to be. Raises `LlmattrError` for sources that
    were not cut from documents, or of which only some were returned.
    """
    sources = attribution.sources
    if sources.groups is None or attribution.index is not None:
        raise LlmattrError(f"these {len(sources)} {sources.kind} are not the parts of documents: there is nothing to add up")
    present, place = np.unique(sources.groups, return_inverse=True)
    documents = [sources.documents[number] for number in present]

    def summed(scores: Float[np.ndarray, "t n"]) -> Float[np.ndarray, "t d"]:
        found = np.zeros((len(scores), len(present)))
        np.add.at(found.T, place, scores.T)
        return found

    values = summed(attribution.values)
    stderr = None if attribution.stderr is None else summed(attribution.stderr)
    whole = Sources("documents", [d.id for d in documents], [d.text for d in documents])
    return dataclasses.replace(attribution, values=values, stderr=stderr, sources=whole, evidence=None, session=None)
