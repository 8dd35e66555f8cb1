"""SOURCE against matrix exponentials, against runs whose derivatives are known, and through an index of checkpoints."""

import json

import numpy as np
import pytest
import torch

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.text.rows import tokenize
from llmattr.training.checkpoints import learning_rates_of, spans_of
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.kronecker import fit
from llmattr.training.gradients.layers import input_groups, linear_layers
from llmattr.training.methods.influence import Ekfac
from llmattr.training.methods.products import TracIn
from llmattr.training.methods.unrolled import Source, root_of
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, open_index, trace
from tests import tiny_models
from tests.training.test_trace_methods import dense
from tests.training.test_training import ASKED, ROWS

LAYER = "1.mlp.c_proj"


def exact(values, tokens=1.0):
    """A layer "one" whose matrix is these eigenvalues [i, o] in random coordinates: its tensors, and the matrix [io, io]."""
    torch.manual_seed(0)
    ins, outs = (torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in values.shape)
    fitted = {"one/in": ins, "one/out": outs, "one/values": values, "tokens": torch.tensor(tokens)}
    both = torch.kron(ins, outs)
    return fitted, both * values.flatten() @ both.T


class TestFunctions:
    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    def test_they_are_those_of_the_matrix(self, momentum):
        """Written out with a matrix exponential; eigenvalues that are 0 keep what was there, and add `s` times the gradient."""
        values = torch.rand(4, 3, dtype=torch.float64) + 0.01
        fitted, matrix = exact(values, tokens=2.0)
        here, before = Source(momentum).unroll(fitted, {"one": "one"}, 3.0)
        s, g = 3.0 / (1 - momentum) / 2, torch.randn(5, 4, 3, dtype=torch.float64)
        left = torch.linalg.matrix_exp(-s * matrix)
        added = torch.linalg.solve(matrix, torch.eye(12, dtype=torch.float64) - left)
        torch.testing.assert_close(before("one", g).flatten(1), g.flatten(1) @ left, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(here("one", g).flatten(1), g.flatten(1) @ added, rtol=1e-10, atol=1e-10)

    def test_a_flat_direction_adds_all_steps_and_forgets_nothing(self):
        fitted, _ = exact(torch.zeros(4, 3, dtype=torch.float64))
        here, before = Source().unroll(fitted, {"one": "one"}, 0.7)
        g = torch.randn(2, 4, 3, dtype=torch.float64)
        torch.testing.assert_close(before("one", g), g)
        torch.testing.assert_close(here("one", g), 0.7 * g)


class TestARunWhoseDerivativeIsKnown:
    """Least squares by gradient descent: `w - eta (A w - mean_i b_i)`, with rows `(w' A w) / 2 - b_i w` of one curvature A.

    A row with the weight 1 + e adds `-eta g_i(w_t) e` at each step t, of which the later steps leave `(I - eta A)^(T-1-t)`.
    """

    def run(self, rate, steps):
        torch.manual_seed(1)
        values = torch.logspace(0, -3, 12, dtype=torch.float64).view(4, 3)
        fitted, matrix = exact(values)
        b, w, path = torch.randn(6, 12, dtype=torch.float64), torch.zeros(12, dtype=torch.float64), []
        for _ in range(steps):
            path.append(w)
            w = w - rate * (matrix @ w - b.mean(0))
        return fitted, matrix, [at @ matrix - b for at in path]

    def truth(self, matrix, gradients, rate, query):
        step = torch.eye(12, dtype=torch.float64) - rate * matrix
        added, after = torch.zeros(6, dtype=torch.float64), query
        for gradient in reversed(gradients):
            added += rate * gradient @ after
            after = step @ after
        return added

    def source(self, fitted, gradients, rate, query):
        """With a checkpoint at every step, chained as an index chains them."""
        here, before = Source().unroll(fitted, {"one": "one"}, rate)
        added, after = torch.zeros(6, dtype=torch.float64), query.view(1, 4, 3)
        for gradient in reversed(gradients):
            added += gradient @ here("one", after)[0].flatten()
            after = before("one", after)
        return added

    def test_it_is_that_of_gradient_descent_as_steps_become_small(self):
        """`exp(-eta A)` is `I - eta A` to second order: half the rate, twice the steps halve what is left."""
        query, errors = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)), []
        for steps in (40, 80, 160):
            fitted, matrix, gradients = self.run(8.0 / steps, steps)
            truth = self.truth(matrix, gradients, 8.0 / steps, query)
            found = self.source(fitted, gradients, 8.0 / steps, query)
            errors.append(((found - truth).norm() / truth.norm()).item())
        assert errors[0] < 0.1
        assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.1)
        assert errors[2] / errors[1] == pytest.approx(0.5, abs=0.05)


class TestAdam:
    def test_they_are_those_of_its_steps(self):
        """`w - eta P g(w)` leaves `exp(-s P H)` of a change of w: of the query's gradient the transposed, written out."""
        fitted, turned = exact(torch.rand(4, 3, dtype=torch.float64) + 0.01)
        a, b = torch.rand(4, dtype=torch.float64) + 0.5, torch.rand(3, dtype=torch.float64) + 0.5
        fitted |= {"roots/one/in": a, "roots/one/out": b}
        root = torch.outer(a, b).flatten()
        p, h = torch.diag(root**2), turned / torch.outer(root, root)
        here, before = Source(optimizer="adam").unroll(fitted, {"one": "other"}, 3.0)
        left, g = torch.linalg.matrix_exp(-3.0 * h @ p), torch.randn(5, 4, 3, dtype=torch.float64)
        added = torch.linalg.solve(h, torch.eye(12, dtype=torch.float64) - left)
        torch.testing.assert_close(before("one", g).flatten(1), g.flatten(1) @ left.T, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(here("one", g).flatten(1), g.flatten(1) @ added.T, rtol=1e-9, atol=1e-9)

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        """A model after three steps of AdamW, with its state; and the state of its layer LAYER."""
        model, place = tiny_models.gpt2(), tmp_path_factory.mktemp("adam")
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for step in range(3):
            ids = torch.arange(5 + step, 25 + step)[None]
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.save_pretrained(place)
        tiny_models.tokenizer().save_pretrained(place)
        torch.save(optimizer.state_dict(), place / "optimizer.pt")
        return place, optimizer.state[dict(model.named_parameters())[f"transformer.h.{LAYER}.weight"]]["exp_avg_sq"]

    def test_its_state_is_that_of_the_checkpoint(self, folder):
        """V in its rank-one form over what three steps of it have seen, `1 - b2^3`: Adam's own correction."""
        place, square = folder
        lm = LM.load(place)
        rows, layers = tokenize(ROWS, lm.tokenizer), linear_layers(lm, LAYER)
        (name,), fitted = layers, Source(optimizer="adam").fit(lm, rows, layers, 0)
        second = square.sum(1)[:, None] * square.sum(0) / square.sum() / (1 - 0.999**3)
        torch.testing.assert_close(root_of(fitted, name) ** 2, second.rsqrt(), rtol=1e-3, atol=0.0)  # a root of float32 sums
        roots = {"/".join(key.split("/")[1:]): value for key, value in fitted.items() if key.startswith("roots/")}
        one = fit(lm, rows, layers, 0, fit_rows=99, value_rows=99, labels="data", eigenvalues="corrected", scales=roots)
        gradients = exact_gradients(lm, rows, layers).view(len(rows), *square.shape) * root_of(fitted, name)
        turned = one[f"{name}/in"].T @ gradients @ one[f"{name}/out"]
        expected = turned.square().mean(0)
        torch.testing.assert_close(one[f"{name}/values"], expected, rtol=1e-3, atol=1e-4 * expected.max().item())  # float32

    def test_through_an_index(self, folder, tmp_path):
        place, _ = folder
        how = {"checkpoints": [place, place], "learning_rates": [0.01, 0.02], "modules": "c_attn|c_fc"}
        index = build_index(None, ROWS, tmp_path / "i", Source(optimizer="adam"), **how)
        found = dense(index.query(ROWS[:3], None))
        assert (found[:, :3].diagonal() > 0).all()
        assert not np.allclose(found, dense(trace(None, ROWS, ROWS[:3], Source(), **how)), rtol=0.1)

    def test_the_loss_that_its_steps_take_off(self, folder, tmp_path):
        """TracIn of Adam: `sum_c lr_c g_q' P g_row`, P of each checkpoint's own state."""
        place, _ = folder
        lm = LM.load(place)
        rows, layers = tokenize(ROWS, lm.tokenizer), linear_layers(lm, LAYER)
        (name,), gradients = layers, exact_gradients(lm, rows, layers)
        roots = Source(optimizer="adam").fit(lm, rows, layers, 0)
        steps = gradients * root_of(roots, name).flatten().square()
        how = {"checkpoints": [place, place], "learning_rates": [0.01, 0.02], "modules": LAYER, "row_type": "float32"}
        index = build_index(
            None, ROWS, tmp_path / "i", TracIn(normalize="steps"), projection=Projection(kind="identity"), **how
        )
        expected = 0.03 * gradients[:3] @ steps.T
        np.testing.assert_allclose(dense(index.query(ROWS[:3], None)), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())

    def test_steps_without_a_state(self, run, tmp_path):
        with pytest.raises(LlmattrError, match=r"there is no optimiser state .*: bring it there .* or take --normalize none"):
            build_index(run[0], ROWS, tmp_path / "i", TracIn(normalize="steps"), modules=LAYER)

    def test_without_its_state_or_with_momentum(self, run):
        with pytest.raises(
            LlmattrError, match=r"there is no optimiser state .*optimizer.pt', which says how long Adam's steps were: bring it"
        ):
            trace(run[0], ROWS, ASKED, Source(optimizer="adam"), modules=LAYER)
        with pytest.raises(LlmattrError, match=r"momentum is of SGD, .*: leave out one of the two"):
            trace(run[0], ROWS, ASKED, Source(0.9, "adam"), modules=LAYER)


@pytest.fixture(scope="module")
def run():
    """Two models as checkpoints of one run."""
    first, models = tiny_models.gpt2(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        models.append(LM(type(first)(first.config).eval().double(), tiny_models.tokenizer(), f"{seed}"))
    return models


def found_by(run, rates, queries=ASKED, **options):
    return dense(trace(None, ROWS, queries, Source(**options), checkpoints=run, learning_rates=rates, modules=LAYER))


class TestCheckpoints:
    def test_scores_are_those_of_the_formula(self, run):
        """The query's gradient at the last model, through the last segment before it meets the first one's rows."""
        rates, sides, total = [0.5, 2.0], [], 0
        rows = tokenize(ROWS, run[0].tokenizer)
        tokens = np.mean([counted.sum() for counted in rows.counted])
        layers = [linear_layers(lm, LAYER) for lm in run]
        query = exact_gradients(run[1], tokenize([ASKED], run[1].tokenizer), layers[1])
        for lm, some, rate in reversed(list(zip(run, layers, rates, strict=True))):
            fitted, (name,) = Ekfac().fit(lm, rows, some, 0), some
            both = torch.kron(fitted[f"{name}/in"], fitted[f"{name}/out"])
            s, values = rate / tokens, fitted[f"{name}/values"].flatten()
            sides = query @ both * torch.where(values > 0, -torch.expm1(-s * values) / values, s) @ both.T
            total = total + sides @ exact_gradients(lm, rows, some).T
            query = query @ both * torch.exp(-s * values) @ both.T
        np.testing.assert_allclose(found_by(run, rates), total.numpy(), rtol=1e-8, atol=1e-10 * total.abs().max().item())

    def test_short_segments_are_products_of_gradients(self, run):
        """`R_c = s + O(s^2 H)` and `S_c = I + O(s H)`: the last model's query with each one's rows, times the rates."""
        rows, rates = tokenize(ROWS, run[0].tokenizer), [1e-7, 3e-7]
        tokens = np.mean([counted.sum() for counted in rows.counted])
        first, last = (exact_gradients(lm, rows, linear_layers(lm, LAYER)) for lm in run)
        query = exact_gradients(run[1], tokenize([ASKED], run[1].tokenizer), linear_layers(run[1], LAYER))
        expected = (query @ (rates[0] * first + rates[1] * last).T / tokens).numpy()
        np.testing.assert_allclose(found_by(run, rates), expected, rtol=0, atol=1e-5 * np.abs(expected).max())  # s H

    def test_what_one_long_segment_leaves_is_the_inverse(self, run):
        """`R = H^-1` where nothing is left of the start, whatever was before: EK-FAC without damping, of a full matrix."""
        lm = run[1]
        layers, rows = linear_layers(lm, LAYER), tokenize(ROWS, lm.tokenizer)
        fitted = Source().fit(lm, rows, layers, 0)
        name = next(iter(layers))
        fitted[f"{name}/values"] = fitted[f"{name}/values"].clamp(min=1e-3)
        groups, g = input_groups(lm, layers), exact_gradients(lm, rows, layers).view(-1, *fitted[f"{name}/values"].shape)
        here, before = Source().unroll(fitted, groups, 1e7)
        inverse = Ekfac(damping=0.0).transform(fitted, groups)(name, g)
        torch.testing.assert_close(here(name, g), inverse, rtol=1e-10, atol=0.0)
        assert not before(name, g).any()

    def test_queries_rows_and_tokens(self, run, tmp_path):
        index = build_index(None, ROWS, tmp_path / "i", Source(), checkpoints=run, learning_rates=[0.5, 2.0], modules=LAYER)
        both, one = dense(index.query([ASKED, ROWS[2]], None)), dense(index.query(ASKED, None))
        np.testing.assert_allclose(both[:1], one, rtol=1e-9)
        some = index.query(ASKED, None, rows=[3, 7])
        assert sorted(some.sources.ids) == ["3", "7"]
        np.testing.assert_allclose(np.sort(some.values[0]), np.sort(one[0, [3, 7]]), rtol=1e-9)
        parts = dense(index.query(ASKED, None, tokens=True))
        np.testing.assert_allclose(parts.sum(0), one[0], rtol=1e-8, atol=1e-10 * np.abs(one).max())
        again = open_index(tmp_path / "i", run).query(ASKED, None)
        np.testing.assert_allclose(dense(again), one, rtol=1e-12)
        with pytest.raises(LlmattrError, match="source has no score of a row for itself"):
            index.self_influence()

    def test_rates_that_nobody_knows_are_noted(self, run):
        with pytest.warns(
            LlmattrNote, match="source: no learning rates and steps are known, and 1 is taken .* --learning-rates"
        ):
            found = dense(trace(run[1], ROWS, ASKED, Source(), modules=LAYER))
        np.testing.assert_allclose(found, found_by(run[1:], [1.0]), rtol=1e-12)

    def test_models_that_are_of_no_run(self, tmp_path):
        one, tokenizer = LM(tiny_models.llama(), tiny_models.tokenizer(), "a"), tiny_models.metaspace()
        for other, field in ((LM(tiny_models.gpt2(), one.tokenizer), "layers"), (LM(one.model, tokenizer), "tokenizer_hash")):
            method = Source(parameters="blocks")
            with pytest.raises(LlmattrError, match=rf"are no checkpoints of one run \({field}"):
                build_index(None, ROWS, tmp_path / field, method, checkpoints=[one, other], learning_rates=[1.0, 1.0])

    def test_what_is_not_known_is_noted_once(self, run):
        with pytest.warns(LlmattrNote) as notes:
            trace(None, ROWS, ASKED, Source(), checkpoints=run, modules=LAYER)
        assert sum("1 is taken" in str(one.message) for one in notes) == 1

    @pytest.mark.parametrize(
        ("gave", "message"),
        [
            ((None, None), "mine: unroll gave a NoneType and no function"),
            (3, "mine: unroll gave a int and no tuple"),
            ((abs,), "mine: unroll gave 1 functions, and must give two"),
            ((lambda name, g: g[:, :1], lambda name, g: g), r"mine: unroll of the layer .* gave an array .* is needed"),
        ],
    )
    def test_what_is_no_pair_of_functions(self, run, gave, message):
        class Mine(Source):
            name = "mine"

            def unroll(self, fitted, groups, span):
                return gave

        with pytest.raises(LlmattrError, match=message):
            trace(run[0], ROWS, ASKED, Mine(), modules=LAYER)


class TestSpans:
    """What the learning rates of the steps between checkpoints add up to."""

    def folders(self, place, steps, logged):
        found = []
        for step in steps:
            folder = place / f"checkpoint-{step}"
            folder.mkdir()
            log = [{"step": at, "learning_rate": rate, "loss": 1.0} for at, rate in logged if at <= step]
            (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
            found.append(folder)
        return found

    def test_every_step_is_logged(self, tmp_path):
        logged = [(step, 0.1 / step) for step in range(1, 7)]
        found = spans_of(self.folders(tmp_path, [2, 6], logged), [])
        assert found == pytest.approx([0.1 + 0.05, 0.1 / 3 + 0.1 / 4 + 0.1 / 5 + 0.1 / 6])

    def test_between_logged_steps_lies_a_line(self, tmp_path):
        """A linear schedule, logged every 10 steps: `.01 (100 - t)`; before the first one the rate is the first one's."""
        logged = [(step, 0.01 * (100 - step)) for step in range(10, 101, 10)]
        first, second = spans_of(self.folders(tmp_path, [50, 100], logged), [])
        assert first == pytest.approx(sum(0.01 * (100 - max(step, 10)) for step in range(1, 51)))
        assert second == pytest.approx(sum(0.01 * (100 - step) for step in range(51, 101)))

    def test_given_rates_take_their_steps_or_are_sums(self, tmp_path):
        assert spans_of(self.folders(tmp_path, [20, 50], []), [0.1, 0.2]) == pytest.approx([2.0, 6.0])
        assert spans_of(["hub/one", "hub/two"], [0.1, 0.2]) == [0.1, 0.2]

    def test_what_nobody_knows(self, tmp_path):
        assert spans_of(self.folders(tmp_path, [20, 50], []), []) == [None, None]
        assert spans_of(["hub/one"], []) == [None]

    def test_what_is_known_of_some_is_used_of_none(self, tmp_path):
        """A rate of 0.001 beside one that is taken to be 1 would not count."""
        known = self.folders(tmp_path, [20], [(10, 0.1), (20, 0.1)])
        assert spans_of([*known, "hub/two"], []) == [None, None]
        with pytest.warns(LlmattrNote, match="known of 1 of 2 checkpoints, and none is used: give --learning-rates"):
            assert learning_rates_of([*known, "hub/two"], []) == [None, None]
        assert spans_of([*known, "hub/two"], [0.1, 0.2]) == [0.1, 0.2]  # sums, both

    @pytest.mark.parametrize("rates", [[float("nan"), 1.0], [-1.0, 1.0], [float("inf"), 1.0], [0.0, 0.0]])
    def test_rates_that_are_none(self, rates):
        with pytest.raises(LlmattrError, match=r"a learning rate must be 0 or more, not|every learning rate is 0"):
            learning_rates_of(["hub/one", "hub/two"], rates)

    def test_an_order_that_is_none(self, tmp_path):
        folders = self.folders(tmp_path, [20, 50], [])
        with pytest.raises(LlmattrError, match="in the order of their steps: step 20 comes after 50"):
            spans_of(folders[::-1], [0.1, 0.2])
