import itertools

import numpy as np
import pytest

from llmattr import metrics, surrogate
from llmattr.ablation import ask, check_masks, designed_masks, from_function, hadamard, one_out_masks, random_masks
from llmattr.errors import LlmattrError


def test_seed_0_gives_the_masks_of_the_reference():
    masks = random_masks(5, 12, keep=0.3)
    for s, mask in enumerate(masks):
        reference = np.random.RandomState(s).choice([False, True], size=12, p=[0.7, 0.3])
        assert (mask == reference).all()


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_shorter_run_is_the_beginning_of_a_longer_one(seed):
    assert (random_masks(64, 9, seed=seed) == random_masks(256, 9, seed=seed)[:64]).all()


def test_other_seeds_give_other_masks_at_the_same_rate():
    masks = np.stack([random_masks(400, 80, keep=0.3, seed=seed) for seed in range(4)])
    assert len({m.tobytes() for m in masks}) == 4
    # 128,000 coins of 0.3: the mean lies within five of its standard errors.
    assert abs(masks.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / masks.size)
    # No mask of one seed is a shifted copy of another's.
    assert not {mask.tobytes() for mask in masks[0]} & {mask.tobytes() for mask in masks[1]}


@pytest.mark.parametrize("keep", [0.0, 1.0, -1.0, 2.0])
def test_keep_is_a_chance(keep):
    with pytest.raises(LlmattrError, match="keep must lie between 0 and 1"):
        random_masks(4, 4, keep)


def test_one_out_masks():
    assert one_out_masks(2).tolist() == [[True, True], [False, True], [True, False]]


def test_a_function_that_gives_another_shape_is_told_so():
    ablation = from_function(lambda masks: masks.sum(axis=1), n_sources=3, n_targets=1)
    with pytest.raises(LlmattrError, match=r"outputs \(4,\) for masks \(4, 3\): expected \(4, 1\)"):
        ablation(random_masks(4, 3))


class TestNumbersThatAreNotFinite:
    """An output that is not a number is told with its mask and target; nobody reads "no effect" out of it."""

    @staticmethod
    def world(bad, row):
        """Of two targets the second is bad where this mask is asked for."""

        def outputs(masks):
            found = np.stack([masks.sum(axis=1), masks @ np.arange(6.0)], axis=1)
            found[(masks == row).all(axis=1), 1] = bad
            return found

        return from_function(outputs, 6, 2)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_the_message_names_the_mask_and_the_target(self, bad):
        masks = np.eye(6, dtype=bool)
        told = rf"ablation 14 gave {bad} for target 1 \('output 1'\): .* must be finite numbers \(of 6 sources it kept: 4\)"
        with pytest.raises(LlmattrError, match=told):
            ask(self.world(bad, masks[4]), masks, before=10)
        with pytest.raises(LlmattrError, match="it kept: none"):
            ask(self.world(bad, np.zeros(6, dtype=bool)), np.zeros((1, 6), dtype=bool))

    @pytest.mark.parametrize("bad", [np.nan, -np.inf])
    @pytest.mark.parametrize(
        "question",
        [
            surrogate.leave_one_out,
            surrogate.lasso,
            lambda a: surrogate.ridge(a, "auto"),
            surrogate.pairs,
            surrogate.shapley,
            lambda a: surrogate.shapley(a, 60, "kernel"),
            lambda a: surrogate.shapley(a, 60, "permutation"),
            lambda a: surrogate.banzhaf(a, 60, "sample"),
            lambda a: surrogate.beta_shapley(a, 60),
            surrogate.ame,
            lambda a: metrics.top_k_drop(np.ones((2, 6)), a),
            lambda a: metrics.insertion_curve(np.ones((2, 6)), a),
        ],
    )
    def test_whoever_asks_is_told(self, question, bad):
        world = from_function(lambda masks: np.where(masks.sum(axis=1) > 2, bad, 1.0)[:, None].repeat(2, axis=1), 6, 2)
        with pytest.raises(LlmattrError, match=f"gave {bad} for target 0"):
            question(world)


class TestDesignedMasks:
    @pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 16, 20, 24, 32, 40, 44, 48, 60, 64])
    def test_a_hadamard_matrix_has_orthogonal_rows_and_a_constant_column(self, order):
        matrix = hadamard(order)
        np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order))
        assert set(matrix[:, 0].tolist()) == {1}

    @pytest.mark.parametrize("order", [0, 3, 6, 28])
    def test_other_orders_are_refused(self, order):
        with pytest.raises(LlmattrError, match=f"there is no Hadamard matrix of order {order}"):
            hadamard(order)

    @pytest.mark.parametrize("n", [1, 2, 3, 7, 11, 12, 25])
    def test_columns_are_orthogonal_and_complements_free_them_of_pairs(self, n):
        order = next(k for k in (2, 4, 8, 12, 16, 20, 24, 32) if k > n)
        signs = 2 * designed_masks(2 * order, n).astype(int) - 1
        np.testing.assert_array_equal(signs[:order].T @ signs[:order], order * np.eye(n))
        np.testing.assert_array_equal(signs[order:], -signs[:order])
        for i, j in itertools.combinations(range(n), 2):
            np.testing.assert_array_equal(signs.T @ (signs[:, i] * signs[:, j]), np.zeros(n))

    def test_a_longer_run_begins_as_a_shorter_one(self):
        masks = designed_masks(256, 20, seed=3)
        assert masks.shape == (256, 20)
        np.testing.assert_array_equal(masks[:30], designed_masks(30, 20, seed=3))
        assert len(np.unique(masks[:48], axis=0)) == 48
        assert not np.array_equal(masks, designed_masks(256, 20, seed=4))
        assert designed_masks(0, 5).shape == (0, 5)


@pytest.mark.parametrize(
    ("masks", "what"),
    [
        (np.ones((2, 3)), "must be a numpy array of bool, not of float64"),
        ([[True, False, True]], "must be a numpy array of bool, not a list"),
        (np.ones((2, 4), dtype=bool), r"must have the shape \[m, 3\], a column for each source, not \[2, 4\]"),
        (np.ones(3, dtype=bool), r"must have the shape \[m, 3\], a column for each source, not \[3\]"),
    ],
)
def test_what_are_no_masks_is_refused(masks, what):
    with pytest.raises(LlmattrError, match=what):
        check_masks(masks, 3)
