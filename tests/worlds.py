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


def both(n):
    """One output that needs source 0 and source 1 together: each alone does nothing."""
    return from_function(lambda masks: (masks[:, :1] & masks[:, 1:2]).astype(float), n, 1)


def game(n, t=1, seed=0):
    """Any game at all: random outputs for each of the 2^n masks."""
    table = np.random.default_rng(seed).normal(size=(2**n, t))
    return from_function(lambda masks: table[masks @ (1 << np.arange(n))], n, t)


def noisy(weights, sigma, seed=0):
    """The linear world of one output with an error of deviation sigma, the same whenever a mask is asked for again."""
    weights = np.asarray(weights, dtype=float)
    scramble = np.random.default_rng(seed).normal(size=len(weights) + 1)

    def outputs(masks):
        uniform = np.modf(np.abs(1e6 * np.sin(scramble[0] + masks @ scramble[1:])))[0]
        return (masks @ weights + sigma * 12**0.5 * (uniform - 0.5))[:, None]

    return from_function(outputs, len(weights), 1)


def glove():
    """Two left gloves and a right one; a pair is worth 1. Shapley values 1/6, 1/6, 2/3."""
    return from_function(lambda masks: ((masks[:, :1] | masks[:, 1:2]) & masks[:, 2:]).astype(float), 3, 1)


def airport(costs):
    """A runway that serves whoever comes costs what the largest of them needs."""
    return from_function(lambda masks: (masks * np.asarray(costs, dtype=float)).max(axis=1)[:, None], len(costs), 1)


def majority(n):
    """1 when more than half of the sources are there."""
    return from_function(lambda masks: (masks.sum(axis=1) > n / 2).astype(float)[:, None], n, 1)
