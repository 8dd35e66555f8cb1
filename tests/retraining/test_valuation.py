"""Values of training rows: neighbours, rows out of bags, and what each row did in a run."""

import dataclasses
import math
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch

from llmattr import retraining, surrogate
from llmattr.ablation import every_mask, from_function, random_masks
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.retraining import Recipe, row_gradients
from llmattr.retraining.build import retrain
from llmattr.retraining.first_order import _reach, first_order, in_run
from llmattr.retraining.grouping import rows_of, summed
from llmattr.retraining.methods.data_oob import DataOob, bags, of_own_rows, out_of_bag
from llmattr.retraining.methods.in_run import InRunShapley
from llmattr.retraining.methods.knn_shapley import KnnShapley, knn_shapley
from llmattr.retraining.together import can_stack
from llmattr.retraining.trainer import padded
from llmattr.text.rows import tokenize
from tests import tiny_models
from tests.training.test_parameters import opt

FACTS = [("canal", "Panama", "wide"), ("king", "Spain", "old"), ("port", "Colon", "busy"), ("lock", "Gatun", "long")]
ROWS = [{"prompt": f"The {what} of {where} is", "completion": f" {said}", "place": where} for what, where, said in FACTS]
ROWS += [{**row, "prompt": row["prompt"].replace("The", "That")} for row in ROWS]
ASKED = [{"prompt": "A port of Colon is", "completion": " busy"}, {"prompt": "A king of Spain is", "completion": " old"}]
SHORT = Recipe(steps=12, batch_size=4, learning_rate=5e-3)


def ablation(rows=ROWS, asked=ASKED, dtype=torch.float64, **options):
    model = tiny_models.llama().to(dtype), tiny_models.tokenizer()
    return retraining.retraining_ablation(model, rows, asked, **{"recipe": SHORT, **options})


class TestKnnShapley:
    @pytest.mark.parametrize(("n", "k"), [(9, 3), (6, 1), (4, 4), (3, 5), (1, 2)])
    def test_it_is_the_enumeration_of_the_vote(self, n, k):
        """T17. 1e-12: sums of 2^n numbers near 1."""
        rng = np.random.default_rng(n)
        distances, agree = rng.random((2, n)), rng.random((2, n)) < 0.5

        def worth(mask, t):
            nearest = sorted(np.flatnonzero(mask), key=lambda i: distances[t, i])[:k]
            return agree[t, nearest].sum() / k

        def vote(masks):
            return np.array([[worth(mask, t) for t in range(2)] for mask in masks])

        expected = surrogate.shapley(from_function(vote, n, 2), method="exact")
        np.testing.assert_allclose(knn_shapley(distances, agree, k), expected.values, atol=1e-12)

    def test_values_add_up_to_the_vote_of_all_rows(self):
        rng = np.random.default_rng(0)
        distances, agree = rng.random((1, 500)), rng.random((1, 500)) < 0.3
        nearest = np.argsort(distances[0])[:7]
        np.testing.assert_allclose(knn_shapley(distances, agree, 7).sum(), agree[0, nearest].mean(), atol=1e-12)

    def test_rows_with_the_querys_completion_count_for_it(self):
        found = KnnShapley(k=2).attribute(ablation())
        assert found.values.shape == (2, 8)
        for values, said in zip(found.values, ("busy", "old"), strict=True):
            agree = np.array([row["completion"] == f" {said}" for row in ROWS])
            assert values[agree].min() > 0
            assert values[~agree].max() <= 0
        assert found.stderr is None  # nothing is drawn
        assert not found.cited.any()  # shares of a vote are no nats

    def test_groups_and_the_mean_over_queries_are_sums_of_the_rows(self):
        whole = KnnShapley().attribute(ablation()).values
        groups = KnnShapley().attribute(ablation(group_by="place"))
        np.testing.assert_allclose(groups.values, whole[:, :4] + whole[:, 4:], atol=1e-12)
        mean = KnnShapley().attribute(ablation(mean=True))
        np.testing.assert_allclose(mean.values, whole.mean(axis=0, keepdims=True), atol=1e-12)

    def test_a_completion_that_no_row_has_is_noted(self):
        with pytest.warns(LlmattrNote, match="no row has the completion of query 0"):
            found = KnnShapley().attribute(ablation(asked=[{"prompt": "A port of Colon is", "completion": " shut"}]))
        assert (found.values == 0).all()

    def test_random_weights_are_noted(self):
        with pytest.warns(LlmattrNote, match="random weights"):
            KnnShapley().attribute(ablation(recipe=Recipe(steps=3, start="random")))

    def test_batches_do_not_change_the_values(self):
        one = KnnShapley().attribute(ablation())
        model = retraining.build.LM(tiny_models.llama().double(), tiny_models.tokenizer(), "", max_batch_tokens=1)
        alone = KnnShapley().attribute(retraining.retraining_ablation(model, ROWS, ASKED))
        np.testing.assert_allclose(one.values, alone.values, atol=1e-12)


class TestDataOob:
    def test_bags_leave_out_the_share_of_the_bootstrap(self):
        """T18: (1 - 1/n)^n. 1000 bags of 80: 4 errors of 0.0017 (of 80,000 draws) are less than 0.01."""
        masks = bags(1000, 80, seed=0)
        assert abs((~masks).mean() - (1 - 1 / 80) ** 80) < 0.01
        assert masks.any(axis=1).all()
        assert (bags(1000, 80, seed=0) == masks).all()
        assert (bags(1000, 80, seed=1) != masks).any()

    def test_only_models_that_did_not_see_a_row_count(self):
        rng = np.random.default_rng(0)
        masks, outputs = bags(50, 6, seed=1), rng.normal(size=(50, 6))
        values, stderr = out_of_bag(masks, outputs)
        for i in range(6):
            left = outputs[~masks[:, i], i]
            np.testing.assert_allclose(values[i], left.mean(), atol=1e-12)
            np.testing.assert_allclose(stderr[i], left.std(ddof=1) / len(left) ** 0.5, atol=1e-12)
        np.testing.assert_array_equal(out_of_bag(masks, np.where(masks, 1e9, outputs))[0], values)

    @pytest.mark.slow
    def test_its_values_are_those_of_models_trained_without_the_row(self):
        """Every bag is trained once more by hand, and asked for every row."""
        own = of_own_rows(ablation())
        masks = bags(10, 8, seed=3)
        found = DataOob(n_bags=10).attribute(ablation(), seed=3)
        outputs = [own.trainer.measured(own.trainer.trained(own.weights(mask), own.seed_of(mask, 0))) for mask in masks]
        expected = [np.mean([out[i] for out, mask in zip(outputs, masks, strict=True) if not mask[i]]) for i in range(8)]
        np.testing.assert_allclose(found.values[0], expected, atol=1e-9)
        assert found.values.shape == found.stderr.shape == (1, 8)
        assert 0.2 < found.run["left_out"] < 0.5

    def test_a_row_that_contradicts_the_others_is_lowest(self):
        recipe = Recipe(steps=24, batch_size=8, learning_rate=5e-3)
        rows = [
            {"prompt": f"{a} port of {b} is", "completion": " busy"} for a in ("The", "A", "That") for b in ("Colon", "Balboa")
        ]
        rows[3]["completion"] = " wide"
        found = DataOob(n_bags=16).attribute(ablation(rows, recipe=recipe, dtype=torch.float32))
        assert found.values[0].argmin() == 3
        assert not found.cited.any()  # a log-probability is no effect

    def test_groups_have_the_mean_of_their_rows(self):
        asked = ablation(group_by="place", recipe=dataclasses.replace(SHORT, steps=3))
        found = DataOob(n_bags=12).attribute(asked)
        outputs = of_own_rows(asked)(bags(12, 4, seed=0))
        expected, _ = out_of_bag(bags(12, 4, seed=0), (outputs[:, :4] + outputs[:, 4:]) / 2)
        np.testing.assert_allclose(found.values[0], expected, atol=1e-12)

    @pytest.mark.slow
    def test_runs_are_kept_beside_the_others_and_serve_again(self, tmp_path):
        options = {"out": tmp_path, "recipe": dataclasses.replace(SHORT, steps=2)}
        first = DataOob(n_bags=24).attribute(ablation(**options))
        kept = sorted(tmp_path.rglob("*.npz"))
        assert len(kept) == len(np.unique(bags(24, 8, seed=0), axis=0))
        again = DataOob(n_bags=24).attribute(ablation(**options))
        np.testing.assert_array_equal(first.values, again.values)
        assert sorted(tmp_path.rglob("*.npz")) == kept
        surrogate.leave_one_out(ablation(**options))
        assert len(list(tmp_path.glob("*/run.json"))) == 2

    def test_too_few_bags_are_refused_before_anything_is_trained(self):
        with pytest.raises(LlmattrError, match="2 bags are too few: source 0 was left out of fewer than two"):
            DataOob(n_bags=2).attribute(ablation())


def linear_run(steps=6, n=5, d=4):
    """Squared errors of a linear model by gradient descent on every row: parameters before each step, and the losses."""
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(n, d))), torch.tensor(rng.normal(size=n))

    def losses(place):
        return -((x @ place["w"] - y) ** 2)

    places, rate = [{"w": torch.zeros(d, dtype=torch.float64)}], 0.02
    for _ in range(steps):
        (gradient,) = torch.func.grad(lambda place: losses(place).sum())(places[-1]).values()
        places.append({"w": places[-1]["w"] + rate * gradient})
    return losses, places, rate, n, d


class TestRowGradients:
    def test_stacked_rows_have_the_gradients_of_each_alone(self):
        """Of OPT, too, which would count its positions from the stack's mask."""
        model = opt().double()
        examples = tokenize(ROWS[:3], tiny_models.tokenizer())
        place = {name: p.detach() for name, p in model.named_parameters()}
        rows = padded(examples.ids, examples.counted, model.device)
        assert can_stack(model, rows[0].shape[1])
        value = partial(row_gradients.said, model)
        (together,), alone = (list(row_gradients.each_gradient(value, place, rows, stacked)) for stacked in (True, False))
        for name, found in together.items():  # of float64; a bias of keys has a gradient of 0
            torch.testing.assert_close(found, torch.cat([part[name] for part in alone]), rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("method", ["datamodel", "in-run-shapley", "magic", "ats"])
    def test_an_adapter_that_is_loaded_frozen(self, tmp_path, method):
        peft = pytest.importorskip("peft")
        tiny_models.save(tmp_path / "base")
        base = type(tiny_models.llama()).from_pretrained(tmp_path / "base")
        peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
        tiny_models.tokenizer().save_pretrained(tmp_path / "adapter")
        with pytest.raises(LlmattrError, match=r"no weight of the model can be trained .*: merge the adapter into its model"):
            retrain(str(tmp_path / "adapter"), ROWS, ASKED, method, recipe=SHORT)


class TestInRun:
    def test_of_a_linear_utility_the_marginals_add_up(self):
        """T19: what all rows did in all steps is the utility's last value less its first, for plain gradient descent."""
        losses, places, rate, n, d = linear_run()
        utility = torch.tensor(np.random.default_rng(1).normal(size=(3, d)))
        ones = {"w": torch.ones(d, dtype=torch.float64)}
        effects = [rate * first_order([{"w": utility}], [torch.func.jacrev(losses)(place)], ones) for place in places[:-1]]
        assert effects[0].shape == (3, n)
        change = utility @ (places[-1]["w"] - places[0]["w"])
        np.testing.assert_allclose(np.sum(effects, axis=(0, 2)), change.numpy(), atol=1e-10)

    def test_how_gradients_are_stacked_changes_nothing(self):
        asked, rows, scales = (torch.tensor(np.random.default_rng(k).normal(size=(m, 4))) for k, m in enumerate((5, 7, 1)))
        found = first_order([{"w": asked[:2]}, {"w": asked[2:]}], [{"w": rows[:3]}, {"w": rows[3:]}], {"w": scales[0]})
        np.testing.assert_allclose(found, ((asked * scales) @ rows.T).numpy(), rtol=1e-12)

    def test_cosines_are_in_the_metric_of_the_steps(self):
        asked, rows = (torch.tensor(np.random.default_rng(k).normal(size=(m, 4))) for k, m in enumerate((5, 7)))
        scales = torch.tensor([1.0, 4.0, 9.0, 0.25], dtype=torch.float64)
        rows[3] = 0  # without a gradient: no cosine
        found = first_order([{"w": asked}], [{"w": rows}], {"w": scales}, "cosine")
        one, other = (asked * scales.sqrt(), rows * scales.sqrt())
        expected = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=-1)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)
        result = InRunShapley(product="cosine").attribute(ablation(recipe=dataclasses.replace(SHORT, steps=3)))
        assert not result.can_cite
        assert result.baseline is None

    def test_how_many_go_together_and_how_often_one_looks(self, monkeypatch):
        """Parts of a batch change nothing; a look at the queries in every second step little, in none but the first more."""
        asked = ablation(recipe=dataclasses.replace(SHORT, steps=6))
        exact, second, first = (in_run(asked.trainer, np.ones(8), 0, cap=3.0, every=every)[0] for every in (1, 2, 6))
        assert 0 < np.abs(second - exact).max() < np.abs(first - exact).max()
        monkeypatch.setattr("llmattr.retraining.row_gradients.TOGETHER", 1)
        np.testing.assert_allclose(in_run(asked.trainer, np.ones(8), 0, cap=3.0)[0], exact, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
    def test_momentum_carries_all_of_every_rate(self, schedule):
        recipe = Recipe(steps=30, learning_rate=1e-3, schedule=schedule, warmup=0.2)
        rates = [recipe.rate(step) for step in range(30)]
        np.testing.assert_allclose(_reach(recipe).sum(), sum(rates), rtol=1e-12)
        # The last step's gradient moves only the last step.
        np.testing.assert_allclose(_reach(recipe)[-1], rates[-1] * 0.1 / (1 - 0.9**30), rtol=1e-12)

    @pytest.mark.slow
    @pytest.mark.parametrize("clip", [0.0, 1.0])
    @pytest.mark.parametrize(("measure", "mean"), [("logprob", False), ("logit", False), ("logprob", True)])
    def test_for_small_steps_values_add_up_to_the_change(self, clip, measure, mean):
        """With every row in every step, only the second order is left: some 1e-3 of the first, a sixth of it at a sixth."""
        off = []
        for rate in (6e-6, 1e-6):
            recipe = Recipe(steps=5, batch_size=8, learning_rate=rate, warmup=0.0, schedule="constant", clip=clip)
            asked = ablation(recipe=recipe, measure=measure, mean=mean)
            values, before, after = in_run(asked.trainer, np.ones(8), 0)
            off.append(np.abs(values.sum(axis=1) / (after - before) - 1).max())
        assert off[1] < 5e-3
        assert off[1] < off[0] / 3

    def test_the_run_is_the_trainers_own(self):
        asked = ablation()
        weights = np.array([1.0, 0.5, 1.0, 0.0, 1.0, 2.0, 1.0, 1.0])
        values, before, after = in_run(asked.trainer, weights, 7)
        np.testing.assert_array_equal(after, asked.trainer.outputs(weights[None], [7])[0])
        np.testing.assert_array_equal(before, asked.trainer.measured(asked.trainer.lm))
        assert (values[:, 3] == 0).all()  # it was not trained on

    @pytest.mark.slow
    def test_it_agrees_with_shapley_by_retraining(self):
        """Groups of rows; Pearson's correlation with exact Shapley values from 16 models."""
        asked = ablation(group_by="place", recipe=Recipe(steps=24, batch_size=4, learning_rate=1e-3))
        found, truth = InRunShapley().attribute(asked), surrogate.shapley(asked)
        for one, other in zip(found.values, truth.values, strict=True):
            assert np.corrcoef(one, other)[0, 1] > 0.9
        assert [score.id for score in found.top(1)] == ["Colon", "Spain"]
        np.testing.assert_allclose(found.details["after"], asked(np.ones((1, 4), dtype=bool))[0], atol=1e-12)

    def test_replicates_give_errors(self):
        asked = ablation(recipe=dataclasses.replace(SHORT, steps=3), replicates=2)
        found = InRunShapley().attribute(asked)
        each = [in_run(asked.trainer, np.ones(8), asked.seed_of(np.ones(8, dtype=bool), k), cap=3.0)[0] for k in range(2)]
        np.testing.assert_allclose(found.values, np.mean(each, axis=0), atol=1e-12)
        np.testing.assert_allclose(found.stderr, np.abs(each[0] - each[1]) / 2, atol=1e-12)
        assert InRunShapley().attribute(dataclasses.replace(asked, replicates=1)).stderr is None

    def test_tied_and_learned_positions_work_alike(self):
        model = tiny_models.gpt2().double(), tiny_models.tokenizer()
        recipe = Recipe(steps=4, batch_size=8, learning_rate=1e-6, warmup=0.0, schedule="constant")
        asked = retraining.retraining_ablation(model, ROWS, ASKED, recipe=recipe)
        values, before, after = in_run(asked.trainer, np.ones(8), 0)
        np.testing.assert_allclose(values.sum(axis=1), after - before, rtol=5e-3)


def test_a_hidden_state_that_is_not_finite_is_named():
    """Not a number is neither near nor far: the order of the neighbours would be chance."""
    asked = ablation()
    asked.trainer.lm.model.model.embed_tokens.weight.data[asked.trainer.rows.ids[1][0]] = torch.nan
    with pytest.raises(LlmattrError, match=r"the hidden state of (row|query) \d+ is not finite"):
        KnnShapley().attribute(asked)


def test_groups_need_no_matrix_of_rows_and_groups():
    """Of 20,000 rows it would have 400 million numbers, 3.2 GB."""
    rng = np.random.default_rng(0)
    values, member = rng.normal(size=(2, 3, 20_000)), rng.permutation(20_000)
    tracemalloc.start()
    found = summed(values, member, 20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * values.nbytes
    np.testing.assert_array_equal(found[..., member], values)
    np.testing.assert_array_equal(np.concatenate(rows_of(member, 20_000)), np.argsort(member))


def test_sums_over_the_rows_of_a_source():
    np.testing.assert_array_equal(summed(np.array([[1.0, 2.0, 4.0]]), np.array([1, 0, 1]), 3), [[2.0, 5.0, 0.0]])


@pytest.mark.parametrize("name", ["data-oob", "knn-shapley", "in-run-shapley", "magic", "ats", "g-shapley", "lava"])
def test_a_training_function_shows_no_rows(name):
    own = retraining.from_function(lambda weights, seed: weights[:1], 3)
    with pytest.raises(LlmattrError, match=f"{name} looks at a language model and its rows"):
        retraining.METHODS[name]().attribute(own)


def test_methods_on_masks_are_their_estimators():
    own = retraining.from_function(lambda weights, seed: weights[:2] * weights[1:3] + weights[4:6], 10, 2)
    found = retraining.METHODS["beta-shapley"](n_models=60, alpha=2.0).attribute(own, 1)
    np.testing.assert_array_equal(found.values, surrogate.beta_shapley(own, 60, 2.0, 1.0, seed=1).values)
    assert (found.stderr > 0).all()
    found = retraining.METHODS["ame"](n_models=60).attribute(own, 1)
    np.testing.assert_array_equal(found.values, surrogate.ame(own, 60, bootstraps=20, seed=1).values)
    assert (found.stderr > 0).all()


def test_every_mask_once_is_exact():
    own = retraining.from_function(lambda weights, seed: np.array([weights.prod()]), 4)
    found = retraining.METHODS["beta-shapley"]().attribute(own)
    # Only the last of four others decides: C(3, 3) B(4, 16) / B(1, 16).
    expected = math.exp(math.lgamma(4) - math.lgamma(20) + math.lgamma(17) - math.lgamma(1))
    np.testing.assert_allclose(found.values[0], [expected] * 4, rtol=1e-12)
    again = len(np.unique(random_masks(16, 4), axis=0))  # trained a second time, to see how much is chance
    assert len(own.memory) == len(every_mask(4)) + again
