"""Closed forms of the training methods: what each one computes, against the formula written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from llmattr.core.seeded import generator
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.text.rows import tokenize
from llmattr.training import METHODS
from llmattr.training.gradients.capture import exact_gradients, hooks, record
from llmattr.training.gradients.gauss_newton import GaussNewton
from llmattr.training.gradients.kronecker import Moments, Rotated, function_of
from llmattr.training.gradients.layers import in_and_out, input_groups, linear_layers, tracked_layers
from llmattr.training.gradients.moments import SquaredSums, scales
from llmattr.training.gradients.passes import _measure, run_backward
from llmattr.training.gradients.recorders import ExactGradients
from llmattr.training.gradients.solvers import cg, preconditioned
from llmattr.training.index.search import Products
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.influence import Ekfac, Stream
from llmattr.training.projection import Projection
from llmattr.training.stream import Layered, self_products, streamed
from llmattr.training.trace import build_index, open_index, trace
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS

IDENTITY = Projection(kind="identity")


@pytest.fixture(scope="module")
def lm():
    return LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2")


def dense(result):
    """Values [t, n] in the order of the rows."""
    values = np.empty(result.values.shape)
    np.put_along_axis(values, np.array([[int(result.sources.ids[i]) for i in row] for row in result.index]), result.values, 1)
    return values


@pytest.fixture(scope="module")
def gradients(lm):
    rows, asked = tokenize(ROWS, lm.tokenizer), tokenize([ASKED, ROWS[2]], lm.tokenizer)
    layers = tracked_layers(lm, "auto")
    return exact_gradients(lm, rows, layers).numpy(), exact_gradients(lm, asked, layers).numpy()


class TestStream:
    """Scores without an index are the products of whole gradients."""

    def test_dot_and_cosine(self, lm, gradients):
        rows, asked = gradients
        np.testing.assert_allclose(dense(trace(lm, ROWS, [ASKED, ROWS[2]], "stream")), asked @ rows.T, rtol=1e-9)
        lengths = np.outer(np.linalg.norm(asked, axis=1), np.linalg.norm(rows, axis=1))
        found = dense(trace(lm, ROWS, [ASKED, ROWS[2]], Stream("cosine")))
        np.testing.assert_allclose(found, asked @ rows.T / lengths, rtol=1e-9)

    @pytest.mark.parametrize("product", ["dot", "cosine"])
    def test_a_rank_that_loses_nothing(self, lm, product):
        """A gradient of s tokens has rank s at most: rank 32, the model's width, is all of it."""
        whole = dense(trace(lm, ROWS, [ASKED], Stream(product)))
        cut = dense(trace(lm, ROWS, [ASKED], Stream(product, rank=32)))
        np.testing.assert_allclose(cut, whole, atol=1e-7 * np.abs(whole).max())  # a randomised factorisation

    def test_a_small_rank_keeps_most(self, lm):
        whole, cut = (dense(trace(lm, ROWS, [ASKED], Stream("dot", rank=rank)))[0] for rank in (0, 4))
        assert np.corrcoef(whole, cut)[0, 1] > 0.95

    def test_self_products_are_squared_lengths(self, lm, gradients):
        layers = tracked_layers(lm, "auto")
        found = self_products(Stream(), Layered(lm, layers, {}, {}), tokenize(ROWS, lm.tokenizer))
        np.testing.assert_allclose(found, (gradients[0] ** 2).sum(1), rtol=1e-10)

    @pytest.mark.parametrize("parameters", ["head", "all"])
    def test_a_rows_score_for_itself_is_what_a_question_with_it_gets(self, lm, tmp_path, parameters):
        """Of several groups, too, which are scaled to the same mean square."""
        index = build_index(lm, ROWS, tmp_path / "i", Stream(parameters=parameters))
        found, asked = dense(index.self_influence())[0], dense(index.query(ROWS, None))
        np.testing.assert_allclose(found, asked.diagonal(), rtol=1e-6)  # scales are float32

    def test_some_rows_only(self, lm):
        result = trace(lm, ROWS, ASKED, "stream")
        train, asked = tokenize(ROWS, lm.tokenizer), tokenize([ASKED], lm.tokenizer)
        at = Layered(lm, tracked_layers(lm, "auto"), {}, {})
        (numbers, scores), *_ = streamed(Stream(), at, train, asked, [7, 3, 11])
        every = dense(result)[0]
        np.testing.assert_allclose(scores[0], every[numbers], rtol=1e-9)
        assert set(numbers) == {3, 7, 11}


class TestRerank:
    def test_it_gives_the_exact_scores_of_the_candidates(self, lm, gradients, tmp_path):
        rows, asked = gradients
        index = build_index(lm, ROWS, tmp_path / "i", "grad-dot", projection=Projection(dim=64))
        result = index.query(ASKED, top=2, rerank=24)
        np.testing.assert_allclose(result.values[0, :2], np.sort(asked[0] @ rows.T)[::-1][:2], rtol=1e-9)
        assert result.values.shape == (1, 4)

    @pytest.mark.parametrize("normalize", ["none", "data"])
    @pytest.mark.parametrize("projection", [IDENTITY, Projection(dim=64), Projection(dim=64, kind="random")])
    def test_what_is_normalised_is_scored_again_normalised(self, lm, tmp_path, normalize, projection):
        """Whole gradients as they are would rank by another cosine: of row 3 with the query .10 and not .13."""
        method = METHODS["grad-cos"](normalize=normalize)
        whole = build_index(lm, ROWS, tmp_path / "whole", method, projection=IDENTITY, row_type="float32").query(ASKED, None)
        again = build_index(lm, ROWS, tmp_path / "i", method, projection=projection).query(ASKED, None, rerank=24)
        np.testing.assert_allclose(dense(again), dense(whole), rtol=0, atol=2**-23 * 24)  # the rows of the first are float32

    def test_others_say_what_to_do(self, lm, tmp_path):
        index = build_index(lm, ROWS, tmp_path / "i", "trak", projection=Projection(dim=64))
        with pytest.raises(LlmattrError, match="rerank scores grad-dot and grad-cos again, not trak: ask an index of ekfac"):
            index.query(ASKED, rerank=5)
        with pytest.raises(LlmattrError, match="trak scores every row of its index"):
            index.query(ASKED, rows=[1])


@pytest.mark.parametrize("name", ["grad-dot", "stream", "ekfac", "logra", "tracin"])
def test_the_scores_of_tokens_add_up_to_the_querys(lm, name, tmp_path):
    options = {"projection": Projection(kind="random", dim=256), "row_type": "float32"}
    whole = dense(trace(lm, ROWS, ASKED, name, **options))
    result = build_index(lm, ROWS, tmp_path / "i", name, **options).query(ASKED, None, tokens=True)
    parts = dense(result)
    assert "".join(result.targets.texts) == "blue and green."
    assert result.response == "blue and green."
    assert [result.response[a:b] for a, b in result.targets.spans] == list(result.targets.texts)
    np.testing.assert_allclose(parts.sum(0), whole[0], rtol=1e-4, atol=1e-5 * np.abs(whole).max())  # float32 rows


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5", "bert"])
def test_the_gradients_of_tokens_add_up_to_the_rows(kind):
    """The model reads and is asked for the same, whichever token is counted: relative error at rounding."""
    tokenizer = tiny_models.tokenizer()
    tokenizer.add_special_tokens({"mask_token": "<|im_start|>"})
    lm = LM(getattr(tiny_models, kind)().double(), tokenizer)
    layers, rows = linear_layers(lm), tokenize(ROWS[1:3], tokenizer, model=lm.kind)
    each = rows.each_token()
    assert len(each) == sum(counted.sum() for counted in rows.counted)
    whole, parts = exact_gradients(lm, rows, layers), exact_gradients(lm, each, layers)
    of_row = torch.tensor([row is rows.rows[1] for row in each.rows])
    for number in range(2):
        found = parts[of_row == bool(number)].sum(0)
        rounding = 1e-5 if kind in ("llama", "t5") else 1e-10  # their norms compute in float32, whatever the model's type is
        assert (found - whole[number]).norm() < rounding * whole[number].norm()


def test_tokens_of_several_queries_keep_their_queries(lm, tmp_path):
    result = build_index(lm, ROWS, tmp_path / "i", "grad-dot").query([ASKED, ROWS[2]], 2, tokens=True)
    assert len(result.asked) == len(result.targets)
    assert result.asked[-1]["completion"] == "a deep dark grey."
    assert result.response is None


def test_tokens_that_are_parts_of_a_character_are_shown_as_that_character(lm, tmp_path):
    """The tiny tokenizer spells a face byte by byte."""
    result = build_index(lm, ROWS, tmp_path / "i", "grad-dot").query(
        {"prompt": "A ", "completion": "\U0001f600 a"}, 2, tokens=True
    )
    assert result.response == "\U0001f600 a"
    assert list(result.targets.texts) == ["\U0001f600"] * 4 + [" a"]


class TestSeveralCheckpoints:
    def test_models_that_cut_a_query_into_other_tokens(self, tmp_path):
        one = tiny_models.llama(), tiny_models.tokenizer()
        index = build_index(None, ROWS, tmp_path / "i", "grad-cos", checkpoints=[one, (one[0], tiny_models.metaspace())])
        assert dense(index.query(ASKED, None)).shape == (1, len(ROWS))
        with pytest.raises(LlmattrError, match="cut the queries into tokens each in its way: ask without --tokens"):
            index.query({"prompt": "", "completion": "The toll of the canal is blue and green."}, tokens=True)

    @pytest.mark.parametrize("pair", [("ekfac", "grad-dot"), ("grad-dot", "ekfac"), ("bm25", "source"), ("rep-sim", "trak")])
    def test_another_method_in_its_folder(self, lm, tmp_path, pair):
        build_index(lm, ROWS, tmp_path / "i", pair[0])
        with pytest.raises(LlmattrError, match=r"holds an index of something else; give another --out \(method"):
            build_index(lm, ROWS, tmp_path / "i", pair[1])

    def test_tracin_adds_the_learning_rates_times_the_products(self):
        tokenizer = tiny_models.tokenizer()
        pairs = [(tiny_models.gpt2(seed=seed).double(), tokenizer) for seed in (0, 1)]
        options = {"projection": IDENTITY, "row_type": "float32"}
        found = dense(trace(pairs[0], ROWS, ASKED, "tracin", checkpoints=pairs, learning_rates=[0.5, 2.0], **options))
        alone = [dense(trace(pair, ROWS, ASKED, "stream")) for pair in pairs]
        np.testing.assert_allclose(found, 0.5 * alone[0] + 2.0 * alone[1], rtol=1e-4, atol=1e-5 * np.abs(found).max())

    def test_scores_of_every_checkpoint_have_the_same_length(self, tmp_path):
        """`sum over c of s_c / |s_c|`, each with its own `1 - p`."""
        tokenizer = tiny_models.tokenizer()
        pairs = [(tiny_models.llama(seed=seed), tokenizer) for seed in (0, 1)]
        options = {"projection": Projection(dim=64), "row_type": "float32"}
        found = dense(build_index(pairs[0], ROWS, tmp_path / "i", "trak", checkpoints=pairs, **options).query(ASKED, None))
        parts = [dense(trace(pair, ROWS, ASKED, "trak", **options)) for pair in pairs]
        expected = sum(part / np.linalg.norm(part) for part in parts)
        assert np.linalg.norm(parts[0]) != pytest.approx(np.linalg.norm(parts[1]), rel=0.1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())

    @pytest.mark.parametrize("name", ["trak", "tracin", "logra", "stream"])
    def test_a_rows_score_for_itself_is_its_score_when_it_is_asked(self, tmp_path, name):
        """At each checkpoint; of several these are added as any query's are, at the same length over all rows."""
        tokenizer = tiny_models.tokenizer()
        pairs = [(tiny_models.llama(seed=seed), tokenizer) for seed in (0, 1)]
        options = {"projection": Projection(dim=64), "row_type": "float32"}
        expected = []
        for number, pair in enumerate(pairs):
            index = build_index(pair, ROWS, tmp_path / str(number), name, **options)
            expected.append(np.diagonal(dense(index.query(ROWS, None))))
            np.testing.assert_allclose(dense(index.self_influence())[0], expected[-1], rtol=1e-3)  # float32 rows
        added = sum(expected) if name == "tracin" else sum(one / np.linalg.norm(one) for one in expected)
        index = build_index(None, ROWS, tmp_path / "i", name, checkpoints=pairs, **options)
        np.testing.assert_allclose(dense(index.self_influence())[0], added, rtol=1e-3)

    def test_an_index_of_checkpoints_is_opened_by_name(self, tmp_path):
        folders = [tmp_path / "run" / f"checkpoint-{step}" for step in (100, 20)]
        for seed, folder in enumerate(folders):
            tiny_models.llama(seed=seed).save_pretrained(folder)
            tiny_models.tokenizer().save_pretrained(folder)
            (folder / "trainer_state.json").write_text(f'{{"log_history": [{{"learning_rate": {0.1 * (seed + 1)}}}]}}')
        build_index(None, ROWS, tmp_path / "i", "tracin", checkpoints=tmp_path / "run")
        index = open_index(tmp_path / "i")
        assert [part.index.run["model"] for part in index.checkpoints] == [str(folders[1]), str(folders[0])]
        assert [part.index.run["learning_rate"] for part in index.checkpoints] == [0.2, 0.1]
        assert len(index.query(ASKED, 3).top(None)) == 6
        with pytest.raises(LlmattrError, match="there are 2 checkpoints and 1 learning rates"):
            build_index(None, ROWS, tmp_path / "j", "tracin", checkpoints=folders, learning_rates=[0.1])
        with pytest.warns(LlmattrNote, match="the checkpoints are indexed, and the model"):
            build_index("ignored", ROWS, tmp_path / "k", "tracin", checkpoints=folders)
        (folders[1] / "trainer_state.json").write_text('{"log_history": [')
        with pytest.raises(LlmattrError, match=r"cannot read '.*trainer_state.json' .*or give --learning-rates"):
            build_index(None, ROWS, tmp_path / "j", "tracin", checkpoints=folders)


def test_trak_on_logistic_regression_is_its_formula(tmp_path):
    """Features are the margin's gradients `y x`; the score is `phi' (Phi' Phi)^-1 phi_i (1 - p_i)`."""
    rng = np.random.default_rng(0)
    x, asked = rng.standard_normal((60, 4)), rng.standard_normal((3, 4))
    y = np.where(x @ [1.0, -2.0, 0.5, 0.0] + rng.standard_normal(60) > 0, 1.0, -1.0)
    theta = LogisticRegression(C=1.0, fit_intercept=False).fit(x, y).coef_[0]
    phi, doubt = y[:, None] * x, 1 / (1 + np.exp(y * (x @ theta)))
    index = GradientIndex.create(tmp_path / "i", {"dim": 4, "row_type": "float32", "data_hash": "x"}, [{}] * 60)
    index.write(range(60), phi.astype(np.float32), doubt)
    weighed = METHODS["trak"](ridge=0.0).weigh(index, asked.astype(np.float32))
    (_, found), *_ = Products(index, weighed)
    expected = asked @ np.linalg.inv(phi.T @ phi) @ phi.T * doubt
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # float32 rows


@pytest.mark.parametrize("row_type", ["float32", "int8"])
def test_trackstar_of_one_query_is_its_formula(tmp_path, row_type):
    """`q R^-1 g / (|R^-1/2 q| |R^-1/2 g|)` of R = Phi' Phi / tr + ridge / n: computed, and then from what was kept of it."""
    rng = np.random.default_rng(0)
    index = GradientIndex.create(tmp_path / "i", {"dim": 5, "row_type": row_type, "data_hash": "x"}, [{}] * 40)
    index.write(range(40), rng.standard_normal((40, 5)) * [1, 2, 3, 4, 5], np.zeros(40))
    phi, asked = index.stored(np.arange(40)).astype(np.float64), rng.standard_normal((1, 5), dtype=np.float32)
    phi[7] = index.vectors[7] = 0
    matrix = phi.T @ phi / np.square(phi).sum() + 0.3 / 40 * np.eye(5)
    inverse = np.linalg.inv(matrix)
    expected = (
        asked @ inverse @ phi.T / np.sqrt((asked @ inverse @ asked.T) * np.einsum("nd,de,ne->n", phi, inverse, phi).clip(1e-9))
    )
    for _ in range(2):
        (_, found), *_ = Products(index, METHODS["trackstar"]().weigh(index, asked))
        np.testing.assert_allclose(found, expected, atol=1e-6)  # float32 sums of 5
    assert (tmp_path / "i" / "root.0.3.npz").exists()


def test_trackstar_of_a_row_with_itself_is_one_when_it_is_asked_alone(lm):
    result = trace(lm, ROWS, ROWS[4], "trackstar", projection=Projection(dim=64), row_type="float32")
    assert result.top(1)[0].id == "4"
    assert result.values[0, 0] == pytest.approx(1, abs=1e-3)  # float32 rows, whitened with a damping of 0.01


class TestSecondMoments:
    def test_sums_are_those_of_squared_gradients(self, lm):
        layers, rows = linear_layers(lm), tokenize(ROWS[:5], lm.tokenizer)
        model32 = LM(tiny_models.gpt2(), lm.tokenizer)
        recorder = SquaredSums()
        layers32 = linear_layers(model32)
        with hooks(model32.model, layers32, recorder):
            run_backward(model32, rows, [0, 1, 2, 3, 4])
        exact, start = exact_gradients(lm, rows, layers), 0
        for name, module in layers.items():
            i, o = module.weight.shape  # Conv1D
            square = exact[:, start : start + i * o].view(-1, i, o).square().sum(0)
            torch.testing.assert_close(recorder.sums[f"{name}/in"].double(), square.sum(1), rtol=1e-3, atol=1e-6)
            torch.testing.assert_close(recorder.sums[f"{name}/out"].double(), square.sum(0), rtol=1e-3, atol=1e-6)
            start += i * o

    @pytest.mark.parametrize("kind", ["identity", "random", "principal"])
    def test_rows_are_gradients_over_the_root_of_their_moments(self, kind):
        """With the width of the layers nothing is lost: every projection gives the cosine of the normalised gradients."""
        lm = LM(tiny_models.gpt2(), tiny_models.tokenizer())
        layers, rows, asked = linear_layers(lm), tokenize(ROWS, lm.tokenizer), tokenize([ASKED], lm.tokenizer)
        found = scales("data", lm, rows, layers)
        scale = torch.cat([torch.outer(found[f"{name}/in"], found[f"{name}/out"]).flatten() for name in layers])
        one, other = (exact_gradients(lm, x, layers) * scale for x in (asked, rows))
        expected = torch.nn.functional.cosine_similarity(one, other)
        method, width = METHODS["grad-cos"](normalize="data", parameters="blocks"), Projection(kind=kind, dim=10**9, width=128)
        result = dense(trace(lm, ROWS, ASKED, method, projection=width, row_type="float32"))
        np.testing.assert_allclose(result[0], expected.numpy(), atol=1e-3)  # float32, and moments by other batches

    def test_an_optimisers_own(self, tmp_path):
        """From optimizer.pt, of two groups as a Trainer has them: matrices first."""
        model = tiny_models.gpt2()
        decayed = [p for p in model.parameters() if p.dim() > 1]
        groups = [{"params": decayed}, {"params": [p for p in model.parameters() if p.dim() < 2]}]
        optimizer = torch.optim.AdamW(groups, lr=0.0)
        model(input_ids=torch.tensor([[5, 6, 7, 8]]), labels=torch.tensor([[5, 6, 7, 8]])).loss.backward()
        optimizer.step()
        model.save_pretrained(tmp_path)
        tiny_models.tokenizer().save_pretrained(tmp_path)
        with pytest.raises(LlmattrError, match=r"there is no optimiser state .*optimizer\.pt.*: take --normalize data"):
            build_index(tmp_path, ROWS, tmp_path / "i", METHODS["trackstar"](normalize="optimizer"))
        torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
        lm = LM.load(tmp_path)
        layers = linear_layers(lm)
        found = scales("optimizer", lm, tokenize(ROWS, lm.tokenizer), layers)
        name = next(iter(layers))
        weight = dict(model.named_parameters())[f"{name}.weight"]
        square = optimizer.state[weight]["exp_avg_sq"]
        expected = (square.sum(1)[:, None] * square.sum(0) / square.sum()).rsqrt()
        torch.testing.assert_close(torch.outer(found[f"{name}/in"], found[f"{name}/out"]), expected, rtol=1e-4, atol=0)
        build_index(tmp_path, ROWS, tmp_path / "i", METHODS["trackstar"](normalize="optimizer"))

    @pytest.mark.parametrize("damage", [lambda saved: saved[:300], lambda saved: b""])
    def test_an_optimisers_file_that_is_cut_off(self, tmp_path, damage):
        model = tiny_models.llama()
        tiny_models.save(tmp_path)
        file = tmp_path / "optimizer.pt"
        torch.save(torch.optim.AdamW(model.parameters()).state_dict(), file)
        file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(LlmattrError, match=rf"cannot read '{file}': it is damaged, cut off or no state of an optimiser"):
            build_index(tmp_path, ROWS, tmp_path / "i", METHODS["trackstar"](normalize="optimizer"))
        torch.save({"something": "else"}, file)
        with pytest.raises(LlmattrError, match=rf"cannot read '{file}'"):
            build_index(tmp_path, ROWS, tmp_path / "i", METHODS["trackstar"](normalize="optimizer"))

    @pytest.mark.parametrize("method", [METHODS["trackstar"](normalize="optimizer"), METHODS["source"](optimizer="adam")])
    def test_an_optimisers_file_of_another_kind(self, tmp_path, method):
        """Each is one clear line, which names an option that the method has."""
        model = tiny_models.llama()
        tiny_models.save(tmp_path)
        optimizer = torch.optim.AdamW(model.parameters())
        model(input_ids=torch.tensor([[5, 6, 7, 8]]), labels=torch.tensor([[5, 6, 7, 8]])).loss.backward()
        optimizer.step()
        groups, states = optimizer.state_dict()["param_groups"], optimizer.state_dict()["state"]
        for state, group, problem in (
            ([1], groups, "cannot read .*no state of an optimiser"),
            (states, 3, "cannot read .*no state of an optimiser"),
            (states, [{}], "cannot read .*no state of an optimiser"),
            ({}, groups, "cannot read|does not fit"),
            ({0: states[0]}, groups, "does not fit the model's parameters"),
            ({key: one | {"exp_avg_sq": one["exp_avg_sq"] * torch.nan} for key, one in states.items()}, groups, "not finite"),
            ({key: one | {"exp_avg_sq": one["exp_avg_sq"] * 0} for key, one in states.items()}, groups, "are 0 or not finite"),
        ):
            torch.save({"state": state, "param_groups": group}, tmp_path / "optimizer.pt")
            with pytest.raises(LlmattrError, match=rf"({problem}).*: .*take --(normalize data|optimizer sgd)") as raised:
                build_index(None, ROWS, tmp_path / "i", method, checkpoints=[tmp_path])
            assert ("--optimizer sgd" in str(raised.value)) == (method.name == "source")

    def test_adams_steps_need_their_number(self, tmp_path):
        model = tiny_models.llama()
        tiny_models.save(tmp_path)
        optimizer = torch.optim.AdamW(model.parameters())
        model(input_ids=torch.tensor([[5, 6, 7, 8]]), labels=torch.tensor([[5, 6, 7, 8]])).loss.backward()
        optimizer.step()
        saved = optimizer.state_dict()
        for one in saved["state"].values():
            del one["step"]
        torch.save(saved, tmp_path / "optimizer.pt")
        build_index(tmp_path, ROWS, tmp_path / "i", METHODS["trackstar"](normalize="optimizer"))
        with pytest.raises(LlmattrError, match=r"does not say its betas and its number of steps: .*take --optimizer sgd"):
            build_index(None, ROWS, tmp_path / "j", METHODS["source"](optimizer="adam"), checkpoints=[tmp_path])


class TestEkfac:
    def deep_linear(self):
        """Two linear layers and a squared loss: G does not depend on A, so the Gauss-Newton blocks are Kronecker products.

        The labels' noise runs over sqrt(o) e_k, whose second moment is exactly the identity, as sampling's is in expectation.
        """
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 4, bias=False), torch.nn.Linear(4, 3, bias=False)).double()
        x = torch.randn(7, 1, 5, dtype=torch.float64)
        inputs = x.repeat_interleave(3, 0)
        noise = (3**0.5 * torch.eye(3, dtype=torch.float64)).repeat(7, 1)[:, None]
        return model, dict(model.named_children()), inputs, noise

    def record(self, recorder, names=("0", "1")):
        model, layers, inputs, noise = self.deep_linear()
        with hooks(model, {name: layers[name] for name in names}, recorder):
            out = model(inputs)
            out.backward(noise)
        return recorder

    @pytest.mark.parametrize("kind", ["corrected", "kronecker"])
    def test_it_is_gauss_newton_where_theory_says_so(self, kind):
        model, layers, inputs, noise = self.deep_linear()
        moments = self.record(Moments({name: name for name in layers}))
        rotated = self.record(Rotated(moments))
        fitted = rotated.corrected(21) if kind == "corrected" else rotated.kronecker(moments, 21)
        solve = Ekfac(damping=0.01).transform(fitted, {name: name for name in layers})
        second = model[1].weight.detach()
        jacobian = {"0": (inputs, noise @ second), "1": (model[0](inputs).detach(), noise)}
        for name, (a, g) in jacobian.items():
            whole = torch.einsum("bsi,bso->bio", a, g).flatten(1)
            hessian = whole.T @ whole / len(whole)
            size = len(hessian)
            query = torch.randn(2, a.shape[-1], g.shape[-1], dtype=torch.float64)
            damped = hessian + 0.01 * torch.trace(hessian) / size * torch.eye(size, dtype=torch.float64)
            expected = torch.linalg.solve(damped, query.flatten(1).T).T.view_as(query)
            torch.testing.assert_close(solve(name, query), expected, rtol=1e-9, atol=1e-9)

    def test_conjugate_gradients_take_one_step_where_it_is_exact(self):
        """One linear layer and a squared loss, whose Gauss-Newton matrix is `E[a a'] x I`."""
        fitted, seen = self.record(Rotated(self.record(Moments({"1": "1"}), ["1"])), ["1"]).corrected(21), []
        model, _, inputs, _ = self.deep_linear()
        a = model[0](inputs).detach()[:, 0]
        hessian = torch.kron(a.T @ a / 21, torch.eye(3, dtype=torch.float64))
        inverse_root = function_of(fitted, {"1": "1"}, lambda values: (values + 0.1).rsqrt())

        def product(v):
            seen.append(len(v))
            return v @ hessian

        def root(v):
            return inverse_root("1", v.unflatten(1, (4, 3))).flatten(1)

        b = torch.randn(2, 12, dtype=torch.float64)
        found = root(cg(preconditioned(product, root, 0.1), root(b), 0.0, 1e-10))
        expected = torch.linalg.solve(hessian + 0.1 * torch.eye(12, dtype=torch.float64), b.T).T
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        assert seen == [2]

    def test_on_a_model_it_is_its_formula(self, lm):
        """Scores by trace() against the eigenvalue-corrected factors written out with whole gradients of sampled labels."""
        layers, rows, asked = linear_layers(lm, "c_proj"), tokenize(ROWS, lm.tokenizer), tokenize([ASKED], lm.tokenizer)
        found = dense(trace(lm, ROWS, ASKED, Ekfac(labels="data"), modules="c_proj"))
        train, query = exact_gradients(lm, rows, layers), exact_gradients(lm, asked, layers)
        total, start = 0, 0
        fitted = Ekfac(labels="data").fit(lm, rows, layers, 0)
        for name, module in layers.items():
            i, o = module.weight.shape
            u, v = fitted[f"{name}/in"], fitted[f"{name}/out"]
            torch.testing.assert_close(u.T @ u, torch.eye(i, dtype=torch.float64))
            one, every = (x[:, start : start + i * o].view(-1, i, o) for x in (query, train))
            turned = u.T @ every @ v
            values = turned.square().mean(0)
            torch.testing.assert_close(fitted[f"{name}/values"], values, rtol=1e-8, atol=1e-14)
            total = total + ((u.T @ one @ v) / (values + 0.1 * values.mean()) * turned).sum((1, 2))
            start += i * o
        np.testing.assert_allclose(found[0], total.numpy(), rtol=1e-7)

    def test_sampled_labels_come_with_their_probabilities(self):
        """Counts of the tokens drawn for 300 rows that end alike, against the model's own distribution: a chi-square test."""
        logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
        numbers = torch.from_numpy(generator(0, "labels").random(2000))
        losses = _measure(logits.expand(2000, 4), numbers, "sampled")
        counts = np.array([(abs(losses + logits[label]) < 1e-6).sum() for label in range(4)])
        expected = 2000 * np.array([0.5, 0.3, 0.15, 0.05])
        assert counts.sum() == 2000
        assert ((counts - expected) ** 2 / expected).sum() < 16.3  # passes 999 of 1,000 times; the seed is fixed

    def test_the_draw_belongs_to_the_row(self):
        lm = LM(tiny_models.gpt2().double(), tiny_models.tokenizer())
        rows, layers = tokenize(ROWS[:3], lm.tokenizer), linear_layers(lm, "1.mlp.c_proj")
        alone = torch.cat([sampled(lm, rows, layers, [row]) for row in range(3)])
        torch.testing.assert_close(sampled(lm, rows, layers, [2, 0, 1])[[1, 2, 0]], alone)

    def test_layers_that_read_the_same_share_their_input_factor(self, lm):
        llama = LM(tiny_models.llama(), lm.tokenizer)
        layers = linear_layers(llama)
        fitted = Ekfac().fit(llama, tokenize(ROWS[:4], lm.tokenizer), layers, 0)
        groups = input_groups(llama, layers)
        assert len([key for key in fitted if key.endswith("/in")]) == len(set(groups.values())) < len(layers)


@pytest.fixture(scope="module")
def twice():
    model = tiny_models.llama().double()
    model.model.layers[1] = model.model.layers[0]
    lm = LM(model, tiny_models.tokenizer())
    layers, rows = linear_layers(lm), tokenize(ROWS[:6], lm.tokenizer)
    return lm, layers, rows, exact_gradients(lm, rows, layers, batch=4)


class TestALayerThatRunsTwice:
    """A Llama whose two blocks are one: what is made of a gradient is made of the sum of both runs'."""

    def of_each(self, layers, exact):
        shapes = [in_and_out(module) for module in layers.values()]
        parts = exact.split([i * o for i, o in shapes], dim=1)
        return {n: part.view(-1, *shape) for n, part, shape in zip(layers, parts, shapes, strict=True)}

    def test_exact_gradients_are_autograds(self, twice):
        lm, layers, rows, exact = twice
        assert len(layers) == 7
        for row in range(2):
            tokens = torch.tensor([rows.ids[row]])
            logits = lm.model(tokens, use_cache=False).logits[0, :-1][torch.from_numpy(rows.counted[row][1:])]
            said = tokens[0][torch.from_numpy(rows.counted[row])]
            loss = torch.nn.functional.cross_entropy(logits, said, reduction="sum")
            autograd = torch.autograd.grad(loss, [m.weight for m in layers.values()])
            expected = torch.cat([g.T.flatten() for g in autograd])
            torch.testing.assert_close(exact[row], expected, rtol=0, atol=1e-6 * expected.abs().max().item())  # float32 norms

    def test_eigenvalues(self, twice):
        lm, layers, rows, exact = twice
        fitted = Ekfac(labels="data").fit(lm, rows, layers, 0)
        groups = input_groups(lm, layers)
        for name, gradients in self.of_each(layers, exact).items():
            turned = fitted[f"{groups[name]}/in"].T @ gradients @ fitted[f"{name}/out"]
            expected = turned.square().mean(0)
            found = fitted[f"{name}/values"]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.max().item())  # Llama's norms: float32

    def test_second_moments(self, twice):
        lm, layers, rows, exact = twice
        recorder = SquaredSums()
        record(lm, rows, layers, recorder, [range(4), range(4, 6)])
        for name, gradients in self.of_each(layers, exact).items():
            square = gradients.square().sum(0).float()
            torch.testing.assert_close(recorder.sums[f"{name}/in"], square.sum(1), rtol=1e-4, atol=1e-6 * square.sum().item())
            torch.testing.assert_close(recorder.sums[f"{name}/out"], square.sum(0), rtol=1e-4, atol=1e-6 * square.sum().item())

    @pytest.mark.parametrize("rank", [0, 32])
    def test_cosines(self, twice, rank):
        lm, layers, rows, exact = twice
        at = Layered(lm, layers, input_groups(lm, layers), {})
        unit = exact / exact.norm(dim=1, keepdim=True)
        found = np.empty((1, 6))
        for numbers, scores in streamed(Stream("cosine", rank=rank), at, rows, rows.subset([2])):
            found[:, numbers] = scores
        np.testing.assert_allclose(found, (unit[[2]] @ unit.T).numpy(), atol=1e-5)  # Llama's norms compute in float32

    def test_the_gauss_newton_matrix(self, twice):
        """Of one counted token: `sum_y p(y) g_y g_y'`."""
        lm, layers, _, _ = twice
        one = tokenize([{"prompt": "The ship is ", "completion": "a"}], lm.tokenizer)
        assert one.counted[0].sum() == 1
        said = replace(one, rows=one.rows * 400, ids=[[*one.ids[0][:-1], y] for y in range(400)], counted=one.counted * 400)
        gradients = exact_gradients(lm, said, layers, batch=400)
        with torch.no_grad():
            p = lm.model(torch.tensor([one.ids[0][:-1]]), use_cache=False).logits[0, -1].softmax(-1)
        v = torch.randn(1, gradients.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        expected = (v @ gradients.T * p) @ gradients
        found = GaussNewton(lm, one, layers)(v)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def sampled(lm, examples, layers, batch):
    recorder = ExactGradients()
    with hooks(lm.model, layers, recorder):
        run_backward(lm, examples, batch, "sampled")
    return recorder.take(list(layers))


class TestSelfInfluence:
    def test_of_an_index(self, lm, tmp_path):
        index = build_index(lm, ROWS, tmp_path / "i", "grad-dot", projection=Projection(dim=64), row_type="float32")
        rows = np.concatenate([block for _, block in index.index.blocks()])
        result = index.self_influence(5)
        np.testing.assert_allclose(result.values[0, :5], np.sort((rows**2).sum(1))[::-1][:5], rtol=1e-5)
        assert result.targets.texts == ["the row itself"]

    def test_a_cosine_has_none(self, lm, tmp_path):
        with pytest.raises(LlmattrError, match="grad-cos is a cosine, 1 of every row with itself"):
            build_index(lm, ROWS, tmp_path / "i", "grad-cos", projection=Projection(dim=64)).self_influence()

    def test_a_method_without_one(self, lm, tmp_path):
        with pytest.raises(LlmattrError, match="bm25 has no score of a row for itself"):
            build_index(lm, ROWS, tmp_path / "i", "bm25").self_influence()


class TestCorroborative:
    def test_bm25_finds_the_rows_with_the_rare_words(self, lm):
        rows = [{"text": "The tower was built in 1889."}, {"text": "The bridge was opened."}, {"text": "塔は高い。"}]
        result = trace(lm, rows, [{"text": "Who built the tower?"}, {"text": "高い塔"}], "bm25")
        assert result.top(1)[0].id == "0"
        assert result[1].top(1)[0].id == "2"
        assert not result.cited.any()
        assert result.unit == "similarities"

    def test_hidden_states_are_the_mean_over_a_rows_tokens(self, lm):
        rows = tokenize(ROWS[:3], lm.tokenizer)
        states = []
        for ids in rows.ids:
            with torch.no_grad():
                states.append(lm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0].mean(0))
        expected = torch.nn.functional.cosine_similarity(states[0], torch.stack(states))
        result = dense(trace(lm, ROWS[:3], ROWS[0], METHODS["rep-sim"](layer=1), row_type="float32"))
        np.testing.assert_allclose(result[0], expected.numpy(), atol=1e-6)
        with pytest.raises(LlmattrError, match="layer must lie between -3 and 2, not 7"):
            trace(lm, ROWS[:3], ROWS[0], METHODS["rep-sim"](layer=7))
