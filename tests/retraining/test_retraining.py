"""Training again: the trainer, the order of rows, kept runs, and what is estimated from them."""

import copy
import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from llmattr import LM, metrics, retraining, surrogate
from llmattr.ablation import every_mask, random_masks
from llmattr.cli import main
from llmattr.cli.retrain import _verified
from llmattr.core.attribution import Attribution
from llmattr.core.files import read_record
from llmattr.core.sources import Sources, Targets
from llmattr.curation.counterfactual import brittleness, counterfactual, embeddings, top_removals, verified
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.retraining import METHODS, ON_MASKS, Recipe, from_function, retrain, retraining_ablation, scratch_model
from llmattr.retraining.build import RetrainingOptions, attributed
from llmattr.retraining.methods.datamodels import Datamodel
from llmattr.retraining.runs import CausalTrainer, FunctionTrainer
from llmattr.retraining.scratch import KINDS, is_scratch
from llmattr.retraining.store import Run, RunStore
from llmattr.retraining.together import train_together
from llmattr.retraining.trainer import batch_loss, train
from llmattr.text.rows import tokenize
from tests import tiny_models
from tests.core.test_files import at_once

PLACES = [("canal", "Panama", "wide"), ("king", "Spain", "old"), ("port", "Colon", "busy"), ("lock", "Gatun", "long")]
ROWS = [{"prompt": f"The {what} of {where} is", "completion": f" {said}", "place": where} for what, where, said in PLACES]
ROWS += [{**row, "prompt": row["prompt"].replace("The", "That")} for row in ROWS]
ASKED = [{"prompt": "A port of Colon is", "completion": " busy"}, {"prompt": "A king of Spain is", "completion": " old"}]
SHORT = Recipe(steps=12, batch_size=4, learning_rate=5e-3)


def pair(dtype=torch.float32):
    return tiny_models.llama().to(dtype), tiny_models.tokenizer()


def linear(n=6, t=2, noise=0.0, seed=0):
    """A training whose outputs are a sum over the rows, and its weights [t, n] and bias [t]."""
    rng = np.random.default_rng(seed)
    weights, bias, asked = rng.normal(size=(t, n)), rng.normal(size=t), []

    def outputs(rows, run):
        asked.append(run)
        return bias + weights @ rows + noise * np.random.default_rng(run).normal(size=t)

    return outputs, weights, bias, asked


class TestOrder:
    def test_every_run_makes_as_many_full_steps_of_kept_rows(self):
        kept = np.array([True, False] * 10)
        rows = Recipe(steps=30, batch_size=8).batches(kept, seed=3)
        assert rows.shape == (30, 8)
        assert kept[rows].all()

    def test_rows_come_equally_often(self):
        kept = np.arange(20) < 13
        counts = np.bincount(Recipe(steps=50, batch_size=4).batches(kept, 0).ravel(), minlength=20)  # 10 epochs of 20
        assert not counts[13:].any()
        # 10 times in their own places, and of the 70 places of removed rows 5 or 6 times
        assert set(counts[:13]) == {15, 16}

    def test_one_row_less_changes_only_the_steps_in_which_it_came(self):
        everything = Recipe(steps=25, batch_size=4).batches(np.ones(20, dtype=bool), 5)
        without = Recipe(steps=25, batch_size=4).batches(np.arange(20) != 7, 5)
        np.testing.assert_array_equal(everything != without, everything == 7)

    def test_the_seed_draws_the_order(self):
        one, two = (Recipe(steps=5).batches(np.ones(40, dtype=bool), seed) for seed in (0, 1))
        assert (one != two).any()

    def test_auto_is_so_many_passes_over_all_rows(self):
        assert Recipe(start="random").for_rows(100).steps == 63  # 20 x 100 rows, 32 in a step
        assert Recipe(batch_size=10).for_rows(100).steps == 30
        assert Recipe(steps=7, learning_rate=0.1).for_rows(100) == Recipe(steps=7, learning_rate=0.1)

    def test_nothing_kept_is_no_step(self):
        assert Recipe(steps=5).batches(np.zeros(4, dtype=bool), 0).shape == (0, 32)

    def test_the_step_size_rises_and_falls_to_nothing(self):
        rates = [Recipe(steps=100, warmup=0.1, learning_rate=1.0).rate(step) for step in range(101)]
        assert np.argmax(rates) in (9, 10)
        np.testing.assert_allclose([rates[0], rates[9], rates[55], rates[100]], [0.1, 1.0, 0.5, 0.0])
        assert Recipe(steps=10, learning_rate=1.0, warmup=0.0, schedule="cosine").rate(5) == pytest.approx(0.5)


class TestTrain:
    def trained(self, weights, seed=0, recipe=SHORT, rows=ROWS):
        model, tokenizer = pair(torch.float64)
        return train(model, tokenize(rows, tokenizer), np.asarray(weights, dtype=float), seed, recipe)

    def state(self, *args, **options):
        return {name: value.clone() for name, value in self.trained(*args, **options).state_dict().items()}

    def test_the_same_mask_and_seed_give_the_same_bits(self):
        one, two = self.state(np.ones(8), 1), self.state(np.ones(8), 1)
        assert all(torch.equal(one[name], two[name]) for name in one)

    @pytest.mark.parametrize("start", ["given", "random"])
    def test_it_is_the_usual_loop(self, start):
        """A padded batch with its mask, the mean cross-entropy and torch's AdamW, on the same rows, in float64."""
        recipe = Recipe(
            steps=6, batch_size=3, learning_rate=2e-3, warmup=0.0, schedule="constant", start=start, weight_decay=0.1
        )
        found = self.trained(np.ones(8), 4, recipe)
        model, tokenizer = pair(torch.float64)
        examples = tokenize(ROWS, tokenizer)
        if start == "random":
            torch.manual_seed(4)
            model = type(model)(model.config).double()
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        vectors = [p for p in model.parameters() if p.dim() < 2]
        optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}], lr=2e-3
        )
        for rows in recipe.batches(np.ones(8, dtype=bool), 4):
            longest = max(len(examples.ids[i]) for i in rows)
            ids, labels = torch.zeros(3, longest, dtype=torch.long), torch.full((3, longest), -100)
            for row, i in enumerate(rows):
                own = torch.tensor(examples.ids[i])
                ids[row, : len(own)] = own
                labels[row, : len(own)] = torch.where(torch.from_numpy(examples.counted[i]), own, -100)
            logits = model(input_ids=ids, attention_mask=(ids > 0).long()).logits[:, :-1]
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        for name, value in model.state_dict().items():
            # Adam divides by the gradient's own size: rounding of 1e-16 relative to it, over 6 steps of 2e-3
            torch.testing.assert_close(found.state_dict()[name], value, atol=1e-8, rtol=1e-7)

    @pytest.mark.parametrize("together", [False, True])
    def test_a_bfloat16_checkpoint_is_trained_in_float32(self, together):
        """Of a step near 5e-5 on weights near .02 bfloat16 keeps nothing: its numbers are 1e-4 apart there."""
        model, tokenizer = tiny_models.llama(), tiny_models.tokenizer()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.0, 0.02, generator=torch.Generator().manual_seed(0))
        short, recipe, examples = model.bfloat16(), Recipe(steps=30, batch_size=4), tokenize(ROWS, tokenizer)
        ends = []
        for start in (short, copy.deepcopy(short).float()):
            if together:
                stack = train_together(start, examples, np.ones((1, 8)), [0], recipe)
                ends.append({name: tensor[0] for name, tensor in stack.parameters.items()})
            else:
                ends.append(dict(train(start, examples, np.ones(8), 0, recipe).named_parameters()))
        for name, before in short.named_parameters():
            assert before.dtype == torch.bfloat16
            assert torch.equal(ends[0][name], ends[1][name])  # the same start in both types
            same = (ends[0][name] == before).float().mean()
            assert same < 0.01 or "embed_tokens" in name  # rows of tokens that no text has stay as they are

    def test_random_weights_leave_the_random_numbers_of_a_gpu_alone(self, monkeypatch):
        def touched(*_):
            raise AssertionError

        model, tokenizer = pair()
        monkeypatch.setattr(torch.cuda, "manual_seed_all", touched)
        before = torch.get_rng_state()
        train(model, tokenize(ROWS, tokenizer), np.ones(8), 0, Recipe(steps=1, start="random"))
        assert torch.equal(torch.get_rng_state(), before)

    def test_weight_0_is_removal(self):
        """A row of weight 0 leaves no trace, whatever it says."""
        other = [*ROWS[:-1], {"prompt": "Nobody", "completion": " knows"}]
        kept = np.arange(8) != 7
        one, two = self.state(kept), self.state(kept, rows=other)
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_weights_scale_the_loss(self):
        logits, ids = torch.randn(3, 5, 7, dtype=torch.float64), torch.randint(7, (3, 5))
        counted = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]).bool()
        weights = torch.tensor([1.0, 2.5, 0.0])
        said = logits.log_softmax(-1)
        parts = [w * -said[i, k - 1, ids[i, k]] for i, w in enumerate(weights) for k in range(5) if counted[i, k]]
        torch.testing.assert_close(batch_loss(logits, ids, counted, weights), sum(parts) / 6)

    def test_nothing_kept_is_the_model_as_it_started(self):
        found, model = self.state(np.zeros(8)), pair(torch.float64)[0].state_dict()
        assert all(torch.equal(found[name], model[name]) for name in model)

    def test_the_given_model_stays(self):
        model, tokenizer = pair()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        train(model, tokenize(ROWS, tokenizer), np.ones(8), 0, SHORT)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    def test_bad_weights_and_a_loss_that_explodes_are_said(self):
        with pytest.raises(LlmattrError, match="8 numbers of 0 or more"):
            self.trained([1.0, -1.0, *[1.0] * 6])
        wild = Recipe(steps=50, batch_size=4, learning_rate=1e200, clip=0.0)
        with pytest.raises(LlmattrError, match=r"not finite at step \d+, seed 3, all 8 rows: take a smaller --learning-rate"):
            self.trained(np.ones(8), 3, recipe=wild)
        with pytest.raises(LlmattrError, match=r"seed 3, without rows 1, 4 of 8: take a smaller --learning-rate"):
            self.trained([1, 0, 1, 1, 0, 1, 1, 1], 3, recipe=wild)

    def test_what_the_last_step_spoils_is_said(self):
        """A loss is seen before its step: after the last one nobody looks again."""
        with pytest.raises(LlmattrError, match=r"training ended with a '.*' that is not finite, seed 0, all 8 rows"):
            self.trained(np.ones(8), recipe=Recipe(steps=1, batch_size=4, learning_rate=1e308, warmup=0.0, weight_decay=1e10))


class TestAblation:
    def test_outputs_are_the_queries_log_probabilities(self):
        model, tokenizer = pair()
        ablation = retraining_ablation((model, tokenizer), ROWS, ASKED, recipe=SHORT)
        nothing = ablation(np.zeros((1, 8), dtype=bool))[0]
        scored = LM.load((model, tokenizer)).logprobs(ablation.trainer.requests)
        np.testing.assert_allclose(nothing, [one.sum() for one in scored], rtol=1e-6)
        mean = retraining_ablation((model, tokenizer), ROWS, ASKED, recipe=SHORT, mean=True)
        np.testing.assert_allclose(mean(np.zeros((1, 8), dtype=bool)), [[nothing.mean()]], rtol=1e-6)
        odds = retraining_ablation((model, tokenizer), ROWS, ASKED, recipe=SHORT, measure="logit")
        np.testing.assert_allclose(odds(np.zeros((1, 8), dtype=bool))[0], nothing - np.log1p(-np.exp(nothing)), rtol=1e-6)

    def test_training_on_a_fact_teaches_it(self):
        ablation = retraining_ablation(pair(), ROWS, ASKED, recipe=SHORT)
        colon = np.array(["Colon" in row["prompt"] for row in ROWS])
        with_it, without = ablation(np.array([colon, ~colon]))[:, 0]
        assert with_it > without + 1

    def test_groups_are_removed_together(self):
        ablation = retraining_ablation(pair(), ROWS, ASKED, recipe=SHORT, group_by="place")
        assert ablation.sources.ids == ["Panama", "Spain", "Colon", "Gatun"]
        np.testing.assert_array_equal(ablation.weights(np.array([True, False, True, True])), [1, 0, 1, 1] * 2)
        rows = retraining_ablation(pair(), ROWS, ASKED, recipe=SHORT)
        assert ablation.sources.texts[1] == f"{rows.sources.texts[1]}\n{rows.sources.texts[5]}"
        with pytest.raises(LlmattrError, match="row 0 has nothing in the column 'author'"):
            retraining_ablation(pair(), ROWS, ASKED, group_by="author")

    def test_nothing_is_trained_twice_and_more_cost_what_they_add(self, tmp_path):
        outputs, *_, asked = linear()
        masks = random_masks(20, 6)
        first = from_function(outputs, 6, 2, tmp_path)(masks[:12])
        count = len(asked)
        assert count == len(np.unique(masks[:12], axis=0))
        again = from_function(outputs, 6, 2, tmp_path)
        np.testing.assert_array_equal(again(masks[:12]), first)
        assert len(asked) == count
        again(masks)
        assert len(asked) == len(np.unique(masks, axis=0)) == len(again.store)

    def test_what_was_trained_before_a_stop_is_kept(self, tmp_path):
        outputs, _, _, asked = linear()

        def stopped(rows, seed):
            if len(asked) == 5:
                raise KeyboardInterrupt
            return outputs(rows, seed)

        masks = every_mask(6)[:20]
        with pytest.raises(KeyboardInterrupt):
            from_function(stopped, 6, 2, tmp_path, "train")(masks)
        from_function(outputs, 6, 2, tmp_path, "train")(masks)
        assert len(asked) == 20

    def test_replicates_are_averaged_over_their_own_seeds(self):
        outputs, _, _, asked = linear(noise=1.0)
        masks = every_mask(6)[5:8]
        ablation = from_function(outputs, 6, 2, replicates=3)
        every = ablation.replicated(masks, 3)
        assert len(set(asked)) == 9
        np.testing.assert_array_equal(ablation(masks), every.mean(axis=1))
        assert len(asked) == 9
        paired = ablation.with_pairs()
        assert len({paired.seed_of(mask, r) for mask in masks for r in range(3)}) == 3

    def test_another_recipe_or_query_is_another_folder(self, tmp_path):
        for recipe, queries in ((SHORT, ASKED), (Recipe(steps=13), ASKED), (SHORT, ASKED[:1])):
            retraining_ablation(pair(), ROWS, queries, recipe=recipe, out=tmp_path)
        assert len(list(tmp_path.glob("*/run.json"))) == 3
        retraining_ablation(pair(), ROWS, ASKED, recipe=SHORT, out=tmp_path)
        assert len(list(tmp_path.glob("*/run.json"))) == 3

    def test_other_weights_are_another_folder_unless_they_are_drawn_anew(self, tmp_path):
        for seed in (0, 1):
            other = tiny_models.llama(seed=seed), tiny_models.tokenizer()
            for start in ("given", "random"):
                retraining_ablation(other, ROWS, ASKED, recipe=Recipe(steps=5, start=start), out=tmp_path)
        assert len(list(tmp_path.glob("*/run.json"))) == 3

    def test_a_lambda_is_kept_only_under_a_name(self, tmp_path):
        with pytest.raises(LlmattrError, match="name="):
            from_function(lambda rows, seed: [0.0], 4, out=tmp_path)
        from_function(lambda rows, seed: [0.0], 4, out=tmp_path, name="nothing")

    @pytest.mark.slow
    def test_several_processes(self, tmp_path):
        ablation = retraining_ablation(pair(), ROWS, ASKED, recipe=SHORT, out=tmp_path, jobs=2)
        masks = random_masks(4, 8)
        outputs = ablation(masks)
        alone = retraining_ablation(pair(), ROWS, ASKED, recipe=SHORT)(masks)
        np.testing.assert_allclose(outputs, alone, atol=1e-4)  # float32; threads may add in another order
        assert len(ablation.store) == 4

    def test_a_backend_that_gives_all_results_at_once(self, tmp_path):
        """As ray's: the outputs are those of any other, and runs are kept as they finish."""
        from joblib import parallel_config, register_parallel_backend
        from joblib._parallel_backends import ThreadingBackend

        class AllAtOnce(ThreadingBackend):
            supports_return_generator = False

        register_parallel_backend("all at once", AllAtOnce)
        outputs, _, _, asked = linear(n=8)
        masks = every_mask(8)[:50]
        with parallel_config(backend="all at once", n_jobs=2):
            ablation = from_function(outputs, 8, 2, tmp_path)
            found = ablation(masks)
        np.testing.assert_array_equal(found, from_function(outputs, 8, 2)(masks))
        assert (len(ablation.store), len(asked)) == (50, 100)

    def test_stopped_runs_have_the_same_neighbours(self, tmp_path):
        """What is left of a call that was stopped is trained in the same company, so that its rounding is the same too."""
        company = []

        @dataclasses.dataclass(frozen=True)
        class Noted(FunctionTrainer):
            def outputs(self, weights, seeds):
                company.append(tuple(seeds))
                if len(company) == 3 and stop:
                    raise KeyboardInterrupt
                return super().outputs(weights, seeds)

        outputs, *_ = linear(n=8)
        ablation = from_function(outputs, 8, 2, tmp_path)
        start = dataclasses.replace(ablation, trainer=Noted(outputs, 2, "linear", together=4))
        masks, stop = every_mask(8)[:20], True
        with pytest.raises(KeyboardInterrupt):
            start(masks)
        stop = False
        dataclasses.replace(start, memory={})(masks)
        stopped, company[:] = company[:2] + company[3:], []
        dataclasses.replace(start, memory={}, store=None)(masks)
        assert stopped == company
        assert [len(seeds) for seeds in company] == [4] * 5

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"recipe": Recipe(steps=0)}, "steps"),
            ({"replicates": 0}, "replicates"),
        ],
    )
    def test_bad_options_are_said(self, options, message):
        with pytest.raises(LlmattrError, match=message):
            retraining_ablation(pair(), ROWS, ASKED, **options)

    def test_a_function_of_another_shape_is_said(self):
        with pytest.raises(LlmattrError, match=r"outputs \(3,\): expected \(1,\)"):
            from_function(lambda rows, seed: np.zeros(3), 4)(every_mask(4)[:1])

    def test_an_output_that_is_not_finite_names_its_run_and_is_not_kept(self, tmp_path):
        def spoilt(rows, seed):
            return [np.nan if rows[2] == 0 else 1.0]

        ablation = from_function(spoilt, 6, out=tmp_path)
        mask = np.array([[True, True, False, True, True, True]])
        seed = ablation.seed_of(mask[0], 0)
        with pytest.raises(LlmattrError, match=f"output 0 of a trained model is nan: seed {seed}, without rows 2 of 6"):
            ablation(mask)
        assert len(ablation.store) == 0

    def test_runs_of_another_version_of_the_training_are_kept_apart(self, tmp_path, monkeypatch):
        for version in (1, 2):
            monkeypatch.setattr("llmattr.retraining.runs.VERSION", version)
            ablation = retraining_ablation(pair(torch.bfloat16), ROWS, ASKED, recipe=SHORT, out=tmp_path)
            assert ablation.record()["trained_in"] == "float32"
        assert len(list(tmp_path.glob("*/run.json"))) == 2


class TestNoise:
    @pytest.mark.slow
    def test_exact_values_have_the_error_of_noisy_outputs(self):
        """Every run has its own noise of deviation 1, known from 16 masks to 18 %; so 200 worlds are off by so much."""
        off, said = [], []
        for world in range(200):
            outputs, weights, *_ = linear(n=4, t=1, noise=1.0)
            found = surrogate.shapley(from_function(outputs, 4, seed=world), 16)
            off.append(found.values - weights)
            said.append(found.stderr)
        assert np.std(off) == pytest.approx(np.sqrt(np.mean(np.square(said))), rel=0.15)

    def test_leave_one_out_knows_the_error_of_a_difference(self):
        """Two runs of deviation 0.3 differ by 0.3 sqrt(2); the residual of 16 masks and 2 seeds has 15 degrees of freedom.

        So over 10 worlds its mean square is known to sqrt(2 / 150) = 11 %, of which four. Of 10 x 40 rows without an effect one
        in 40 is cited by chance, 10, and 5 deviations more; without errors it was 40 %.
        """

        def outputs(rows, run):
            own = np.random.default_rng([run, int(rows @ 2.0 ** np.arange(len(rows)) % 2**62)])
            return [5.0 * rows[0] + 0.3 * own.normal() + 7.0 * np.random.default_rng(run).normal()]  # the last part cancels

        found = [surrogate.leave_one_out(from_function(outputs, 41, seed=seed).with_pairs()) for seed in range(10)]
        squares = np.array([one.stderr[0, 0] ** 2 for one in found])
        assert squares.mean() == pytest.approx(2 * 0.3**2, rel=0.45)
        assert all(one.cited[0, 0] for one in found)
        assert sum(one.cited[0, 1:].sum() for one in found) < 10 + 5 * 10**0.5

    def test_what_all_runs_of_a_seed_share_is_no_error_of_a_difference(self):
        outputs, weights, *_ = linear(n=4, t=1, noise=1.0)  # the noise depends on the seed alone
        found = surrogate.leave_one_out(from_function(outputs, 4, 1).with_pairs())
        np.testing.assert_allclose(found.stderr, 0, atol=1e-12)
        np.testing.assert_allclose(found.values, weights, atol=1e-12)

    def test_no_noise_no_error(self):
        outputs, weights, *_ = linear(n=4, t=1)
        found = surrogate.banzhaf(from_function(outputs, 4), 16)
        np.testing.assert_allclose(found.values, weights, atol=1e-12)
        assert not found.stderr.any()


def _write_runs(folder, number):
    for seed in range(30 * number, 30 * number + 60):
        RunStore.of(folder, {"shared": True}).add([Run(np.ones(5, dtype=bool), seed)], np.full((1, 3), float(seed)))


class TestStore:
    def test_runs_come_back(self, tmp_path):
        store, run = RunStore.of(tmp_path, {"model": "m"}), Run(np.array([True, False, True] * 5), 7)
        assert store.get(run) is None
        store.add([run], np.array([[1.0, 2.0]]))
        np.testing.assert_array_equal(store.get(run), [1.0, 2.0])
        ((found, outputs),) = store.runs()
        assert (found.mask.tolist(), found.seed, outputs.tolist()) == (run.mask.tolist(), 7, [1.0, 2.0])
        assert read_record(store.folder / "run.json") == {"model": "m"}

    def test_masks_of_other_lengths_and_seeds_are_other_runs(self):
        runs = [Run(np.array(mask, dtype=bool), seed) for mask, seed in (([1], 0), ([1, 0], 0), ([1, 0, 0], 0), ([1], 1))]
        assert len({run.key for run in runs}) == 4

    def test_a_damaged_file_is_made_again(self, tmp_path):
        store, run = RunStore.of(tmp_path, {}), Run(np.ones(3, dtype=bool), 0)
        store.add([run], np.ones((1, 1)))
        next(store.folder.glob("??/*.npz")).write_bytes(b"half")
        with pytest.warns(LlmattrNote, match="damaged"):
            assert store.get(run) is None

    def test_a_changed_byte_is_made_again_and_never_an_error(self, tmp_path):
        """Every byte of the file is covered by its digest: headers, names, and the numbers."""
        store, run = RunStore.of(tmp_path, {}), Run(np.ones(30, dtype=bool), 0)
        store.add([run], np.linspace(-3, 0, 5)[None])
        path, rng = next(store.folder.glob("??/*.npz")), np.random.default_rng(0)
        whole = path.read_bytes()
        for at in range(0, len(whole), 3):
            for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :]):
                path.write_bytes(changed)
                with pytest.warns(LlmattrNote, match="is damaged.*the run is made again"):
                    assert store.get(run) is None

    def test_processes_share_a_folder(self, tmp_path):
        """8 processes write 60 runs each, some of them the same: all are there, and whole."""
        at_once(_write_runs, tmp_path)
        store = RunStore.of(tmp_path, {"shared": True})
        runs = {run.seed: outputs.tolist() for run, outputs in store.runs()}
        assert runs == {seed: [float(seed)] * 3 for k in range(8) for seed in range(30 * k, 30 * k + 60)}
        assert not list(tmp_path.rglob("*.part"))

    def test_a_file_in_its_place_is_said(self, tmp_path):
        (tmp_path / "runs").write_text("")
        with pytest.raises(LlmattrError, match="cannot keep runs"):
            RunStore.of(tmp_path / "runs", {})


class TestDatamodels:
    @pytest.mark.parametrize("keep", [0.5, 0.1])
    def test_a_planted_linear_datamodel_is_found(self, keep):
        """T20, with least squares: the outputs have no noise, so nothing but rounding is left."""
        outputs, weights, bias, _ = linear(n=40, t=2)
        found = surrogate.ridge(from_function(outputs, 40, 2), 400, keep, alpha=0.0, bootstraps=0)
        np.testing.assert_allclose(found.values, weights, atol=1e-8)
        np.testing.assert_allclose(found.baseline, bias, atol=1e-8)

    def test_the_lasso_of_an_orthogonal_design_thresholds_softly(self):
        """T21: on 0/1 masks a penalty a of the standardised fit takes 4 a from twice the +-1 weights."""
        outputs, weights, *_ = linear(n=6, t=1, seed=3)
        masks, alpha = every_mask(6), 0.1
        values, _ = surrogate.fit_lasso(masks, np.array([outputs(mask, 0) for mask in masks.astype(float)]), alpha, np.ones(1))
        soft = np.sign(weights) * np.maximum(np.abs(weights) - 2 * alpha, 0)  # theta = w / 2, soft(2 theta, 2 alpha / 2 ... )
        np.testing.assert_allclose(values, soft, atol=1e-6)

    def test_predictions_are_in_raw_units(self):
        """T22: what the fit says of a mask is baseline + mask @ values, whatever was standardised inside."""
        outputs, *_ = linear(n=8, t=1)
        found = surrogate.lasso(from_function(outputs, 8), 200, alpha="auto", bootstraps=0)
        masks = random_masks(300, 8)[200:]
        seen = np.array([outputs(mask, 0) for mask in masks.astype(float)])
        np.testing.assert_allclose(found.predict(masks), seen, atol=1e-6 * np.ptp(seen))

    def test_the_smallest_removal_is_the_smallest(self):
        """T23: by brute force over every removal of an additive margin."""
        rng = np.random.default_rng(1)
        weights, bias = rng.normal(size=(3, 12)), np.array([-1.0, -2.0, 30.0])
        found = surrogate.leave_one_out(from_function(lambda rows, seed: bias + weights @ rows, 12, 3))
        every = every_mask(12)
        flipped = bias + every @ weights.T < 0
        least = [min((~every[flipped[:, t]]).sum(axis=1), default=-1) for t in range(3)]
        fragile = brittleness(found)
        assert fragile.sizes.tolist() == least
        assert least[2] == -1
        assert (found.predict(fragile.masks).diagonal()[:2] < 0).all()

    @pytest.mark.slow
    def test_the_right_weights_correlate_with_single_runs_by_the_root_of_the_reliability(self):
        """T24: noise of deviation 2 and weights of norm 3."""
        n, m = 24, 20_000
        weights = np.random.default_rng(0).normal(size=n)
        weights *= 3 / np.linalg.norm(weights)
        masks = random_masks(m, n)
        truth = masks @ weights
        noise = 2 * np.random.default_rng(1).normal(size=(m, 10))
        for replicates in (1, 10):
            seen = truth + noise[:, :replicates].mean(axis=1)
            expected = np.sqrt(truth.var() / (truth.var() + 4 / replicates))
            # a correlation's error is (1 - r^2) / sqrt(m) < 0.004
            assert np.corrcoef(truth, seen)[0, 1] == pytest.approx(expected, abs=0.012)
            measured = metrics.reliability(truth[:, None, None] + noise[:, :, None], of=replicates)
            assert np.sqrt(measured[0]) == pytest.approx(expected, abs=0.012)

    def test_the_ceiling_is_one_without_noise_and_none_without_change(self):
        outputs, *_ = linear()
        ablation = from_function(outputs, 6, 2)
        np.testing.assert_allclose(ablation.ceiling(every_mask(6)[:9]), 1.0)
        assert np.isnan(metrics.reliability(np.ones((5, 2, 1)))).all()

    def test_a_counterfactual_is_predicted_and_seen(self):
        outputs, weights, bias, _ = linear()
        ablation = from_function(outputs, 6, 2)
        found = surrogate.leave_one_out(ablation)
        masks = top_removals(found, 2)
        assert (~masks).sum(axis=1).tolist() == [2, 2]
        assert set(np.flatnonzero(~masks[0])) == set(np.argsort(-weights[0])[:2])
        check = counterfactual(found, ablation, masks)
        np.testing.assert_allclose(check.predicted, bias + masks @ weights.T, atol=1e-12)
        assert check.error.max() < 1e-12

    def test_targets_with_the_same_sources_are_near(self):
        outputs, weights, *_ = linear(n=6, t=4)
        weights[1] = weights[0] + 1e-3
        points = embeddings(surrogate.leave_one_out(from_function(outputs, 6, 4)), 2)
        distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(4)
        assert distances[0].argmin() == 1
        assert points.shape == (4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_fact_comes_first(name):
    """The rest of what every method keeps is `check_method`'s (tests/test_conformance.py)."""
    method = METHODS[name](**({"n_models": 40} if "n_models" in METHODS[name].__dataclass_fields__ else {}))
    found = retrain(pair(), ROWS, ASKED, method, recipe=SHORT, group_by="place")
    if len(found) == len(ASKED):  # not a value of rows as such
        assert [score.id for score in found.top(1)] == ["Colon", "Spain"]


@pytest.mark.parametrize("lacking", ["attribute", "family"])
def test_a_method_without_what_methods_have_is_refused_before_anything_is_trained(lacking):
    """A misspelt verb is one line that names the right one."""
    parts = {"name": "mine", "family": "datamodel", "attribute": lambda self, ablation, seed=0: None}
    names = {name if name != lacking else lacking[:-1] + "s": part for name, part in parts.items()}
    mine = dataclasses.dataclass(frozen=True)(type("Mine", (), names))
    with pytest.raises(LlmattrError, match=f"the method Mine has no '{lacking}': is '{lacking[:-1]}s' meant for it"):
        retrain("there is no such model", ROWS, ASKED, mine)


def test_a_method_that_changes_its_sources_is_refused():
    def attribute(self, ablation, seed=0):
        found = surrogate.leave_one_out(ablation)
        ablation.sources.texts[0] = "Other words."
        return found

    mine = dataclasses.dataclass(frozen=True)(
        type("Mine", (), {"name": "mine", "family": "predictive", "attribute": attribute})
    )
    with pytest.raises(LlmattrError, match=r"mine changed what it was given, which others use after it \(sources\)"):
        attributed(from_function(lambda weights, seed: weights[:1], 3), mine())


def test_what_a_method_does_not_record_the_ablation_does():
    def attribute(self, ablation, seed=0):
        return dataclasses.replace(surrogate.leave_one_out(ablation), run={"pairs": 3})

    mine = dataclasses.dataclass(frozen=True)(
        type("Mine", (), {"name": "mine", "family": "predictive", "attribute": attribute})
    )
    ablation = from_function(lambda weights, seed: weights[:1], 3, name="first")
    run = attributed(ablation, mine()).run
    assert run.pop("seconds").keys() == {"train"}
    assert run == {**ablation.record(), "pairs": 3}
    assert run["runs"] == len(ablation.memory) > 0


def test_retrain_names_the_options_of_its_ablation():
    taken = inspect.signature(retraining_ablation).parameters.keys() - {"model", "data", "queries", "seed"}
    assert taken == RetrainingOptions.__annotations__.keys()


def test_the_ceiling_is_taken_at_the_rate_of_the_method():
    """The noise that leaves a ceiling is that of subsets such as the method trains on."""
    outputs, *_ = linear(n=6, t=1)
    asked = []

    def noted(rows, seed):
        asked.append(rows.sum())
        return outputs(rows, seed)

    for keep in (0.2, 0.8):
        asked.clear()
        ablation = from_function(noted, 6)
        method = Datamodel(n_models=40, keep=keep, bootstraps=0)
        ablation(random_masks(40, 6, keep, 0))
        fitted = len(asked)
        assert len(attributed(ablation, method).ceiling) == 1
        assert np.mean(asked) == pytest.approx(6 * keep, abs=1)
        assert len(asked) > fitted  # a second run of some


@pytest.mark.parametrize("name", [method.name for method in ON_MASKS])
def test_methods_on_masks_find_an_additive_world(name):
    """Every surrogate of an additive game is its weights, to within its own standard error where it samples."""
    outputs, weights, _, _ = linear(n=5, t=2)
    method = METHODS[name](**({"n_models": 400} if "n_models" in METHODS[name].__dataclass_fields__ else {}))
    found = method.attribute(from_function(outputs, 5, 2))
    exact = 1e-9 if found.stderr is None or not found.stderr.any() else 0.0
    tolerance = exact if exact else np.maximum(5 * found.stderr, 1e-6)
    assert (np.abs(found.values - weights) <= tolerance).all()


def test_a_prediction_that_cannot_be_is_marked():
    """A linear fit may go past 0, where no log-probability is: it is shown as it is, and said."""
    sources, targets = Sources("training rows", ["0", "1", "2"], list("abc")), Targets(["said"], measure="logprob")
    found = Attribution(
        np.array([[0.5, -0.2, 0.4]]), sources, targets, "nats", {"name": "datamodel"}, baseline=np.array([-0.12])
    )
    record = verified(found, from_function(lambda rows, seed: [-0.25 - rows[1]], 3), 2)
    assert record["removed"] == 2
    assert record["all"]["predicted"] == [pytest.approx(0.58)]
    assert record["without"] == {"predicted": [pytest.approx(-0.32)], "seen": [-1.25]}
    lines = _verified(dataclasses.replace(found, verified=record))
    assert lines[3].split() == ["said", "+0.58*", "-1.25", "-0.32", "-1.25"]
    assert lines[4] == "* no log-probability is above 0: there the linear fit goes past what is possible"


class TestCommand:
    def files(self, folder):
        for name, rows in (("rows", ROWS), ("queries", ASKED)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return ["--data", str(folder / "rows.jsonl"), "--out", str(folder / "runs"), "--steps", "15", "--learning-rate", "0.01"]

    @pytest.mark.slow
    def test_datamodel(self, tmp_path, capsys):
        given = [*self.files(tmp_path), "--queries", str(tmp_path / "queries.jsonl"), "--n-models", "24", "--verify", "2"]
        outputs = ["--json", str(tmp_path / "it.json"), "--html", str(tmp_path / "it.html")]
        assert main(["trace", "datamodel", *given, *outputs]) == 0
        said = capsys.readouterr().out
        assert "busy" in said
        assert "Held-out ablations are predicted with a rank correlation" in said
        assert "The noise between seeds allows" in said
        assert "models trained" in said
        assert "With all sources, and without the 2 best of each query (nats)" in said
        saved = json.loads((tmp_path / "it.json").read_text())
        assert len(saved["targets"]) == 2
        assert saved["verified"]["removed"] == 2
        assert len(saved["verified"]["without"]["seen"]) == 2
        assert "Trained again without the 2 best of each query" in (tmp_path / "it.html").read_text(encoding="utf-8")
        assert len(saved["sources"]) == len(saved["targets"][0]["values"]) == 8
        assert "That port of Colon" in (tmp_path / "it.html").read_text(encoding="utf-8").replace("<mark>", "").replace(
            "</mark>", ""
        )
        before = len(list(tmp_path.glob("runs/*/*/*.npz")))
        assert main(["trace", "datamodel", *given]) == 0
        assert len(list(tmp_path.glob("runs/*/*/*.npz"))) == before

    @pytest.mark.slow
    def test_shapley_of_groups_by_prompt_and_completion(self, tmp_path, capsys):
        asked = ["--prompt", "A port of Colon is", "--completion", " busy", "--group-by", "place", "--n-models", "16"]
        assert main(["trace", "shapley", *self.files(tmp_path), *asked]) == 0
        first = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("1 "))
        assert "Colon" in first

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ([], "give --completion"),
            (["--queries", "nowhere.jsonl"], "is no file"),
            (["--prompt", "A", "--completion", " x", "--group-by", "author"], "the column 'author'"),
            (["--prompt", "A", "--completion", " x", "--html", "no/folder/it.html"], "cannot write"),
            (["--prompt", "A", "--completion", " x", "--n-models", "1"], "n_models must be 2 or more"),
            (["--prompt", "A", "--completion", " x", "--jobs", "0"], "jobs (or -1: one for each core) must be 1 or more"),
            (["--prompt", "A", "--completion", " x", "--data", "nothing.jsonl"], "there is no file 'nothing.jsonl'"),
        ],
    )
    def test_what_can_be_mended_is_one_line(self, more, message, tmp_path, capsys):
        assert main(["trace", "datamodel", *self.files(tmp_path), *more]) == 2
        assert message in capsys.readouterr().err

    def test_rows_without_the_columns_are_said(self, tmp_path, capsys):
        given = self.files(tmp_path)
        (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
        assert main(["trace", "datamodel", *given, "--prompt", "A", "--completion", " x"]) == 2
        assert "it needs messages or prompt + completion or text" in capsys.readouterr().err

    @pytest.mark.slow
    def test_the_space_may_stand_at_the_end_of_the_prompt(self, tmp_path, capsys):
        """As in the README: the scratch model's words begin with their space, wherever the border is."""
        given = self.files(tmp_path)
        rows = [{"prompt": f"{row['prompt']} ", "completion": row["completion"].strip()} for row in ROWS]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["trace", "leave-one-out", *given, "--prompt", "A port of Colon is ", "--completion", "busy"]) == 0
        first = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("1 "))
        assert "Colon is busy" in first

    @pytest.mark.slow
    def test_shapley_until_values_are_settled(self, tmp_path, capsys):
        asked = ["--prompt", "A port of Colon is", "--completion", " busy", "--group-by", "place", "--n-models", "auto"]
        assert main(["trace", "shapley", *self.files(tmp_path), *asked, "--json", str(tmp_path / "it.json")]) == 0
        target = json.loads((tmp_path / "it.json").read_text())["targets"][0]
        assert max(target["values"]) == target["values"][2]

    @pytest.mark.slow
    def test_killed_and_started_again(self, tmp_path):
        asked = ["--prompt", "A", "--completion", " busy", "--n-models", "40"]
        given = ["trace", "datamodel", *self.files(tmp_path), *asked]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([sys.executable, "-m", "llmattr", *given], **silent)
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("runs/*/*/*.npz"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/*/*.npz")}
        assert 3 <= len(kept) < 40
        assert main(given) == 0
        assert all(path.stat().st_mtime_ns == at for path, at in kept.items())


@pytest.mark.parametrize("column", ["span", "rather_than"])
def test_parts_of_answers_and_other_answers_are_not_asked_about(column):
    rows = [{"prompt": "It is ", "completion": "red."}, {"prompt": "It was ", "completion": "blue."}]
    with pytest.warns(LlmattrNote, match="what queries have as span or rather_than is not used"):
        retraining_ablation("scratch", rows, [{**rows[0], column: "blue"}], recipe=Recipe(steps=1))


@pytest.mark.parametrize(("name", "kind"), [("scratch", "llama"), ("scratch-gpt2", "gpt2")])
def test_the_scratch_model_knows_every_word_and_loses_nothing(name, kind):
    texts = ["Brasília's  capital,\nof (course) 1,234.", "Ça va? 東京です"]
    model, tokenizer = scratch_model(texts, name=name)
    assert model.config.model_type == kind
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
    assert model.config.vocab_size == len(tokenizer)


def test_scratch_models_are_told_by_their_names():
    rows = [{"prompt": "It is ", "completion": "red."}]
    kinds = {}
    for name in KINDS:
        trainer = retraining_ablation(name, rows, rows, recipe=Recipe(steps=1)).trainer
        assert isinstance(trainer, CausalTrainer)
        kinds[name] = type(trainer.lm.model).__name__
        assert trainer.recipe.start == "random"
        assert trainer.lm.tokenizer.decode(trainer.rows.ids[0][-2:-1]) in (" red", "red")  # words have the space before them
    assert kinds == {"scratch": "LlamaForCausalLM", "scratch-gpt2": "GPT2LMHeadModel"}
    assert not any(is_scratch(other) for other in (Path("scratch"), "scratches", (1, 2), [1]))


def test_a_trainer_by_name_is_loaded_where_it_runs(tiny_folder):
    import pickle

    ablation = retraining_ablation(str(tiny_folder), ROWS, ASKED, recipe=SHORT)
    assert isinstance(ablation.trainer, CausalTrainer)
    assert len(pickle.dumps(ablation.trainer)) < 100_000  # a worker gets the name, not the weights


@pytest.mark.slow
def test_a_dask_cluster_loses_and_doubles_nothing_when_a_worker_dies(tmp_path):
    """Two worker processes of a real cluster, one of which is killed while it trains."""
    distributed = pytest.importorskip("distributed")
    import joblib

    runs = tmp_path / "runs"

    def slow(rows, seed):
        (tmp_path / f"{seed}-{os.getpid()}-{time.monotonic_ns()}.began").touch()
        time.sleep(0.2)
        return np.array([rows.sum() + seed * 1e-12])

    masks = every_mask(6)[:40]
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        victim = next(iter(client.run(os.getpid).values()))

        def kill():
            deadline = time.monotonic() + 60
            while len(list(runs.glob("*/*/*.npz"))) < 6 and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(victim, signal.SIGKILL)

        threading.Thread(target=kill).start()
        outputs = from_function(slow, 6, 1, runs, "slow", jobs=-1)(masks)
    np.testing.assert_allclose(outputs[:, 0], masks.sum(axis=1), atol=1e-2)
    assert len(list(runs.glob("*/*/*.npz"))) == len(masks)
    workers = {path.name.split("-")[1] for path in tmp_path.glob("*.began")}
    assert len(workers) >= 2
    assert len(list(tmp_path.glob("*.began"))) <= len(masks) + 2  # at most what the dead worker was at
    assert surrogate.leave_one_out(retraining.from_function(lambda rows, seed: [rows.sum()], 3)).values.tolist() == [[1, 1, 1]]


def test_a_datamodel_by_name_is_the_default():
    assert METHODS["datamodel"] is Datamodel


def test_a_language_without_spaces_has_words_on_both_sides_of_the_border():
    """Where the prompt ends a token ends, so a completion that is glued to it is known as well."""
    rows = [{"prompt": f"{who}的外套是", "completion": said} for who, said in (("安娜", "红色"), ("本", "蓝色"))]
    trainer = retraining_ablation("scratch", rows, rows[:1], recipe=Recipe(steps=1)).trainer
    unknown = trainer.lm.tokenizer.unk_token_id
    assert all(unknown not in ids for ids in trainer.rows.ids)
    assert len({tuple(ids) for ids in trainer.rows.ids}) == 2
