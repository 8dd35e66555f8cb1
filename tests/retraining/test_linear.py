"""Leave-one-out in closed form: equal to fits that are made again, with the signs of the house."""

import dataclasses

import numpy as np
import pytest
import torch

from llmattr import retraining
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.retraining import Recipe
from llmattr.retraining.linear import LeastSquares, jackknife_variance, log_softmax, logistic, softmax
from llmattr.retraining.methods import linear_probe
from llmattr.retraining.methods.linear_probe import LinearProbe, features

EXACT = 1e-10


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def refit(x, y, penalty, rows):
    """The least-squares coefficients of a fit without these rows."""
    x, y = np.delete(x, rows, axis=0), np.delete(y, rows, axis=0)
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


@pytest.fixture
def data(rng):
    x = rng.normal(size=(60, 7))
    return x, x @ rng.normal(size=7) + 0.5 * rng.normal(size=60)


class TestLeastSquares:
    @pytest.mark.parametrize("penalty", [0.0, 0.7])
    def test_every_row_left_out_is_a_fit_made_again(self, data, rng, penalty):
        x, y = data
        fit, queries = LeastSquares(x, y, penalty), rng.normal(size=(3, 7))
        again = np.stack([refit(x, y, penalty, j) for j in range(60)])
        np.testing.assert_allclose(fit.parameter_effects(), fit.coefficients - again, atol=EXACT)
        np.testing.assert_allclose(fit.left_out_residuals, y - (x * again).sum(axis=1), atol=EXACT)
        np.testing.assert_allclose(fit.prediction_effects(queries), queries @ (fit.coefficients - again).T, atol=EXACT)
        slide = x @ fit.inverse * ((x @ fit.coefficients - y) / (1 - fit.leverages))[:, None]  # with its sign
        assert np.abs(slide - (fit.coefficients - again)).max() > 0.05

    @pytest.mark.parametrize("penalty", [0.0, 0.7])
    def test_a_group_left_out_is_a_fit_made_again(self, data, penalty):
        x, y = data
        rows, fit = np.array([3, 11, 12, 40]), LeastSquares(x, y, penalty)
        together = fit.coefficients - refit(x, y, penalty, rows)
        np.testing.assert_allclose(fit.coefficients - fit.without(rows), together, atol=EXACT)
        alone = fit.parameter_effects()[rows].sum(axis=0)
        assert np.linalg.norm(alone - together) > 0.01 * np.linalg.norm(together)  # effects of rows do not add up
        np.testing.assert_array_equal(fit.without(rows[:0]), fit.coefficients)

    def test_outputs_do_not_depend_on_one_another(self, data, rng):
        x, y = data
        both, queries = LeastSquares(x, np.stack([y, y**2], axis=1), 0.1), rng.normal(size=(4, 7))
        one = LeastSquares(x, y**2, 0.1)
        for of in (
            lambda fit: fit.parameter_effects(),
            lambda fit: fit.prediction_effects(queries),
            lambda fit: fit.left_out_residuals,
            lambda fit: fit.without(np.array([1, 2])),
        ):
            np.testing.assert_allclose(of(both)[..., 1], of(one), atol=EXACT)

    def test_influence_is_the_effect_less_the_leverage_and_the_derivative_by_a_weight(self, data):
        x, y = data
        fit = LeastSquares(x, y)
        np.testing.assert_allclose(fit.influence(), (1 - fit.leverages)[:, None] * fit.parameter_effects(), atol=EXACT)

        def weighted(w):
            rows = np.sqrt(np.where(np.arange(60) == 5, w, 1.0))
            return LeastSquares(x * rows[:, None], y * rows).coefficients

        step = 1e-5  # error of a central difference about step^2, rounding about 1e-16 / step
        np.testing.assert_allclose(fit.influence()[5], (weighted(1 + step) - weighted(1 - step)) / (2 * step), atol=1e-8)

    def test_a_helpful_row_is_positive(self):
        fit = LeastSquares(np.array([[1.0], [1.0], [1.0]]), np.array([0.0, 0.0, 3.0]))
        np.testing.assert_allclose(fit.parameter_effects()[:, 0], [-0.5, -0.5, 1.0])

    def test_the_jackknife_of_a_mean(self, rng):
        y = rng.normal(size=40)
        fit = LeastSquares(np.ones((40, 1)), y)
        np.testing.assert_allclose(jackknife_variance(fit.influence()), [39 / 40 * y.var(ddof=1) / 40], rtol=1e-12)

    def test_what_is_undetermined_is_refused(self, rng):
        x = np.vstack([rng.normal(size=(5, 3)) * [1, 1, 0], [[0, 0, 1.0]]])
        y = rng.normal(size=6)
        for refused in (
            lambda: LeastSquares(x[:5], y[:5]).coefficients,
            lambda: LeastSquares(x, y).left_out_residuals,
            lambda: LeastSquares(x, y).without(np.array([5])),
        ):
            with pytest.raises(LlmattrError, match="penalty"):
                refused()
        LeastSquares(x, y, 0.1).without(np.array([5]))


def newton_step(fit, objective_gradient, rows):
    """One explicit Newton step from the fit on the objective without these rows."""
    x, curvatures = np.delete(fit.x, rows, axis=0), np.delete(fit.curvatures, rows, axis=0)
    size = fit.coefficients.size
    hessian = np.einsum("na,nkl,nb->akbl", x, curvatures, x).reshape(size, size) + fit.penalty * np.eye(size)
    step = np.linalg.solve(hessian, objective_gradient(np.delete(np.arange(len(fit.x)), rows)).ravel())
    return fit.coefficients - step.reshape(fit.coefficients.shape)


class TestGlm:
    @pytest.fixture
    def logits(self, rng):
        x = rng.normal(size=(120, 5))
        y = rng.random(120) < 1 / (1 + np.exp(-x @ rng.normal(size=5) * 2))
        return x, y, logistic(x, y, 1e-2)

    @pytest.fixture
    def classes(self, rng):
        x = rng.normal(size=(50, 4))
        labels = (x @ rng.normal(size=(4, 3)) + rng.gumbel(size=(50, 3))).argmax(axis=1)
        return x, labels, softmax(x, labels, 3, 0.1)

    def test_logistic_is_scikit_learns(self, logits):
        from sklearn.linear_model import LogisticRegression

        x, y, fit = logits
        theirs = LogisticRegression(C=100, fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, y)
        np.testing.assert_allclose(fit.coefficients[:, 0], theirs.coef_[0], atol=1e-5)  # their gradient's tolerance

    def test_softmax_is_scikit_learns(self, classes):
        from sklearn.linear_model import LogisticRegression

        x, labels, fit = classes
        theirs = LogisticRegression(C=10, fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, labels)
        np.testing.assert_allclose(fit.coefficients.T, theirs.coef_, atol=1e-5)

    def test_logistic_leave_one_out_is_one_newton_step_and_nearer_than_influence(self, logits):
        x, y, fit = logits
        h = np.einsum("nd,de,ne->n", x, fit.inverse[:, 0, :, 0], x)
        worst = dict.fromkeys(("newton", "influence"), 0.0)
        for j in range(len(x)):
            left = fit.without(np.array([j]))
            explicit = newton_step(fit, lambda kept: x[kept].T @ fit.slopes[kept] + 1e-2 * fit.coefficients, j)
            np.testing.assert_allclose(left, explicit, atol=EXACT)
            formula = fit.inverse[:, 0, :, 0] @ x[j] * fit.slopes[j] / (1 - fit.curvatures[j, 0, 0] * h[j])
            np.testing.assert_allclose(left[:, 0], fit.coefficients[:, 0] + formula, atol=EXACT)
            again = logistic(np.delete(x, j, axis=0), np.delete(y, j), 1e-2).coefficients
            worst["newton"] = max(worst["newton"], np.abs(left - again).max())
            worst["influence"] = max(worst["influence"], np.abs(fit.coefficients - fit.influence()[j] - again).max())
        assert worst["newton"] < worst["influence"]

    @pytest.mark.parametrize("rows", [[7], [3, 20, 21, 44]])
    def test_softmax_leave_out_is_one_newton_step_and_nearer_than_influence(self, classes, rows):
        x, labels, fit = classes
        left = fit.without(np.array(rows))
        explicit = newton_step(fit, lambda kept: x[kept].T @ fit.slopes[kept] + 0.1 * fit.coefficients, rows)
        np.testing.assert_allclose(left, explicit, atol=EXACT)
        again = softmax(np.delete(x, rows, axis=0), np.delete(labels, rows), 3, 0.1).coefficients
        influence = fit.coefficients - fit.influence()[rows].sum(axis=0)
        assert np.abs(left - again).max() < np.abs(influence - again).max()

    def test_effects_are_those_of_each_row(self, classes):
        fit = classes[2]
        np.testing.assert_allclose(fit.parameter_effects()[7], fit.coefficients - fit.without(np.array([7])))

    def test_influence_is_the_derivative_by_a_weight(self, logits):
        x, _, fit = logits
        j, step = 17, 1e-4

        def moved(w):  # Newton's method on the objective with a weight on row j, from the fit
            b = fit.coefficients[:, 0]
            weights = np.where(np.arange(len(x)) == j, w, 1.0)
            for _ in range(20):
                p = 1 / (1 + np.exp(-x @ b))
                gradient = x.T @ (weights * (p - logits[1])) + 1e-2 * b
                b = b - np.linalg.solve((x.T * weights * p * (1 - p)) @ x + 1e-2 * np.eye(5), gradient)
            return b

        difference = (moved(1 + step) - moved(1 - step)) / (2 * step)
        np.testing.assert_allclose(fit.influence()[j, :, 0], difference, atol=1e-8)  # step^2 = 1e-8, rounding 1e-12

    def test_two_classes_are_logistic(self, rng):
        x, y = rng.normal(size=(40, 3)), rng.random(40) < 0.4
        two, one = (
            softmax(x, y.astype(int), 2, 0.4),
            logistic(x, y, 0.2),
        )
        np.testing.assert_allclose(two.coefficients @ [[-1.0], [1.0]], one.coefficients, atol=EXACT)

    def test_what_has_no_end_is_refused(self):
        x = np.array([[1.0], [2.0], [-1.0]])
        with pytest.raises(LlmattrError, match="penalty"):
            logistic(x, np.array([True, True, False]))  # separable: the longer the better
        with pytest.raises(LlmattrError, match="penalty"):
            softmax(x, np.array([0, 1, 0]), 2, 0.0)


WORDS = {"canal": "wide", "king": "old", "port": "busy", "lock": "wide", "river": "old", "town": "busy", "bay": "wide"}
ROWS = [{"prompt": f"The {noun} of Panama is", "completion": f" {word} now", "part": noun[0]} for noun, word in WORDS.items()]
ASKED = [{"prompt": "The ship of Spain is", "completion": " busy"}, {"prompt": "The road is", "completion": " wide"}]


def ablation_of(lm, queries=ASKED, **options):
    return retraining.retraining_ablation(lm, ROWS, queries, **options)


def probe(ablation):
    """Scaled features of rows and queries, one-hot classes of the rows, and each query's class."""
    rows, queries = (features(ablation.trainer.lm, part) for part in (ablation.trainer.rows, ablation.trainer.queries))
    scale = np.sqrt((rows**2).sum(axis=1).mean())
    first = [[ids[int(np.argmax(c))] for ids, c in zip(part.ids, part.counted, strict=True)] for part in
             (ablation.trainer.rows, ablation.trainer.queries)]  # fmt: skip
    names = sorted(set(first[0]))
    labels, asked = (np.array([names.index(token) for token in tokens]) for tokens in first)
    return rows / scale, queries / scale, np.eye(len(names))[labels], labels, asked


class TestLinearProbe:
    def test_features_are_what_the_unembedding_sees(self, lm):
        ablation = ablation_of(lm)
        found = features(dataclasses.replace(lm, max_batch_tokens=20), ablation.trainer.rows)
        logits = found @ lm.model.get_output_embeddings().weight.detach().numpy().T
        for row, request in enumerate(ablation.trainer.rows.ids):
            start = int(np.argmax(ablation.trainer.rows.counted[row]))
            said = lm.model(input_ids=torch.tensor([request])).logits[0, start - 1].detach().numpy()
            np.testing.assert_allclose(logits[row], said, atol=EXACT)

    @pytest.mark.parametrize("group_by", [None, "part"])
    def test_ridge_equals_fits_made_again(self, lm, group_by):
        ablation = ablation_of(lm, group_by=group_by)
        result = LinearProbe(penalty=0.3).attribute(ablation)
        rows, queries, one_hot, _, asked = probe(ablation)
        for source in range(len(ablation.sources)):
            gone = np.flatnonzero(ablation.member == source)
            change = refit(rows, one_hot, 0.3, []) - refit(rows, one_hot, 0.3, gone)
            np.testing.assert_allclose(result.values[:, source], (queries @ change)[[0, 1], asked], atol=EXACT)
        assert result.unit == "class scores"
        assert not ablation.memory  # no model was trained

    @pytest.mark.parametrize("group_by", [None, "part"])
    def test_softmax_is_one_newton_step_and_nearer_than_influence(self, lm, group_by):
        ablation = ablation_of(lm, group_by=group_by)
        result = LinearProbe("softmax", 0.3).attribute(ablation)
        rows, queries, _, labels, asked = probe(ablation)
        fit = softmax(rows, labels, 3, 0.3)

        def said(coefficients):
            return log_softmax(queries @ coefficients)[[0, 1], asked]

        full, errors = said(fit.coefficients), np.zeros((2, len(ablation.sources)))
        for source in range(len(ablation.sources)):
            gone = np.flatnonzero(ablation.member == source)
            step = newton_step(fit, lambda kept: rows[kept].T @ fit.slopes[kept] + 0.3 * fit.coefficients, gone)
            np.testing.assert_allclose(result.values[:, source], full - said(step), atol=1e-8)
            again = full - said(softmax(np.delete(rows, gone, axis=0), np.delete(labels, gone), 3, 0.3).coefficients)
            influence = full - said(fit.coefficients - fit.influence()[gone].sum(axis=0))
            errors[:, source] = np.abs(result.values[:, source] - again).max(), np.abs(influence - again).max()
        assert errors[0].mean() < errors[1].mean()
        assert result.unit == "nats"

    def test_rows_of_the_class_help_and_others_do_not(self, tiny):
        query = {"prompt": ROWS[2]["prompt"], "completion": " busy"}
        for kind in ("ridge", "softmax"):
            result = LinearProbe(kind).attribute(ablation_of(tiny, query))
            assert result.top(1)[0].source == 2
            assert result.values[0, 2] > 0

    def test_logit_and_mean(self, tiny):
        logprob = LinearProbe("softmax").attribute(ablation_of(tiny))
        logit = LinearProbe("softmax").attribute(ablation_of(tiny, measure="logit"))
        assert logit.unit == "nats of log-odds"
        assert (np.sign(logit.values) == np.sign(logprob.values)).all()
        assert (np.abs(logit.values) > np.abs(logprob.values)).all()  # d logit = d logprob / (1 - p)
        mean = LinearProbe("softmax").attribute(ablation_of(tiny, mean=True))
        np.testing.assert_allclose(mean.values[0], logprob.values.mean(axis=0))

    def test_completions_as_classes(self, tiny):
        ablation = ablation_of(tiny, {"prompt": "The road is", "completion": " wide now"})
        result = LinearProbe(classes="completion").attribute(ablation)
        np.testing.assert_allclose(result.values, LinearProbe().attribute(ablation).values)  # here each begins differently

    def test_by_name(self, tiny):
        result = retraining.retrain(tiny, ROWS, ASKED, "linear-probe")
        assert result.method == {"name": "linear-probe", "kind": "ridge", "penalty": 0.1, "classes": "token"}
        assert result.run["classes"] == 3
        assert result.run["runs"] == 0

    def test_what_cannot_be_probed_is_refused(self, tiny, monkeypatch):
        with pytest.raises(LlmattrError, match=r"query 0 begins with ' s'.* no class"):
            LinearProbe().attribute(ablation_of(tiny, {"prompt": "The road is", "completion": " small"}))
        with pytest.raises(LlmattrError, match="training function does not show"):
            LinearProbe().attribute(retraining.from_function(lambda weights, seed: weights[:1], 3))
        with pytest.warns(LlmattrNote, match="random weights"):
            LinearProbe().attribute(ablation_of(tiny, recipe=Recipe(start="random")))
        monkeypatch.setattr(linear_probe, "MOST", 20)
        with pytest.raises(LlmattrError, match="3 classes of 7 features has more than 20 parameters: take kind ridge"):
            LinearProbe("softmax").attribute(ablation_of(tiny))
