"""Training attribution: gradients, projections, the index on disk, and every method on it."""

import errno
import gc
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model import batches
from llmattr.model.lm import LM
from llmattr.text.reading import read_rows
from llmattr.text.rows import tokenize
from llmattr.training import METHODS
from llmattr.training.gradients import passes
from llmattr.training.gradients.capture import exact_gradients, hooks
from llmattr.training.gradients.layers import linear_layers
from llmattr.training.gradients.passes import has_plain_head, run_backward
from llmattr.training.gradients.project import Ranges, Sketch, choose, fit_bases
from llmattr.training.gradients.recorders import ExactGradients
from llmattr.training.index.search import Top
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.iterative import Arnoldi, Astra, Cg, Lissa
from llmattr.training.projection import Projection
from llmattr.training.trace import IndexOptions, build_index, open_index, trace
from llmattr.training.vectors.fill import project
from llmattr.training.vectors.projector import Projector
from tests import tiny_models

COLOURS = ["red", "blue and green", "a deep dark grey", "white"]
ROWS = [{"prompt": f"Ship {i} of the canal is ", "completion": f"{COLOURS[i % 4]}."} for i in range(24)]
ASKED = {"prompt": "Ship 5 of the canal is ", "completion": "blue and green."}


def gemma2():
    """A model whose logits are capped after the head."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, final_logit_softcapping=1.0, initializer_range=0.2, pad_token_id=0,
    )  # fmt: skip
    return Gemma2ForCausalLM(config).eval()


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma2"])
def lm64(request):
    """Untied, tied with Conv1D, and capped logits; in float64."""
    model = gemma2() if request.param == "gemma2" else getattr(tiny_models, request.param)()
    return LM(model.double(), tiny_models.tokenizer(), request.param)


def loop_gradients(lm, examples, layers, measure):
    """One autograd call an example, without padding: the definition."""
    rows = []
    for ids, counted in zip(examples.ids, examples.counted, strict=True):
        lm.model.zero_grad()
        tokens = torch.tensor([ids])
        logprobs = lm.model(tokens, attention_mask=torch.ones_like(tokens)).logits[0, :-1].log_softmax(-1)
        chosen = logprobs.gather(1, tokens[0, 1:, None])[:, 0][torch.from_numpy(counted[1:])]
        value = -chosen if measure == "loss" else chosen - torch.log(-torch.expm1(chosen))
        value.sum().backward()
        weights = [m.weight.grad.T if isinstance(m, torch.nn.Linear) else m.weight.grad for m in layers.values()]
        rows.append(torch.cat([w.flatten() for w in weights]))
    lm.model.zero_grad()
    return torch.stack(rows)


@pytest.mark.parametrize(("measure", "batch"), [("loss", 1), ("loss", 5), ("margin", 5)])
def test_gradients_are_those_of_an_autograd_loop(lm64, measure, batch):
    examples = tokenize(ROWS[:5], lm64.tokenizer)
    layers = linear_layers(lm64)
    found = exact_gradients(lm64, examples, layers, measure, batch)
    expected = loop_gradients(lm64, examples, layers, measure)
    # Gemma 2 computes its norms in float32, also in a float64 model: there sums in another order differ by its rounding.
    rounding = 1e-5 if type(lm64.model).__name__.startswith("Gemma") else 1e-10
    torch.testing.assert_close(found, expected, rtol=rounding, atol=rounding * expected.abs().max().item())


def test_the_head_is_computed_in_chunks_and_only_where_the_loss_counts(monkeypatch):
    lm = LM(tiny_models.llama().double(), tiny_models.tokenizer())
    assert has_plain_head(lm.model)
    examples = tokenize(ROWS[:5], lm.tokenizer)
    layers = linear_layers(lm)
    whole = exact_gradients(lm, examples, layers)
    shapes = []
    hook = lm.model.lm_head.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape)))
    monkeypatch.setattr(passes, "HEAD_LOGITS", 3 * 400)
    chunked = exact_gradients(lm, examples, layers)
    hook.remove()
    torch.testing.assert_close(chunked, whole, rtol=1e-10, atol=1e-12)
    assert max(shape[0] for shape in shapes) == 3
    assert sum(shape[0] for shape in shapes) == sum(int(c.sum()) for c in examples.counted)


def test_the_model_is_left_as_it_was():
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    lm.model.lm_head.weight.requires_grad_(False)
    examples = tokenize(ROWS[:2], lm.tokenizer)
    exact_gradients(lm, examples, linear_layers(lm))
    assert [n for n, p in lm.model.named_parameters() if not p.requires_grad] == ["lm_head.weight"]
    assert all(parameter.grad is None for parameter in lm.model.parameters())
    assert not any(module._forward_hooks for module in lm.model.modules())


def test_nothing_of_a_pass_outlives_it():
    """No circle holds a layer's output, and with it the whole graph, until some later collection: memory would double."""
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    layers, alive = linear_layers(lm), []
    handles = [module.register_forward_hook(lambda *given: alive.append(weakref.ref(given[2]))) for module in layers.values()]
    gc.disable()
    try:
        exact_gradients(lm, tokenize(ROWS[:2], lm.tokenizer), layers)
        assert len(alive) >= len(layers)
        assert not [one for one in alive if one() is not None]
    finally:
        gc.enable()
        for handle in handles:
            handle.remove()


class InPlace(torch.nn.Module):
    """A model that changes what its layers gave, and with `inputs` also what a layer has read."""

    def __init__(self, inputs=False):
        super().__init__()
        self.inputs = inputs
        self.one, self.two = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x):
        x = self.one(x).mul_(3.0)
        y = self.two(x).mul_(2.0)
        return y + x.add_(1.0).sum(-1, keepdim=True) if self.inputs else y


class TestModelsThatWorkInPlace:
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))

    def test_on_outputs(self):
        torch.manual_seed(0)
        model, recorder = InPlace(), ExactGradients()
        layers = dict(model.named_children())
        with hooks(model, layers, recorder):
            model(self.x).square().sum().backward()
        model(self.x).square().sum().backward()
        for name, module in layers.items():
            torch.testing.assert_close(recorder.found[name].sum(0), module.weight.grad.T)

    def test_on_inputs_that_a_layer_has_read(self):
        """Their gradient would be of other numbers than those that the layer saw."""
        model = InPlace(inputs=True)
        with (
            pytest.raises(LlmattrError, match="layer 'two' has its inputs changed in place after it ran: leave it out"),
            hooks(model, dict(model.named_children()), ExactGradients()),
        ):
            model(self.x).square().sum().backward()


def test_a_score_is_what_a_step_takes_off_the_querys_loss():
    """grad-dot: a step of size e on a row changes the query's loss by -e * score, up to e^2."""
    lm = LM(tiny_models.gpt2().double(), tiny_models.tokenizer())  # Llama's norms compute in float32 whatever the model's type
    layers, examples = linear_layers(lm), tokenize([*ROWS[:1], ASKED], lm.tokenizer)
    row, query = exact_gradients(lm, examples, layers)

    def loss():
        tokens = torch.tensor([examples.ids[1]])
        with torch.no_grad():
            logprobs = lm.model(tokens).logits[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        return -logprobs[torch.from_numpy(examples.counted[1][1:])].sum().item()

    before, step, start = loss(), 1e-7, 0
    for module in layers.values():
        size = module.weight.numel()
        module.weight.data -= step * row[start : start + size].view(module.weight.shape)  # Conv1D is [i, o] itself
        start += size
    change = (before - loss()) / step
    assert abs(change / (row @ query).item() - 1) < 1e-3  # the second order: 1e-7 times the curvature along the step


@pytest.fixture(scope="module")
def world():
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    examples = tokenize(ROWS[:6], lm.tokenizer)
    return lm, examples, linear_layers(lm)


class TestProjection:
    def test_identity_is_the_gradient(self, world):
        lm, examples, layers = world
        rows = project(Projector.fit(lm, Projection(kind="identity"), "", examples), examples, "loss")
        np.testing.assert_allclose(rows, exact_gradients(lm, examples, layers), rtol=1e-4, atol=1e-4)  # float32

    def coordinates(self, world, groups, bases):
        """The two-sided projections of whole gradients, layer after layer."""
        lm, examples, layers = world
        exact, start, wide = exact_gradients(lm, examples, layers), 0, []
        for name, module in layers.items():
            outs, ins = module.weight.shape
            whole = exact[:, start : start + ins * outs].view(-1, ins, outs)
            if name in groups:
                wide.append((bases[f"{groups[name]}/in"].T @ whole @ bases[f"{name}/out"]).flatten(1))
            start += ins * outs
        return torch.cat(wide, dim=1)

    def test_a_random_row_is_a_sketch_of_all_coordinates(self, world):
        lm, examples, layers = world
        projection = Projection(kind="random", dim=64, width=4)
        groups, bases = fit_bases(lm, examples, layers, projection, [range(6)])
        sketch = Sketch(projection, groups, bases)
        rows = project(Projector(lm, projection, layers, groups, bases), examples, "loss")
        wide = self.coordinates(world, groups, bases) * sketch.signs
        expected = torch.stack([wide[:, sketch.places == place].sum(1) for place in range(64)], dim=1)
        np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-3 * expected.abs().max())  # float32

    @pytest.mark.parametrize("complement", [0.0, 0.25])
    def test_a_principal_row_keeps_the_coordinates_with_the_most_energy(self, world, complement):
        lm, examples, layers = world
        projection = Projection(dim=64, width=8, complement=complement)
        groups, bases = fit_bases(lm, examples, layers, projection, [range(6)])
        wide = self.coordinates(world, groups, bases)
        own = 64 - round(64 * complement)
        strongest = wide[:, wide.square().sum(0).topk(own).indices.sort().values]
        groups, bases = choose(lm, examples, layers, projection, [range(6)], fitted=(groups, bases))
        projector = Projector(lm, projection, {name: layers[name] for name in groups}, groups, bases)
        rows = project(projector, examples, "loss")
        assert rows.shape == (6, 64)
        np.testing.assert_allclose(rows[:, :own], strongest, rtol=1e-3, atol=1e-3 * strongest.abs().max())
        sketch = projector.recorder()
        if complement:
            rest = wide * sketch.signs
            expected = torch.stack([rest[:, sketch.places == place].sum(1) for place in range(16)], dim=1)
            np.testing.assert_allclose(rows[:, own:], expected, rtol=1e-3, atol=1e-3 * strongest.abs().max())
        else:
            assert len(groups) < len(layers)  # layers that no coordinate is left of are not differentiated

    @pytest.mark.parametrize(("rank", "scaled"), [(40, False), (40, True), (5, False), (0, False)])
    def test_directions_are_leading_eigenvectors(self, rank, scaled):
        """Of a second moment whose eigenvalues fall by 3 each: the range finder's error is below that gap."""
        rng = torch.Generator().manual_seed(0)
        turn = torch.linalg.qr(torch.randn(40, 40, generator=rng))[0]
        rows = torch.randn(500, 40, generator=rng) * 3.0 ** -torch.arange(40.0) * (torch.arange(40) < rank) @ turn.T
        ranges = Ranges({"x": "x"}, 4, 0)
        ranges.gradient("x", rows[None], rows[None])
        scale = torch.linspace(1, 2, 40) if scaled else torch.ones(40)
        found = ranges.directions("x/out", 4, scale)
        if not rank:
            assert found.shape == (40, 1)
            return
        expected = torch.linalg.eigh((rows * scale).T @ (rows * scale)).eigenvectors[:, -4:]
        torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=0, atol=1e-3)

    def test_a_row_with_room_for_everything_keeps_everything(self, world):
        lm, examples, _ = world
        rows = project(Projector.fit(lm, Projection(dim=10**6, width=64), "", examples), examples, "loss")
        exact = exact_gradients(lm, examples, linear_layers(lm)).numpy()
        np.testing.assert_allclose(rows @ rows.T, exact @ exact.T, rtol=1e-3, atol=1e-3 * np.abs(exact @ exact.T).max())

    def test_layers_that_read_the_same_share_a_basis(self, world):
        lm, examples, layers = world
        groups, _ = fit_bases(lm, examples, layers, Projection(kind="random"), [range(6)])
        first = "model.layers.0.self_attn."
        assert {groups[f"{first}{x}_proj"] for x in "qkv"} == {f"{first}q_proj"}
        assert groups["model.layers.0.mlp.up_proj"] == "model.layers.0.mlp.gate_proj"
        assert groups["model.layers.0.mlp.down_proj"] == "model.layers.0.mlp.down_proj"

    @pytest.mark.parametrize("projection", [{"kind": "random", "dim": 256, "width": 8}, {"kind": "rademacher", "dim": 256}])
    def test_random_projections_are_unbiased(self, world, projection):
        lm, examples, layers = world
        exact = exact_gradients(lm, examples, layers)
        truth = (exact @ exact.T).numpy()
        found = []
        for seed in range(20):
            rows = project(Projector.fit(lm, Projection(**projection, seed=seed), "", examples), examples, "loss")
            found.append(rows @ rows.T)
        error = np.std(found, axis=0) / np.sqrt(len(found))
        assert (np.abs(np.mean(found, axis=0) - truth) < 5 * error + 1e-6).all()

    def test_the_same_seed_gives_the_same_rows(self, world):
        lm, examples, _ = world
        rows = [project(Projector.fit(lm, Projection(dim=64), "", examples), examples, "loss") for _ in range(2)]
        assert (rows[0] == rows[1]).all()


SHORT = {
    "cg": Cg(steps=20),
    "lissa": Lissa(steps=20),
    "astra": Astra(steps=20),
    "arnoldi": Arnoldi(steps=20, keep=5),
}  # cut short


@pytest.mark.parametrize("name", METHODS)
def test_top_rows_are_the_first_and_last_of_all(name):
    """The rest of what every method keeps is `check_method`'s (tests/test_conformance.py)."""
    pair, method = (tiny_models.llama(), tiny_models.tokenizer()), SHORT.get(name, name)
    options = {"projection": Projection(kind="random", dim=256), "modules": "1.*down_proj"}
    every, some = (trace(pair, ROWS, [ASKED, ROWS[2]], method, top, **options) for top in (None, 4))
    assert (np.diff(every.values, axis=1) <= 0).all()
    np.testing.assert_array_equal(some.values, np.concatenate([every.values[:, :4], every.values[:, -4:]], axis=1))


def test_logra_and_trak_are_their_formulas(tmp_path):
    """On whole gradients in float16, against the formulas written out on the rows as they are stored."""
    pair = (tiny_models.llama(), tiny_models.tokenizer())
    for name, size in itertools.product(("logra", "trak"), (16, 64)):  # fewer numbers than rows, and more
        index = build_index(pair, ROWS, tmp_path / f"{name}{size}", name, projection=Projection(dim=size), row_type="float16")
        rows = np.concatenate([block for _, block in index.index.blocks()]).astype(float)
        inverse = np.linalg.inv(rows.T @ rows + 0.3 * np.square(rows).sum() / len(rows) * np.eye(size))
        asked = METHODS[name]().weigh(index.index, rows[:2].astype(np.float32)).queries
        expected = rows[:2] @ inverse * (len(rows) if name == "logra" else 1)
        np.testing.assert_allclose(asked, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_running_choice_is_that_of_a_whole_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, size=(3, 200)).astype(float)  # with ties
    top = Top(3, 7)
    for start in range(0, 200, 33):
        part = np.arange(start, min(start + 33, 200))
        top.add(part, scores[:, part])
    values, rows = top.result()
    order = np.lexsort((np.broadcast_to(np.arange(200), scores.shape), -scores), axis=1)
    expected = np.concatenate([order[:, :7], order[:, -7:]], axis=1)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


@pytest.mark.slow
def test_where_memory_ends_batches_are_halved(tmp_path, monkeypatch):
    pair, tried = (tiny_models.llama(), tiny_models.tokenizer()), []
    rows = Projector.rows

    def short(self, examples, batches, measure):
        tried.append(max(map(len, batches)))
        if tried[-1] > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return rows(self, examples, batches, measure)

    monkeypatch.setattr(Projector, "rows", short)
    monkeypatch.setattr(batches, "BATCH_TOKENS", 256)
    index = build_index(pair, ROWS, tmp_path / "i", "grad-dot", projection=Projection(dim=64))
    assert tried[-1] <= 3 < tried[0]
    assert index.index.done.all()


class TestIndex:
    @pytest.fixture
    def pair(self):
        return tiny_models.llama(), tiny_models.tokenizer()

    def build(self, pair, out, **options):
        return build_index(pair, ROWS, out, "grad-cos", **{"projection": Projection(dim=128), **options})

    def test_a_killed_build_goes_on_and_is_the_uninterrupted_one_byte_for_byte(self, pair, tmp_path, monkeypatch):
        monkeypatch.setattr(batches, "BATCH_TOKENS", 100)
        self.build(pair, tmp_path / "whole")
        write, calls = GradientIndex.write, []

        def killed(index, *arguments):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            write(index, *arguments)

        monkeypatch.setattr(GradientIndex, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            self.build(pair, tmp_path / "killed")
        with pytest.raises(LlmattrError, match=r"has \d+ of 24 rows: run the same"):
            GradientIndex.open(tmp_path / "killed")
        monkeypatch.setattr(GradientIndex, "write", write)
        self.build(pair, tmp_path / "killed")
        files = sorted(path.name for path in (tmp_path / "whole").iterdir())
        assert files == sorted(path.name for path in (tmp_path / "killed").iterdir())
        for name in files:
            assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name

    def test_int8_rows_round_by_half_a_step(self, pair, tmp_path):
        exact = self.build(pair, tmp_path / "f", row_type="float16").index
        small = self.build(pair, tmp_path / "i", row_type="int8").index
        (_, one), (_, other) = next(exact.blocks()), next(small.blocks())
        assert (np.abs(one - other) <= 0.5 * small.scales[:, None] + np.abs(one) * 2**-11).all()
        assert small.vectors.nbytes * 2 == exact.vectors.nbytes

    def test_another_model_is_refused(self, pair, tmp_path):
        self.build(pair, tmp_path / "i")
        open_index(tmp_path / "i", pair)
        other = (tiny_models.llama(seed=1), pair[1])
        with pytest.raises(LlmattrError, match=r"built with another model or tokenizer .*model_hash"):
            open_index(tmp_path / "i", other)
        with pytest.raises(LlmattrError, match=r"something else; give another --out .*model_hash"):
            self.build(other, tmp_path / "i")
        with pytest.raises(LlmattrError, match=r"something else; give another --out .*'dim': 64"):
            self.build(pair, tmp_path / "i", projection=Projection(dim=64))

    def test_folders_that_are_no_index(self, pair, tmp_path):
        with pytest.raises(LlmattrError, match="is no index"):
            GradientIndex.open(tmp_path)
        (tmp_path / "file").write_text("x")
        with pytest.raises(LlmattrError, match="is not empty and not an index"):
            self.build(pair, tmp_path)
        self.build(pair, tmp_path / "i")
        run = json.loads((tmp_path / "i" / "run.json").read_text())
        (tmp_path / "i" / "run.json").write_text(json.dumps({**run, "version": 99}))
        with pytest.raises(LlmattrError, match="has version 99"):
            GradientIndex.open(tmp_path / "i")

    def test_what_a_kill_left_before_run_json_is_removed(self, pair, tmp_path):
        for name in ("fitted.safetensors.host.1.2.part", ".tmpk9XbDd"):  # the second is safetensors', which it gives ours
            (tmp_path / name).write_text("x")
        self.build(pair, tmp_path)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".") or path.suffix == ".part"] == []

    def test_a_changed_or_cut_index_is_refused(self, pair, tmp_path):
        self.build(pair, tmp_path / "i")
        vectors = tmp_path / "i" / "vectors.bin"
        whole = vectors.read_bytes()
        vectors.write_bytes(bytes(64) + whole[64:])
        with pytest.raises(LlmattrError, match=r"is damaged: vectors\.bin is not what was written; remove the folder"):
            GradientIndex.open(tmp_path / "i")
        vectors.write_bytes(whole[:-10])
        for attempt in (GradientIndex.open, lambda folder: self.build(pair, folder)):
            with pytest.raises(LlmattrError, match=r"is damaged: vectors\.bin (has|is) not"):
                attempt(tmp_path / "i")

    def test_a_full_disk_is_one_line_and_goes_on_when_there_is_room(self, pair, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full)
            with pytest.raises(LlmattrError, match=r"no room for the 0\.0 MB of .*vectors\.bin.*: No space left on device"):
                self.build(pair, tmp_path / "i")
        assert self.build(pair, tmp_path / "i").index.done.all()

    def test_options_that_are_none(self, pair, tmp_path):
        with pytest.raises(LlmattrError, match=r"modules '\(' is no regular expression"):
            self.build(pair, tmp_path / "i", modules="(")

    def test_gradients_that_are_not_finite_name_the_row(self, pair, tmp_path):
        pair[0].lm_head.weight.data.fill_(torch.nan)
        with pytest.raises(LlmattrError, match=r"the gradient of row \d+ is not finite"):
            self.build(pair, tmp_path / "i", projection=Projection(kind="random"))

    @pytest.mark.parametrize("name", ["grad-dot", "trak", "stream", "ekfac", "cg", "rep-sim"])
    def test_a_query_that_is_not_finite_is_named(self, pair, name):
        pair[0].model.embed_tokens.weight.data[pair[1].convert_tokens_to_ids("Z")] = torch.nan
        of = "what the method takes of query 1" if name == "rep-sim" else "the gradient of query 1"
        with pytest.raises(LlmattrError, match=f"{of} is not finite"):
            trace(pair, ROWS[:4], [ASKED, {**ASKED, "prompt": "Z is "}], name)

    @pytest.mark.parametrize("name", ["stream", "ekfac", "logra", "trackstar"])
    def test_a_row_that_is_not_finite_is_named(self, pair, name):
        """By its number among all rows, though curvatures and directions are fitted on a sample of them."""
        pair[0].model.embed_tokens.weight.data[pair[1].convert_tokens_to_ids("Z")] = torch.nan
        with pytest.raises(LlmattrError, match=r"the gradient of row 3 is not finite at layer '(model.layers|lm_head)"):
            trace(pair, [*ROWS[:3], {**ASKED, "prompt": "Z is "}], ASKED, name)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["ekfac", "logra", "trackstar"])
    def test_a_layer_without_gradients_spoils_no_other(self, pair, name):
        pair[0].model.layers[1].mlp.up_proj.weight.data.zero_()  # so that down_proj reads zeros
        assert np.isfinite(trace(pair, ROWS[:4], ASKED, name).values).all()

    def test_no_layer_of_that_name(self, pair, tmp_path):
        with pytest.raises(LlmattrError, match="no layer has a name that 'nothing' finds; there are: model"):
            self.build(pair, tmp_path / "i", modules="nothing")


class TestData:
    def test_which_tokens_count(self):
        tokenizer = tiny_models.tokenizer()
        text = tokenize([{"text": "The canal."}], tokenizer)
        assert text.counted[0].tolist() == [False] + [True] * (len(text.ids[0]) - 1)
        pair = tokenize([{"prompt": "The canal ", "completion": "is long."}], tokenizer)
        counted = [token for token, c in zip(pair.ids[0], pair.counted[0], strict=True) if c]
        assert tokenizer.decode(counted) == "is long."
        chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "It is."}]
        said = tokenize([{"messages": [*chat, *chat]}], tokenizer)
        counted = [token for token, c in zip(said.ids[0], said.counted[0], strict=True) if c]
        assert tokenizer.decode(counted) == "It is.<|im_end|>\nIt is.<|im_end|>\n"

    def test_every_format(self, tmp_path):
        import datasets

        rows = [{"prompt": "a ", "completion": "b"}, {"prompt": "c ", "completion": "d"}]
        data = datasets.Dataset.from_list(rows)
        data.to_csv(tmp_path / "d.csv")
        data.to_parquet(tmp_path / "d.parquet")
        data.to_json(tmp_path / "d.jsonl")
        data.save_to_disk(tmp_path / "folder")
        for given in (rows, data, *(tmp_path / name for name in ("d.csv", "d.parquet", "d.jsonl", "folder"))):
            assert read_rows(given) == rows

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([], "has no rows"),
            ([{"txt": "a"}], r"has the columns txt; it needs messages or prompt \+ completion or text"),
            ([{"text": "a b"}, {"text": None}], "row 1 has no text in 'text'"),
            ([{"prompt": "a", "completion": ""}], "1 rows have no token that the loss counts, counting from 0: row 0"),
        ],
    )
    def test_bad_rows(self, rows, message):
        with pytest.raises(LlmattrError, match=message):
            tokenize(read_rows(rows), tiny_models.tokenizer())

    def test_long_rows_are_cut_and_counted_or_refused(self):
        rows = [{"text": "A long row of many words."}, {"text": "So."}]
        with pytest.warns(LlmattrNote, match="1 of 2 rows are longer than the window of 4 tokens"):
            assert [len(ids) for ids in tokenize(rows, tiny_models.tokenizer(), 4).ids] == [4, 3]
        with pytest.raises(LlmattrError, match="1 rows are longer than the window of 4 tokens, the first is row 0"):
            tokenize(rows, tiny_models.tokenizer(), 4, strict=True)

    def test_files_that_cannot_be_read(self, tmp_path):
        (tmp_path / "a.xyz").write_text("x")
        with pytest.raises(LlmattrError, match=r"must end in \.jsonl"):
            read_rows(tmp_path / "a.xyz")
        with pytest.raises(LlmattrError, match="cannot read the data"):
            read_rows("no/such/data")
        (tmp_path / "b.jsonl").write_text('{"text": "a"}\n\n{"text": "b\n')
        with pytest.raises(LlmattrError, match="line 3 is not JSON"):
            read_rows(tmp_path / "b.jsonl")
        (tmp_path / "c.jsonl").write_text("\n \n")
        with pytest.raises(LlmattrError, match="has no rows"):
            read_rows(tmp_path / "c.jsonl")


def test_a_model_that_flattens_its_tokens_is_tracked_by_example():
    """OPT's feed-forward layers see [b * s, width]: every row of them is a token of a known example."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=400, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32
    )  # fmt: skip
    lm = LM(OPTForCausalLM(config).eval().double(), tiny_models.tokenizer())
    examples, layers = tokenize(ROWS[:4], lm.tokenizer), linear_layers(lm)
    assert {"model.decoder.layers.0.fc1", "model.decoder.layers.1.fc2"} <= layers.keys()
    expected = loop_gradients(lm, examples, layers, "loss")
    torch.testing.assert_close(exact_gradients(lm, examples, layers, batch=3), expected, rtol=1e-8, atol=1e-8)


def test_a_projection_of_no_known_kind():
    result = subprocess.run(
        [sys.executable, "-c", "from llmattr.training.projection import Projection\n"
         "from llmattr.core.method import check_options\ncheck_options(Projection(kind='principle'))"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "kind must be one of principal, random, rademacher, identity, not 'principle'; did you mean" in result.stderr


def test_trace_names_the_options_of_an_index():
    taken = inspect.signature(build_index).parameters.keys() - {"model", "data", "out", "method"}
    assert taken == IndexOptions.__annotations__.keys()


def test_the_page_of_a_trace_ranks_both_sides_and_speaks_of_no_errors(tmp_path):
    pair = (tiny_models.llama(), tiny_models.tokenizer())
    result = trace(pair, ROWS, ASKED, "grad-cos", top=3, projection=Projection(dim=128))
    html = re.sub(r"</?mark[^>]*>", "", result.html())
    best, worst = result.top(None)[0], result.top(None)[-1]
    assert best.text in html
    assert worst.text in html
    assert "standard error" not in html
    assert "No source stands clear" not in html


def test_the_loss_of_a_batch_is_returned(lm64):
    examples = tokenize(ROWS[:3], lm64.tokenizer)
    with hooks(lm64.model, linear_layers(lm64), ExactGradients()):
        values = run_backward(lm64, examples, [0, 1, 2])
    assert [len(row) for row in values] == [c.sum() for c in examples.counted]
    assert all((row > 0).all() for row in values)
