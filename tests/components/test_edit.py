"""An edit is the ablation by hooks, saved; it takes what carries the targets, and leaves nothing where it is refused."""

import json
from contextlib import suppress

import numpy as np
import pytest
import scipy.stats
import torch
from safetensors.torch import load_file

from llmattr.ablation import random_masks
from llmattr.cli import main
from llmattr.components.asked import asked_of
from llmattr.components.build import component_ablation
from llmattr.components.drift import Drift, check_drift, log_probabilities
from llmattr.components.edit import RECORD, check_aim, chosen, edit, welch
from llmattr.components.folding import check_foldable, fold, folded
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.model.lm import LM
from llmattr.testing.properties import state_of
from tests import tiny_models
from tests.components.families import MAKERS, family

EXACT = 1e-10  # float64 keeps some 16 digits of log-probabilities near 10
ROUNDED = 1e-4  # float32 keeps some 7
TOKENIZER = tiny_models.tokenizer()
TARGETS = [{"prompt": "The canal is", "completion": " long."}, {"prompt": "The lake is", "completion": " long."}]
REFERENCE = [{"prompt": "It opened in", "completion": " 1914"}, {"prompt": "Ships pay", "completion": " a toll"}]
TEXT = [{"text": "It has many locks."}, {"text": "The lake lies above the sea."}]


def as_folded(ablation, mask):
    """What the targets are when the components that the mask lacks are folded away."""
    with folded(ablation.lm, fold(ablation.sites, ablation.fills[0], mask)):
        return log_probabilities(ablation.lm, ablation.asked)


class TestFolding:
    @pytest.mark.parametrize("parts", ["heads", "heads+attentions+neurons+mlps"])
    @pytest.mark.parametrize("name", MAKERS)
    def test_it_is_the_ablation_by_hooks(self, name, parts):
        parts = parts.removesuffix("+neurons+mlps") if name == "mixtral" else parts
        ablation = component_ablation((family(name), TOKENIZER), [*TARGETS, *REFERENCE], parts=parts)
        check_foldable(ablation.lm, ablation.sites, ablation.fills[0])
        full = ablation(np.ones((1, len(ablation.sources)), dtype=bool))[0]
        for mask in random_masks(3, len(ablation.sources), seed=1):
            expected = ablation(mask[None])[0]
            assert np.abs(expected - full).max() > 0.01
            assert as_folded(ablation, mask) == pytest.approx(expected, abs=ROUNDED if name == "mixtral" else EXACT)

    @pytest.mark.parametrize("parts", ["heads", "neurons", "heads+attentions+neurons+mlps"])
    @pytest.mark.parametrize("name", ["gpt2", "opt", "neox"])
    def test_a_mean_goes_into_the_bias(self, name, parts):
        ablation = component_ablation((family(name), TOKENIZER), [*TARGETS, *REFERENCE], parts=parts, way="mean", sample=TEXT)
        check_foldable(ablation.lm, ablation.sites, ablation.fills[0])
        for mask in random_masks(3, len(ablation.sources), seed=2):
            assert as_folded(ablation, mask) == pytest.approx(ablation(mask[None])[0], abs=EXACT)

    @pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
    def test_the_model_has_its_own_weights_again(self, stop):
        model = family("gpt2")
        ablation = component_ablation((model, TOKENIZER), TARGETS, parts="heads+neurons", way="mean")
        places, state = [parameter.data_ptr() for parameter in model.parameters()], state_of(model)
        changes = fold(ablation.sites, ablation.fills[0], np.zeros(len(ablation.sources), dtype=bool))
        with suppress(stop), folded(ablation.lm, changes):
            assert state_of(model)["weights"] != state["weights"]
            raise stop
        assert [parameter.data_ptr() for parameter in model.parameters()] == places
        assert state_of(model) == state


def scores(values):
    sources = Sources("components", [str(i) for i in range(values.shape[1])], ["a part"] * values.shape[1])
    return Attribution(values, sources, Targets(["said"] * len(values), measure="logprob"), "nats", {"name": "leave-one-out"})


class TestChoosing:
    def test_what_is_shifted_in_the_targets_is_raised(self):
        """T33 of Shah et al.'s COAR-Edit: of 20 targets component 7 is shifted by -3."""
        values = np.random.default_rng(0).normal(size=(60, 12))
        values[:20, 7] -= 3
        (one,) = chosen(scores(values), 20, 1, "raise")
        assert one["id"] == "7"
        assert one["t"] == pytest.approx(scipy.stats.ttest_ind(values[:20, 7], values[20:, 7], equal_var=False).statistic)
        (one,) = chosen(scores(-values), 20, 1, "lower")
        assert one["id"] == "7"

    def test_t_is_that_of_welch(self):
        rng = np.random.default_rng(1)
        one, other = rng.normal(size=(5, 9)), rng.normal(size=(8, 9))
        assert welch(one, other) == pytest.approx(scipy.stats.ttest_ind(one, other, equal_var=False).statistic, rel=1e-12)
        assert welch(one[:1], other) == pytest.approx((one[0] - other.mean(axis=0)) / scipy.stats.sem(other), rel=1e-12)
        assert welch(np.array([[0.0, 2.0]] * 2), np.zeros((2, 2))).tolist() == [0.0, np.inf]

    def test_what_moves_the_reference_as_far_is_spared(self):
        values = np.array([[1.0, 0.5, -1.0], [1.1, 0.6, -1.1], [1.2, 0.0, -3.0], [1.1, 0.1, -3.1]])
        assert [one["id"] for one in chosen(scores(values), 2, 3, "lower")] == ["1"]
        with pytest.raises(LlmattrError, match="no component would raise the targets more than the reference"):
            chosen(scores(values), 2, 3, "raise")


def planted():
    """One layer, no norm and no other block: head 2 always says " lake" and not " canal", which nothing else speaks of."""
    model = family("opt")
    decoder = model.model.decoder
    decoder.layers, model.config.num_hidden_layers = decoder.layers[:1], 1
    layer = decoder.layers[0]
    layer.fc2.weight.data.zero_()
    layer.fc2.bias.data.zero_()
    decoder.final_layer_norm = torch.nn.Identity()
    words, direction = model.lm_head.weight.data, apart(model) / apart(model).norm()
    others = [token for token in range(len(words)) if token not in (398, 314)]
    words[others] -= torch.outer(words[others] @ direction, direction)
    out = layer.self_attn.out_proj.weight.data
    out -= torch.outer(direction, direction @ out)
    layer.self_attn.v_proj.weight.data[16:24] = 0
    layer.self_attn.v_proj.bias.data[16:24] = 1
    out[:, 16:24] = direction[:, None]
    return model


def apart(model):
    """The direction in which " lake" and not " canal" is said."""
    return model.lm_head.weight.data[398] - model.lm_head.weight.data[314]


LAKE = [{"prompt": prompt, "completion": " lake", "rather_than": " canal"} for prompt in ("The canal is", "It opened", "Ships")]
OTHERS = [{"prompt": prompt, "completion": " the", "rather_than": " of"} for prompt in ("The canal is", "It opened", "Ships")]


class TestEdit:
    @pytest.mark.parametrize("method", ["verified", "leave-one-out", "attribution-patching"])
    def test_the_one_head_that_carries_the_targets_is_taken(self, method, tmp_path):
        model = planted()
        made = edit((model, TOKENIZER), LAKE, OTHERS, tmp_path / "out", method, count=1)
        assert [one["id"] for one in made.removed] == ["0.2"]
        # Eight values of 1 in its direction.
        assert made.drift["targets"].change == pytest.approx(-8 * apart(model).norm().item(), abs=EXACT)
        assert made.drift["reference"].change == pytest.approx(0, abs=EXACT)

    def test_the_folder_has_the_model_whose_drift_was_measured(self, tmp_path):
        model = family("gpt2").float()
        before = state_of(model)
        made = edit((model, TOKENIZER), TARGETS, REFERENCE, tmp_path / "out", count=2, parts="heads+neurons", text=TEXT)
        assert state_of(model) == before
        assert len(made.removed) == 2
        saved = LM.load(tmp_path / "out")
        record = json.loads((tmp_path / "out" / RECORD).read_text())
        for name, rows in (("targets", TARGETS), ("reference", REFERENCE), ("text", TEXT)):
            after = log_probabilities(saved, asked_of(saved, rows, "logprob", mean=False), per_token=name == "text")
            assert after == pytest.approx(made.drift[name].after, abs=ROUNDED)
            assert record["drift"][name]["after"]["mean"] == pytest.approx(after.mean(), abs=ROUNDED)
            given = asked_of(saved, rows, "logprob", mean=False)
            whole = log_probabilities(LM(model, TOKENIZER), given, per_token=name == "text")
            assert made.drift[name].before == pytest.approx(whole, abs=ROUNDED)
            assert np.abs(made.drift[name].change).max() > 10 * ROUNDED
        assert [one["id"] for one in record["removed"]] == [one["id"] for one in made.removed]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    @pytest.mark.parametrize(("own", "loaded"), [("bfloat16", "float32"), ("float32", "bfloat16")])
    def test_a_named_model_is_saved_in_its_own_type(self, own, loaded, tmp_path):
        """All but the removed components to the bit, whatever it was computed in."""
        family("llama").to(getattr(torch, own)).save_pretrained(tmp_path / "given")
        TOKENIZER.save_pretrained(tmp_path / "given")
        given, out = str(tmp_path / "given"), tmp_path / "out"
        made = edit(given, TARGETS, REFERENCE, out, "leave-one-out", count=2, dtype=loaded)
        assert (made.run["dtype"], made.run["saved_in"]) == (loaded, own)
        before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "given", out))
        assert {str(tensor.dtype) for tensor in after.values()} == {f"torch.{own}"}
        assert {name.rpartition("self_attn.")[2] for name in after if not torch.equal(after[name], before[name])} == {
            "o_proj.weight"
        }
        ablation = component_ablation(LM.load(given), TARGETS)
        kept = ~np.isin(ablation.sources.ids, [one["id"] for one in made.removed])
        saved = LM.load(out)
        found = log_probabilities(saved, asked_of(saved, TARGETS, "logprob", mean=False))
        assert found == pytest.approx(ablation(kept[None])[0], abs=ROUNDED)

    def test_a_texts_drift_is_of_a_token(self):
        lm = LM(family("llama"), TOKENIZER)
        asked = asked_of(lm, TEXT, "logprob", mean=False)
        scored = lm.logprobs(asked.requests)
        assert log_probabilities(lm, asked, per_token=True) == pytest.approx([one.mean() for one in scored])
        assert log_probabilities(lm, asked) == pytest.approx([one.sum() for one in scored])

    def test_rows_that_go_both_ways_are_far_apart(self):
        drift = Drift(np.array([-1.0, -2.0]), np.array([-2.0, -1.0]))
        assert drift.record()["change"] == {"mean": 0.0, "stderr": 1.0}
        assert drift.apart == 1.0


class TestRefused:
    @pytest.mark.parametrize("name", ["reference", "text"])
    def test_what_should_stay_is_bounded_whichever_way_it_goes(self, name):
        drift = {"targets": Drift(np.zeros(2), np.full(2, -9.0)), name: Drift(np.zeros(2), np.array([-1.0, 1.0]))}
        check_drift(drift, None)
        check_drift(drift, 1.0)
        with pytest.raises(LlmattrError, match=f"the {name} drifts by 1 nats on average, and 0.9 is the bound"):
            check_drift(drift, 0.9)

    def test_a_drift_above_the_bound(self, tmp_path):
        asked = ((family("llama"), TOKENIZER), TARGETS, REFERENCE)
        drift = edit(*asked, tmp_path / "out", text=TEXT).drift
        for name in ("reference", "text"):
            assert drift[name].apart > 0
        most = max(drift["reference"].apart, drift["text"].apart)
        with pytest.raises(LlmattrError, match=r"drifts by \S+ nats on average, and .* is the bound: nothing is saved"):
            edit(*asked, tmp_path / "other", text=TEXT, max_drift=most * 0.99)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        edit(*asked, tmp_path / "other", text=TEXT, max_drift=most * 1.01)

    @pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
    def test_nothing_is_left_where_saving_breaks_off(self, stop, tmp_path, monkeypatch):
        model = family("llama")
        state = state_of(model)

        def broken(folder):
            folder.mkdir()
            (folder / "half").touch()
            raise stop

        monkeypatch.setattr(model, "save_pretrained", broken)
        with pytest.raises(LlmattrError if stop is OSError else stop):
            edit((model, TOKENIZER), TARGETS, REFERENCE, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
        assert state_of(model) == state

    def test_what_a_killed_run_left_is_begun_anew(self, tmp_path):
        (tmp_path / ".out.llmattr-edit").mkdir()
        (tmp_path / ".out.llmattr-edit" / "half").touch()
        edit((family("llama"), TOKENIZER), TARGETS, REFERENCE, tmp_path / "out")
        assert not (tmp_path / "out" / "half").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_folder_of_somebody_else_stays(self, tmp_path):
        (tmp_path / "out.part").mkdir()
        edit((family("llama"), TOKENIZER), TARGETS, REFERENCE, tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.part"]

    @pytest.mark.parametrize(("aim", "moved"), [("lower", 0.5), ("raise", -0.5), ("lower", 0.0)])
    def test_an_edit_that_moves_the_targets_the_other_way_is_none(self, aim, moved):
        before = np.array([-1.0, -2.0])
        with pytest.raises(LlmattrError, match=f"which is not to {aim} them: nothing is saved"):
            check_aim(Drift(before, before + moved), aim)
        check_aim(Drift(before, before + (0.5 if aim == "raise" else -0.5)), aim)

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("llama", {"parts": "layers"}, "the layers of layer 0 are read and written by no single matrix: edit attentions"),
            ("llama", {"way": "mean"}, "the heads of layer 0 have no bias that could hold their mean: remove them by 'zero'"),
            ("llama", {"way": "resample"}, "way must be one of zero, mean"),
            ("llama", {"aim": "rise"}, "aim"),  # a type checker's error is one, too
            ("llama", {"count": 0}, "count must"),
            ("llama", {"max_drift": -1.0}, "max_drift must"),
            ("mixtral", {"parts": "mlps"}, "the mlps of layer 0 end in no single matrix, but in Mixtral"),
        ],
    )
    def test_options(self, name, options, message, tmp_path):
        with pytest.raises((LlmattrError, TypeError), match=message):
            edit((family(name), TOKENIZER), TARGETS, REFERENCE, tmp_path / "out", **options)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_there(self, tmp_path):
        with pytest.raises(LlmattrError, match="it is there already"):
            edit((family("llama"), TOKENIZER), TARGETS, REFERENCE, tmp_path)

    def test_a_row_on_either_side(self, tmp_path):
        with pytest.raises(LlmattrError, match="a single row on either side"):
            edit((family("llama"), TOKENIZER), TARGETS[:1], REFERENCE[:1], tmp_path / "out")

    def test_weights_of_two_layers(self, tmp_path):
        model = family("llama")
        model.model.layers[1].self_attn.o_proj.weight = model.model.layers[0].self_attn.o_proj.weight
        with pytest.raises(LlmattrError, match="the heads of layer 0 share their weights with another part of the model"):
            edit((model, TOKENIZER), TARGETS, REFERENCE, tmp_path / "out")

    def test_weights_that_are_no_plain_numbers(self):
        ablation = component_ablation((family("llama"), TOKENIZER), TARGETS)
        projection = ablation.sites[0].module
        projection.weight = torch.nn.Parameter(torch.zeros(32, 32, dtype=torch.int8), requires_grad=False)
        with pytest.raises(LlmattrError, match=r"the matrix of the heads of layer 0 \(Linear\) is quantised"):
            check_foldable(ablation.lm, ablation.sites, ablation.fills[0])

    def test_an_adapter(self, tmp_path):
        peft = pytest.importorskip("peft", reason="peft is not installed")
        model = peft.get_peft_model(family("llama").float(), peft.LoraConfig(target_modules=["q_proj"])).get_base_model()
        with pytest.raises(LlmattrError, match="an adapter lies on the model"):
            edit((model, TOKENIZER), TARGETS, REFERENCE, tmp_path / "out")


class TestCommand:
    @pytest.fixture
    def words(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name, rows in (("targets", TARGETS), ("reference", REFERENCE), ("text", TEXT)):
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        model = str(tiny_models.save(tmp_path / "tiny"))
        return [
            "edit",
            "--model",
            model,
            "--targets",
            "targets.jsonl",
            "--reference",
            "reference.jsonl",
            "--text",
            "text.jsonl",
        ]

    def test_says_what_it_removed_and_what_drifted(self, words, tmp_path, capsys):
        assert main([*words, "--out", "out", "--count", "2", "leave-one-out"]) == 0
        said, record = capsys.readouterr().out, json.loads((tmp_path / "out" / RECORD).read_text())
        for one in record["removed"]:
            assert f"{one['id']}  {one['text']} (targets {one['targets']:+.3g}, reference {one['reference']:+.3g})" in said
        for name in ("targets", "reference", "text"):
            assert f"{name} (2 rows, of a {'token' if name == 'text' else 'completion'}): " in said
            assert f"{record['drift'][name]['after']['mean']:+.3g} ±" in said
        assert main([*words[:1], *words[3:], "--model", "out", "--out", "again", "--max-drift", "1e-9"]) == 2
        assert not (tmp_path / "again").exists()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--out", "tiny"], "cannot write 'tiny': it is there already"),
            (["--out", "out", "coar", "shapley"], "'shapley' is one method too many"),
            (["--out", "out", "--parts", "layers"], "edit attentions+mlps in their place"),
            (["--out", "out", "--way", "mean"], "no bias that could hold their mean"),
        ],
    )
    def test_one_line_for_what_is_wrong(self, words, more, message, capsys):
        assert main([*words, *more]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
