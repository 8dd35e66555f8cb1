"""Prompts of components' tasks have a right and a wrong word; scores are judged by what is removed and by circuits."""

import itertools
import json
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner

from eval.components.case import Case, Metered, Size
from eval.components.features import Compared, of_kinds
from eval.components.tasks import TASKS, solved
from eval.context.case import Model
from eval.harness.contract import Entry
from llmattr.ablation import from_function, one_out_masks
from llmattr.components import METHODS
from llmattr.components.features.baselines import baseline
from llmattr.metrics import circuits
from tests.components.features.worlds import autoencoder

COMMAND = import_module("eval.components.bench").command
ROW = {"prompt": "The canal is", "completion": " lake", "rather_than": " canal", "counterfactual": "The lake is"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_draws_prompts_with_two_answers_and_another_prompt(task):
    rows = list(itertools.islice(TASKS[task](np.random.default_rng(3)), 20))
    again = list(itertools.islice(TASKS[task](np.random.default_rng(3)), 20))
    assert rows == again
    assert all(set(row) == {"prompt", "completion", "rather_than", "counterfactual"} for row in rows)
    assert all(row["completion"] != row["rather_than"] and row["prompt"] != row["counterfactual"] for row in rows)


def test_the_later_year_is_later():
    for row in itertools.islice(TASKS["years"](np.random.default_rng(0)), 50):
        begun = row["prompt"].split()[6]
        century = row["prompt"].split()[-1]
        assert int(f"{century}{row['completion']}9") > int(begun) > int(f"{century}{row['rather_than']}9")


def test_solved_are_different_and_as_wanted():
    rows = solved("capitals", 5, 0, lambda row: "a" in row["completion"])
    assert len({row["prompt"] for row in rows}) == 5
    assert all("a" in row["completion"] for row in rows)
    assert solved("capitals", 5, 0, lambda _row: False) == []


def case(**size):
    return Case("made", ROW, True, Model("tiny"), Size(held_out=16, **size))


def test_a_score_pays_for_what_it_asks_whoever_asked_before():
    one = case()
    n, tokens = len(one.ablation.sources), len(one.ablation.asked.requests[0].ids)
    for _ in range(2):  # the second time everything is known
        costs = one.score(Entry("leave-one-out", METHODS["leave-one-out"]())).costs
        assert costs["passes"] == n + 1
        assert costs["tokens"] == (n + 1) * tokens
        assert costs["CPU s"] > 0
    patched = one.score(Entry("attribution-patching", METHODS["attribution-patching"]())).costs
    assert patched["passes"] == 1 + 2 * 2  # a mask, and a gradient for each of two words
    assert patched["tokens"] == tokens + 2 * 2 * tokens


def test_metering_changes_no_number():
    one = case()
    parts = {name: vars(one.ablation)[name] for name in ("lm", "sites", "asked", "fills", "way", "known")}
    masks = one_out_masks(len(one.ablation.sources))
    assert (Metered(**parts)(masks) == one.ablation(masks)).all()


def test_true_scores_are_judged_better_than_random_ones():
    one = case(way="zero")
    true = one.score(Entry("leave-one-out", METHODS["leave-one-out"]()))
    judged = one.judge({"true": true, "random": one.score(Entry("random"))})
    assert judged["true"].measures["LDS"] > judged["random"].measures["LDS"]
    assert "counterfactual error" in judged["true"].measures
    assert "counterfactual error" not in judged["random"].measures  # no baseline, nothing foretold


def compared(model):
    """A prompt whose sources are a dictionary's features, neurons and random directions."""
    learnt = autoencoder(size=24, k=4)
    kinds = {"features": learnt, "neurons": baseline(learnt, "neurons"), "directions": baseline(learnt, "random")}
    sizes = {kind: Size(16, "features", "resample", one) for kind, one in kinds.items()}
    return Compared({kind: Case("made", ROW, True, model, size) for kind, size in sizes.items()})


def test_each_kind_of_sources_is_scored_and_judged_by_itself():
    one = compared(Model("tiny"))
    cases = one.cases.values()
    assert len({json.dumps(case.identity()) for case in cases}) == 3  # kept scores are not mistaken for each other's
    entries = [entry for entry in of_kinds(["leave-one-out", "verified"], [8, 16]) if "random" not in entry.label]
    assert [entry.label for entry in entries[:3]] == [
        "features: verified, 8",
        "features: verified, 16",
        "features: leave-one-out",
    ]
    judged = one.judge({entry.name: one.score(entry) for entry in entries})
    whole = [case.ablation(ends(len(case.ablation.sources))) for case in cases]
    assert np.ptp(whole, axis=0) == pytest.approx(
        0, abs=1e-9
    )  # float64; without any, and with all, it does not matter whose they are
    for kind, case in one.cases.items():
        found = judged[f"{kind}: leave-one-out"].measures
        n = len(case.ablation.sources)
        error = np.arange(n) == n - 1
        (none, full), (without, alone) = (case.ablation(masks)[:, 0] for masks in (ends(n), np.stack([~error, error])))
        assert found["sources"] == n
        assert found["features alone"] == pytest.approx((without - none) / (full - none))
        assert found["error alone"] == pytest.approx((alone - none) / (full - none))


def ends(n):
    return np.repeat([[False], [True]], n, axis=1)


class TestCircuits:
    def test_of_a_sum_they_are_the_shares_of_it(self):
        weights = np.array([4.0, 3.0, 2.0, 1.0])
        curve = circuits.faithfulness_curve(weights[None], from_function(lambda masks: masks @ weights[:, None], 4))
        assert curve[0].tolist() == [0.0] * 8 + [0.7, 1.0]  # below a half no component, then the best two of four

    def test_the_largest_whatever_their_sign_are_nearer_to_the_model(self):
        weights = np.array([4.0, -3.0, 1.0, 0.0])
        ablation = from_function(lambda masks: masks @ weights[:, None], 4)
        highest, largest = (circuits.faithfulness_curve(weights[None], ablation, absolute=sign) for sign in (False, True))
        assert highest[0, -2] == 5 / 2
        assert largest[0, -2] == 1 / 2
        assert circuits.performance_ratio(highest) > circuits.performance_ratio(largest)
        assert circuits.model_distance(largest) < circuits.model_distance(highest)

    def test_nothing_to_explain_is_nan(self):
        curve = circuits.faithfulness_curve(np.ones((1, 3)), from_function(lambda masks: 0.0 * masks[:, :1], 3))
        assert np.isnan(curve).all()


def test_what_is_wrong_is_one_line(tmp_path):
    done = CliRunner().invoke(COMMAND, ["--tiny", "--tasks", "capital", "--out", str(tmp_path / "o.json")])
    assert done.exit_code == 2
    assert "there is no task 'capital'" in done.output


@pytest.mark.slow
def test_it_runs_and_goes_on_from_what_it_has(tmp_path):
    words = ["--tiny", "--tasks", "capitals,years", "--budget", "8", "--out", str(tmp_path / "components.json")]
    assert CliRunner().invoke(COMMAND, words).exit_code == 0
    figures = json.loads((tmp_path / "components.json").read_text())["table"]["figures"]
    assert {"verified", "leave-one-out", "EAP-IG", "random"} <= {figure["method"] for figure in figures}
    again = CliRunner().invoke(COMMAND, words)
    assert "scores were kept by a run before this one" in again.output


@pytest.mark.slow
def test_features_stand_beside_neurons_and_directions(tmp_path):
    words = ["--tiny", "--tasks", "years", "--out", str(tmp_path / "features.json")]
    command = import_module("eval.components.features").command
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    parts = json.loads((tmp_path / "features.json").read_text())
    labels = [figure["method"] for figure in parts["table"]["figures"]]
    assert {f"{kind}: leave-one-out" for kind in ("features", "neurons", "directions")} <= set(labels)
    (agreed,) = [row for row in parts["agreement"]["figures"] if row["method"] == "features: leave-one-out"]
    assert agreed["neurons: leave-one-out"] is None  # scores of other sources
    assert agreed["features: attribution-patching"] is not None
    assert "scores were kept by a run before this one" in CliRunner().invoke(command, words).output  # learnt once, too
