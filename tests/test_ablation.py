import numpy as np
import pytest

from llmattr.ablation import from_function, one_out_masks, random_masks
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
