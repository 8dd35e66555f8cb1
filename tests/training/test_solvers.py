"""Solvers of damped systems and products with the Gauss-Newton matrix, against closed forms, dense matrices and curvlinops."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmattr.core.method import check_options
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.text.rows import Examples, sample, tokenize
from llmattr.training.gradients import gauss_newton
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.flat import by_layer
from llmattr.training.gradients.gauss_newton import GaussNewton
from llmattr.training.gradients.kronecker import function_of
from llmattr.training.gradients.layers import input_groups, linear_layers
from llmattr.training.gradients.solvers import (
    arnoldi,
    cg,
    largest_eigenvalue,
    lissa,
    mean_eigenvalue,
    preconditioned,
    spanned_inverse,
)
from llmattr.training.methods import iterative
from llmattr.training.methods.influence import Ekfac
from llmattr.training.methods.iterative import Arnoldi, Astra, Cg, Lissa
from tests import tiny_models

COLOURS = ["red", "blue and green", "a deep dark grey"]
ROWS = [{"prompt": f"Ship {i} is ", "completion": f"{colour}."} for i, colour in enumerate(COLOURS)]
NARROW = {"llama": {"hidden_size": 16, "head_dim": 4}, "gpt2": {"n_embd": 16}}
FEW = {"llama": r"1\.self_attn\.k_proj|0\.self_attn\.v_proj", "gpt2": r"h\.1\.attn\.c_proj"}  # 256 weights
# Llama's norms compute in float32 whatever the model's type: its derivatives are right to about 1e-6.
TIGHT = {"llama": 1e-5, "gpt2": 1e-10}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Matrices are so small that threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spd(d=40, rank=None, seed=0):
    """A random positive (semi)definite matrix with eigenvalues between 0.01 and 10."""
    torch.manual_seed(seed)
    vectors = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0]
    values = torch.logspace(1, -2, d, dtype=torch.float64)
    values[rank or d :] = 0.0
    return vectors * values @ vectors.T


def direct(matrix, b, damping):
    return torch.linalg.solve(matrix + damping * torch.eye(len(matrix), dtype=matrix.dtype), b.T).T


def full_arnoldi(product, b, damping):
    start = torch.randn(b.shape[1], dtype=b.dtype, generator=torch.Generator().manual_seed(1))
    return spanned_inverse(*arnoldi(product, start, len(start), len(start)), b, damping)


class TestSolvers:
    @pytest.mark.parametrize("rank", [None, 13])
    def test_cg_and_full_arnoldi_are_the_direct_solution(self, rank):
        matrix = spd(rank=rank)
        b = torch.randn(5, 40, dtype=torch.float64)
        b[3] = 0.0
        expected = direct(matrix, b, 0.1)  # a condition of 100: every solver is right to about 1e-13
        for found in (cg(lambda v: v @ matrix, b, 0.1, 1e-12), full_arnoldi(lambda v: v @ matrix, b, 0.1)):
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)

    def test_cg_stops_each_row_at_its_own_residual_and_multiplies_it_no_more(self):
        matrix, seen = spd(), []
        vectors = torch.linalg.eigh(matrix).eigenvectors
        b = torch.stack([7.0 * vectors[:, 4], vectors[:, 3] + vectors[:, 20], torch.randn(40, dtype=torch.float64)])

        def product(v):
            seen.append(len(v))
            return v @ matrix

        x = cg(product, b, 0.1, 1e-6)
        residual = (b - x @ matrix - 0.1 * x).norm(dim=1) / b.norm(dim=1)
        assert (residual <= 1e-6 * (1 + 1e-8)).all()  # the residual that is kept up to date is the true one to rounding
        assert seen[:3] == [3, 2, 1]  # as many steps as b has eigenvalues

    @pytest.mark.parametrize("tolerance", [1e-8, 0.0])
    def test_cg_that_is_not_done_notes_its_residual(self, tolerance):
        b = torch.ones(2, 40, dtype=torch.float64)
        with pytest.warns(
            LlmattrNote, match=r"stopped after 3 steps, with a residual of up to \d\.\de[+-]\d\d of .* 2 of 2 rows"
        ):
            cg(lambda v: v @ spd(), b, 0.01, tolerance, 3)

    def test_cg_refuses_what_is_not_positive(self):
        with pytest.raises(LlmattrError, match="not positive along a gradient: give a larger damping"):
            cg(lambda v: -v, torch.ones(1, 3), 0.5)
        with pytest.raises(LlmattrError, match="not positive"):
            cg(lambda v: v * torch.nan, torch.ones(1, 3), 0.5)

    @pytest.mark.parametrize(("steps", "scale"), [(1, 12.0), (30, 12.0), (200, 0.0)])
    @pytest.mark.filterwarnings("ignore::llmattr.errors.LlmattrNote")
    def test_the_residual_of_lissa(self, steps, scale):
        matrix = spd()
        b = torch.randn(3, 40, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(matrix + 0.1 * torch.eye(40, dtype=torch.float64))
        x = lissa(lambda v: v @ matrix, b, 0.1, scale, steps)
        used = scale or 1.1 * (largest_eigenvalue(lambda v: v @ matrix, b) + 0.1)
        expected = b @ vectors * (1 - values / used) ** (steps + 1) @ vectors.T
        torch.testing.assert_close(b - x @ matrix - 0.1 * x, expected, rtol=1e-10, atol=1e-12)

    def test_lissa_converges_or_says_that_it_did_not(self):
        matrix = spd()
        b = torch.randn(3, 40, dtype=torch.float64)
        found = lissa(lambda v: v @ matrix, b, 0.1, steps=2500)  # (1 - 0.11 / 11.1)^2500 = 1.6e-11
        torch.testing.assert_close(found, direct(matrix, b, 0.1), rtol=1e-8, atol=1e-8)
        with pytest.warns(LlmattrNote, match=r"cut off after 20 steps at a residual of \d\d% of the gradient"):
            lissa(lambda v: v @ matrix, b, 0.1, steps=20)

    def test_lissa_that_diverges_is_refused(self):
        matrix = spd()
        b = torch.randn(3, 40, dtype=torch.float64)
        with pytest.raises(LlmattrError, match=r"diverges with the scale 4: it must be above half of the largest .* or 0 to"):
            lissa(lambda v: v @ matrix, b, 0.1, scale=4.0)
        with pytest.warns(LlmattrNote):  # half of 10.1 is enough
            lissa(lambda v: v @ matrix, b, 0.1, scale=5.1, steps=20)

    @pytest.mark.parametrize("steps", [1, 4, 9])
    @pytest.mark.filterwarnings("ignore::llmattr.errors.LlmattrNote")
    def test_preconditioned_cg_takes_the_steps_of_saads_algorithm(self, steps):
        """Algorithm 9.1 (Iterative Methods for Sparse Linear Systems, 2003) with `P = R R`, written out."""
        matrix, root = spd() + 0.1 * torch.eye(40, dtype=torch.float64), spd(seed=1) + torch.eye(40, dtype=torch.float64)
        b = torch.randn(40, dtype=torch.float64)
        x, r = torch.zeros_like(b), b
        z = p = root @ root @ r
        for _ in range(steps):
            step = (r @ z) / (p @ matrix @ p)
            x, after = x + step * p, r - step * matrix @ p
            solved = root @ root @ after
            p = solved + (after @ solved) / (r @ z) * p
            r, z = after, solved
        split = preconditioned(lambda v: v @ spd(), lambda v: v @ root, 0.1)
        found = cg(split, b[None] @ root, 0.0, 0.0, steps) @ root
        torch.testing.assert_close(found[0], x, rtol=1e-9, atol=1e-9)  # a condition of 100: rounding of 1e-14

    def test_preconditioned_series_takes_the_steps_of_richardson(self):
        """`x += P (b - A x) / s` from `x = P b / s` on, written out."""
        matrix, root = spd() + 0.1 * torch.eye(40, dtype=torch.float64), 0.2 * spd(seed=1) + torch.eye(40, dtype=torch.float64)
        b = torch.randn(2, 40, dtype=torch.float64)
        x = b @ root @ root / 60.0
        for _ in range(5):
            x = x + (b - x @ matrix) @ root @ root / 60.0
        with pytest.warns(LlmattrNote, match="series was cut off after 5 steps"):
            found = lissa(preconditioned(lambda v: v @ spd(), lambda v: v @ root, 0.1), b @ root, 0.0, 60.0, 5) @ root
        torch.testing.assert_close(found, x, rtol=1e-12, atol=1e-12)

    def test_a_near_inverse_takes_fewer_products(self):
        """Eigenvalues of P A from 1 to 2 in place of 0.11 to 10.1: cg's error falls by .17 a step and not by .81 (or less)."""
        matrix, counts = spd() + 0.1 * torch.eye(40, dtype=torch.float64), []
        values, vectors = torch.linalg.eigh(matrix)
        torch.manual_seed(2)
        b, near = torch.randn(3, 40, dtype=torch.float64), values / (1 + torch.rand(40, dtype=torch.float64))
        root = vectors * near.rsqrt() @ vectors.T
        for turned in (root, torch.eye(40, dtype=torch.float64)):
            seen = []
            split = preconditioned(lambda v, seen=seen: (seen.append(1), v @ spd())[1], lambda v, by=turned: v @ by, 0.1)
            found = cg(split, b @ turned, 0.0, 1e-9) @ turned
            torch.testing.assert_close(found, direct(spd(), b, 0.1), rtol=1e-6, atol=1e-6)
            counts.append(len(seen))
        assert counts[0] <= 13 < counts[1]  # 2 x .172^k < 1e-9 x 1.5 at k = 13

    def test_ritz_pairs_are_the_leading_eigenpairs(self):
        matrix = spd()
        values, vectors = arnoldi(lambda v: v @ matrix, torch.ones(40, dtype=torch.float64), 25, 5)
        expected = torch.linalg.eigh(matrix)
        torch.testing.assert_close(values, expected.eigenvalues.flip(0)[:5], rtol=1e-8, atol=0.0)
        overlaps = (vectors @ expected.eigenvectors.flip(1)[:, :5]).abs()
        torch.testing.assert_close(overlaps, torch.eye(5, dtype=torch.float64), rtol=0.0, atol=1e-5)

    def test_arnoldi_goes_on_in_an_exhausted_space(self):
        matrix = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0, 0.0, 0.0], dtype=torch.float64))
        start = torch.tensor([1.0, 0, 0, 0, 0, 0], dtype=torch.float64)  # an eigenvector: one step exhausts its space
        values, vectors = arnoldi(lambda v: v @ matrix, start, 6, 4)
        assert values.tolist() == [3.0, 3.0, 3.0, 1.0]
        torch.testing.assert_close(vectors @ vectors.T, torch.eye(4, dtype=torch.float64))
        with pytest.raises(LlmattrError, match="keep fewer"):
            spanned_inverse(*arnoldi(lambda v: v @ matrix, start, 6, 6), start[None], 0.0)

    def test_eigenvalues_are_estimated(self):
        matrix = spd(d=200)
        like = torch.zeros(1, 200, dtype=torch.float64)
        mean = mean_eigenvalue(lambda v: v @ matrix, like, probes=64)
        error = (2 / 64) ** 0.5 * matrix.norm().item() / 200
        assert abs(mean - matrix.trace().item() / 200) < 4 * error
        assert mean == mean_eigenvalue(lambda v: v @ matrix, like, probes=64)
        assert 9.5 < largest_eigenvalue(lambda v: v @ matrix, like) <= 10 * (1 + 1e-12)  # a Rayleigh quotient
        assert largest_eigenvalue(lambda v: 0 * v, like) == 0.0

    @pytest.mark.parametrize("damping", [0.0, 2.5])
    def test_influence_is_leave_one_out_but_for_the_leverage(self, damping):
        """Regression: beta - beta_without_i = (X'X + damping)^-1 x_i e_i / (1 - h_i); the influence leaves out the 1 - h_i."""
        torch.manual_seed(0)
        x, y = torch.randn(30, 6, dtype=torch.float64), torch.randn(30, dtype=torch.float64)

        def fit(x, y):
            return torch.linalg.solve(x.T @ x + damping * torch.eye(6, dtype=x.dtype), x.T @ y)

        beta = fit(x, y)
        gradients = x * (y - x @ beta)[:, None]
        influence = cg(lambda v: v @ x.T @ x, gradients, damping, 1e-14)
        leverage = (x * cg(lambda v: v @ x.T @ x, x, damping, 1e-14)).sum(1)
        others = [torch.arange(30) != i for i in range(30)]
        exact = torch.stack([beta - fit(x[other], y[other]) for other in others])
        torch.testing.assert_close(influence, (1 - leverage)[:, None] * exact, rtol=1e-10, atol=1e-12)


def narrow(name):
    """A tiny model with half of its width."""
    whole = getattr(tiny_models, name)()
    whole.config.update(NARROW[name])
    torch.manual_seed(0)
    return type(whole)(whole.config).eval().double()


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def small(request):
    """A narrow model, its examples, two of its layers, and their dense Gauss-Newton matrix by products."""
    lm = LM(narrow(request.param), tiny_models.tokenizer(), request.param)
    examples, layers = tokenize(ROWS, lm.tokenizer), linear_layers(lm, FEW[request.param])
    d = sum(module.weight.numel() for module in layers.values())
    return lm, examples, layers, GaussNewton(lm, examples, layers)(torch.eye(d, dtype=torch.float64))


def assert_near(found, expected, name):
    torch.testing.assert_close(found, expected, rtol=0.0, atol=TIGHT[name] * expected.abs().max().item())


def logits_of(lm, layers, ids, counted):
    """A row's logits at its counted tokens, as a function of the flat weights; without padding."""

    def function(flat):
        weights = {}
        for (name, module), part in zip(layers.items(), flat.split([m.weight.numel() for m in layers.values()]), strict=True):
            if isinstance(module, torch.nn.Linear):
                weights[f"{name}.weight"] = part.view(module.in_features, module.out_features).T
            else:
                weights[f"{name}.weight"] = part.view(module.weight.shape)
        logits = torch.func.functional_call(lm.model, weights, (torch.tensor([ids]),), {"use_cache": False}).logits
        return logits[0, :-1][torch.from_numpy(counted[1:])]

    return function


class Counted(torch.nn.Module):
    """A model as curvlinops takes it: from tokens and places to logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x["ids"], use_cache=False).logits[0, :-1][x["at"]]


class TestGaussNewton:
    def test_it_is_the_dense_matrix(self, small):
        """`J' H J` with J by forward differentiation and H written out."""
        lm, examples, layers, dense = small
        turned = [m.weight.detach().T if isinstance(m, torch.nn.Linear) else m.weight.detach() for m in layers.values()]
        flat, expected = torch.cat([w.flatten() for w in turned]), torch.zeros_like(dense)
        with sdpa_kernel(SDPBackend.MATH):
            for ids, counted in zip(examples.ids, examples.counted, strict=True):
                function = logits_of(lm, layers, ids, counted)
                jacobian = torch.autograd.functional.jacobian(function, flat, vectorize=True, strategy="forward-mode")
                for p, part in zip(function(flat).detach().softmax(-1), jacobian, strict=True):
                    expected += part.T @ (torch.diag(p) - torch.outer(p, p)) @ part / len(examples)
        assert_near(dense, expected, lm.name)

    def test_it_is_that_of_curvlinops(self, small):
        curvlinops = pytest.importorskip("curvlinops")
        lm, examples, layers, dense = small
        data = [
            ({"ids": torch.tensor([ids]), "at": torch.from_numpy(counted[1:]).nonzero()[:, 0]}, torch.tensor(ids)[counted])
            for ids, counted in zip(examples.ids, examples.counted, strict=True)
        ]
        with sdpa_kernel(SDPBackend.MATH):
            theirs = curvlinops.GGNLinearOperator(
                Counted(lm.model), torch.nn.CrossEntropyLoss(reduction="sum"), [m.weight for m in layers.values()], data,
                batch_size_fn=lambda x: 1, check_deterministic=False,
            )  # fmt: skip
            v = torch.randn(3, len(dense), dtype=torch.float64)
            split = GaussNewton(lm, examples, layers)._split(v)
            found = theirs @ [part.movedim(0, -1) for part in split]
        joined = GaussNewton(lm, examples, layers)._join([part.movedim(-1, 0) for part in found], v)
        assert_near(v @ dense, joined / len(examples), lm.name)

    def test_it_is_symmetric_and_positive(self, small):
        lm, _, _, dense = small
        assert_near(dense, dense.T, lm.name)
        values = torch.linalg.eigvalsh(dense)
        assert values[0] > -TIGHT[lm.name] * values[-1]

    def test_batches_padding_and_chunks_of_rows_change_nothing(self, small, monkeypatch):
        lm, examples, layers, dense = small
        v = torch.randn(3, len(dense), dtype=torch.float64)
        assert len({len(ids) for ids in examples.ids}) == 3
        for tokens in (1, 10**6):
            assert_near(GaussNewton(lm, examples, layers, tokens)(v), v @ dense, lm.name)
        monkeypatch.setattr(gauss_newton, "HEAD_LOGITS", 1)
        assert_near(GaussNewton(lm, examples, layers)(v), v @ dense, lm.name)

    @pytest.mark.parametrize("name", ["llama", "gpt2"])
    def test_it_is_the_fisher_matrix_in_the_layout_of_the_gradients(self, name):
        """For one counted token it is `sum_y p(y) g_y g_y'`, over all layers and every token y that there is."""
        lm = LM(narrow(name), tiny_models.tokenizer(), name)
        layers, one = linear_layers(lm), tokenize([{"prompt": "The ship is ", "completion": "a"}], lm.tokenizer)
        assert one.counted[0].sum() == 1
        said = [[*one.ids[0][:-1], y] for y in range(400)]
        gradients = exact_gradients(lm, Examples(one.rows * 400, said, one.counted * 400, one.loss), layers, batch=400)
        with torch.no_grad():
            p = lm.model(torch.tensor([one.ids[0][:-1]])).logits[0, -1].softmax(-1)
        v = torch.randn(2, gradients.shape[1], dtype=torch.float64)
        assert_near(GaussNewton(lm, one, layers)(v), (v @ gradients.T * p) @ gradients, name)

    def test_the_model_is_left_as_it_was_and_the_type_is_that_of_v(self, small):
        lm, examples, layers, dense = small
        before = {name: value.clone() for name, value in lm.model.state_dict().items()}
        assert GaussNewton(lm, examples, layers)(torch.ones(1, len(dense))).dtype == torch.float32
        assert all(torch.equal(value, before[name]) for name, value in lm.model.state_dict().items())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in lm.model.parameters())


class TestInverse:
    @pytest.mark.parametrize(
        "method",
        [Cg(10.0, 1e-11), Cg(10.0, 1e-11, preconditioner="ekfac"), Lissa(50.0, steps=60), Astra(50.0, steps=200)],
        ids=lambda method: method.name,
    )
    @pytest.mark.slow
    def test_it_is_the_direct_solution(self, small, method):
        """LiSSA's residual is at most (1 - 50 / (1.1 x 117))^61 < 1e-12: the largest eigenvalue is below 67 means.

        Of P (G + damping) the largest is at most 117 / 50, and the least at least 50 / 150, where EK-FAC's largest is below
        100 means: ASTRA's residual is at most (1 - .33 / (1.1 x 2.34))^201 < 1e-11.
        """
        lm, examples, layers, dense = small
        queries = exact_gradients(lm, examples, layers)
        damping = method.damping * mean_eigenvalue(lambda v: v @ dense, queries)
        expected = direct((dense + dense.T) / 2, queries, damping)
        assert_near(method.precondition(lm, examples, layers, queries), expected, lm.name)
        assert_near(full_arnoldi(lambda v: v @ dense, queries, damping), expected, lm.name)

    def test_astra_starts_from_ekfacs_answer(self, small):
        """With steps of 1 its first step is the residual of EK-FAC's own, by its method of that damping."""
        lm, examples, layers, dense = small
        queries = exact_gradients(lm, examples, layers)
        mean, groups = mean_eigenvalue(lambda v: v @ dense, queries), input_groups(lm, layers)
        fitted = Ekfac(fit_rows=3, value_rows=3).fit(lm, examples, layers, 0)
        inverse = by_layer(function_of(fitted, groups, lambda values: 1 / (values + 50.0 * mean)), layers)
        first = inverse(queries)
        expected = first + inverse(queries - first @ (dense + 50.0 * mean * torch.eye(len(dense), dtype=torch.float64)))
        with pytest.warns(LlmattrNote, match="series was cut off after 1 steps"):
            found = Astra(50.0, scale=1.0, steps=1).precondition(lm, examples, layers, queries)
        assert_near(found, expected, lm.name)

    @pytest.mark.parametrize("method", [Cg(0.0, preconditioner="ekfac"), Astra(0.0)], ids=lambda method: method.name)
    def test_a_singular_curvature_is_refused(self, small, method):
        """A row of fewer tokens than the layers are wide: some eigenvalues of EK-FAC are 0 to rounding."""
        lm, examples, layers, _ = small
        one = examples.subset([0])
        assert len(one.ids[0]) < 16
        with pytest.raises(LlmattrError, match=r"^the curvature is singular, .*: give a damping above 0$"):
            method.precondition(lm, one, layers, exact_gradients(lm, one, layers))

    def test_arnoldi_keeps_the_leading_directions(self, small):
        lm, examples, layers, dense = small
        queries = exact_gradients(lm, examples, layers)
        found = Arnoldi(steps=40, keep=3).precondition(lm, examples, layers, queries)
        values, vectors = torch.linalg.eigh(dense)
        values, vectors = values[-3:], vectors[:, -3:]
        damping = 0.1 * mean_eigenvalue(lambda v: v @ dense, queries)
        assert_near(found, queries @ vectors / (values + damping) @ vectors.T, lm.name)

    def test_the_curvature_is_that_of_a_sample_of_the_rows(self, small):
        lm, examples, layers, _ = small
        queries = exact_gradients(lm, examples, layers)
        one = sample(examples, 1, 7)
        found = Cg(fit_rows=1, damping=10.0).precondition(lm, examples, layers, queries, 7)
        expected = Cg(damping=10.0).precondition(lm, one, layers, queries, 7)
        assert torch.equal(found, expected)
        assert not torch.allclose(found, Cg(damping=10.0).precondition(lm, examples, layers, queries), rtol=0.1)

    @pytest.mark.parametrize(
        "method", [Cg(), Cg(preconditioner="ekfac"), Lissa(), Astra(), Arnoldi()], ids=lambda method: method.name
    )
    def test_what_does_not_fit_is_refused(self, small, method, monkeypatch):
        check_options(method)
        lm, examples, layers, _ = small
        monkeypatch.setattr(iterative, "MOST", 2**14)
        queries = exact_gradients(lm, examples, layers)
        weights = f"{queries.shape[1]} tracked weights"
        with pytest.raises(LlmattrError, match=rf"{method.name} would hold \d+ vectors of the {weights}, .* ekfac"):
            method.precondition(lm, examples, layers, queries)
