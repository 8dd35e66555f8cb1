"""Closed-form worlds: ablations whose right attribution is known exactly."""

import numpy as np

from llmattr.ablation import from_function


def linear(weights, bias):
    """`outputs = bias + masks @ weights.T`: every additive method must return the weights [t, n] and the bias [t]."""
    weights, bias = np.asarray(weights, dtype=float), np.asarray(bias, dtype=float)
    return from_function(lambda masks: bias + masks @ weights.T, weights.shape[1], weights.shape[0])


def either(n):
    """One output that needs source 0 or source 1: each alone suffices, so leave-one-out sees neither."""
    return from_function(lambda masks: (masks[:, :1] | masks[:, 1:2]).astype(float), n, 1)


def all_masks(n):
    """Every one of the 2^n masks: an orthogonal design once it is standardised."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
