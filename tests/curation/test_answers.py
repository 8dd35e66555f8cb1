"""Signals of wrong answers, rows that mean the same, few rows that stand for many: against what is known of small worlds."""

import itertools
import json

import numpy as np
import pytest
import torch

from llmattr.cli import main
from llmattr.curation.answers import Retraining, confident_learning, doubts, label_numbers, mean_rank, out_of_bag
from llmattr.curation.curate import Asked, curate, suspects
from llmattr.curation.diversity import facility_location, k_center, label_next
from llmattr.curation.kept import Kept
from llmattr.curation.meaning import same_meaning
from llmattr.curation.texts import Texts
from llmattr.errors import LlmattrError
from llmattr.retraining.recipe import Recipe
from llmattr.training.gradients.passes import token_losses

ROWS = [{"prompt": f"the river {n}", "completion": " is long" if n % 2 else " is old"} for n in range(12)]
NOWHERE = Kept(None, "")


def test_loss_and_margin_are_those_of_the_logits(tiny):
    found = doubts([tiny], ROWS[:3], NOWHERE)
    examples = tiny.tokenize(ROWS[:3])
    for row, (ids, counted) in enumerate(zip(examples.ids, examples.counted, strict=True)):
        with torch.no_grad():
            logits = tiny.model(torch.tensor([ids])).logits[0, :-1].double()
        losses, margins, entropies = [], [], []
        for place in np.flatnonzero(counted):
            own, token = logits[place - 1], ids[place]
            losses.append(float(own.logsumexp(0) - own[token]))
            margins.append(float(own[token] - torch.cat([own[:token], own[token + 1 :]]).max()))
            entropies.append(float(torch.distributions.Categorical(logits=own).entropy()))
        # float32 logits of some units: 1e-5
        assert found.signals["loss"][row] == pytest.approx(np.mean(losses), abs=1e-5)
        assert found.signals["margin"][row] == pytest.approx(-np.mean(margins), abs=1e-5)
        assert found.uncertainty[row] == pytest.approx(np.mean(entropies), abs=1e-5)
    assert found.wrong is None  # three rows are no labels


def test_the_margin_is_the_mean_over_checkpoints(tiny, lm):
    one, other = (doubts([model], ROWS[:3], NOWHERE) for model in (lm, tiny))
    both = doubts([lm, tiny], ROWS[:3], NOWHERE)
    np.testing.assert_allclose(both.signals["margin"], (one.signals["margin"] + other.signals["margin"]) / 2, atol=1e-12)
    np.testing.assert_array_equal(both.signals["loss"], other.signals["loss"])


def test_of_labels_the_uncertainty_is_their_entropy(tiny):
    with pytest.warns(UserWarning, match="completions are 2 labels"):
        found = doubts([tiny], ROWS, NOWHERE)
    assert list(found.signals) == ["loss", "margin", "confident learning", "self-influence"]
    assert np.all((found.uncertainty > 0) & (found.uncertainty <= np.log(2)))
    assert found.wrong.shape == (12,)


def test_answers_of_chats_are_labels_too(tiny):
    chats = [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in ROWS
    ]
    with pytest.warns(UserWarning, match="completions are 2 labels"):
        found = doubts([tiny], chats, NOWHERE)
    asked = [
        [{"messages": [chat["messages"][0], {"role": "assistant", "content": said}]} for said in (" is long", " is old")]
        for chat in chats
    ]
    losses = np.array([[tokens.sum() for tokens in token_losses(tiny, tiny.tokenize(of))] for of in asked])
    odds = np.exp(-losses) / np.exp(-losses).sum(axis=1, keepdims=True)
    entropy = -(odds * np.log(odds)).sum(axis=1)
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1e-5)  # float32 log-probabilities
    assert found.wrong.shape == (12,)


def test_confident_learning_counts_by_the_thresholds_of_each_label():
    """Thresholds are .6667 and .6167: the joint counts are [[2, 1], [1, 2]], whose off-diagonal rows are called wrong."""
    sure = np.array([0.9, 0.8, 0.3, 0.2, 0.1, 0.85])
    suspect, wrong = confident_learning(np.array([0, 0, 0, 1, 1, 1]), np.stack([sure, 1 - sure], axis=1))
    np.testing.assert_array_equal(wrong, [False, False, True, False, False, True])
    assert set(np.argsort(-suspect)[:2]) == {2, 5}


def test_what_labels_are():
    assert label_numbers([" b", " a"] * 5).tolist() == [1, 0] * 5
    assert label_numbers([" b", " a"]) is None  # too few of each
    assert label_numbers([None, " a"]) is None
    with pytest.raises(LlmattrError, match="nothing tells a wrong answer from a right one"):
        label_numbers([" a"] * 5)


def test_ranks_are_averaged_and_the_most_suspect_told():
    signals = {"one": np.array([0.0, 1, 2, 3]), "other": np.array([5.0, 9, 7, 7])}
    np.testing.assert_allclose(mean_rank(signals), [0.25, 0.75, (0.75 + 0.625) / 2, (1 + 0.625) / 2])
    (first, second) = suspects(signals, 2)
    assert (first.row, second.row) == (3, 1)
    assert first.why == "more suspect than 75% of the rows by one, 25% of the rows by other"
    assert suspects({}, 3) == []
    assert suspects(signals, 1, wrong=[3])[0].why == f"called wrong by confident learning; {first.why}"


def test_a_row_that_contradicts_the_others_is_doubted_by_models_that_did_not_see_it():
    rows = [{"prompt": "the sky is", "completion": " blue"}] * 9 + [{"prompt": "the sky is", "completion": " green"}]
    found = out_of_bag(rows, Retraining("scratch", 12, Recipe(steps=30, batch_size=8, start="random")), None)
    assert found.argmax() == 9


def test_an_empty_answer_is_told_and_changes_nothing_of_the_others(tiny):
    """Models are not asked of it: it is the least suspect, and never the next to label."""
    full, place = curate(ROWS, asked=Asked([tiny], suspects=3, label_next=2)), len(ROWS) // 2
    silent = [{"prompt": "Is it?", "completion": "  "}, {"messages": [{"role": "user", "content": "Is it?"}]}]
    rows = [*ROWS[:place], *silent, *ROWS[place:]]
    found = curate(rows, asked=Asked([tiny], suspects=3, label_next=2))
    others = [number for number in range(len(rows)) if number not in (place, place + 1)]
    for name, values in full.signals.items():
        np.testing.assert_allclose(found.signals[name][others], values, rtol=1e-9)  # other batches, in float64
        assert [*found.signals[name][place : place + 2]] == [values.min()] * 2

    def numbers(result, kind):
        return [one.row for one in result.findings if one.kind == kind]

    assert numbers(found, "empty") == [place, place + 1]
    assert numbers(found, "suspects") == [others[row] for row in numbers(full, "suspects")]
    assert {place, place + 1}.isdisjoint(found.chosen["label next"])


def test_rows_mean_the_same_where_whole_and_completion_do():
    rows = [{"prompt": ask, "completion": said} for ask, said in (("a", "b"), ("aa", "b"), ("a", "c"), ("d", "e"))]
    whole, answers = np.array([[1, 0], [1, 0.1], [1, 0], [0, 1]]), np.array([[1, 0], [1, 0], [0, 1.0], [1, 0]])
    (one,) = same_meaning(Texts.of(rows), whole, answers, NOWHERE)
    assert (one.row, one.other) == (0, 1)  # the longer stays; the third answers otherwise, the fourth asks otherwise


def test_of_a_chain_of_meanings_a_row_goes_only_where_one_that_means_the_same_stays():
    """15 degrees apart: the cosine of neighbours is 0.966, of the ends 0.866."""
    turned = np.array([[np.cos(angle), np.sin(angle)] for angle in np.deg2rad([0, 15, 30])])
    (one,) = same_meaning(Texts.of([{"text": "a"}] * 3), turned, turned, NOWHERE)
    assert (one.row, one.other) == (1, 0)


POINTS = np.random.default_rng(0).random((12, 2))


def test_facility_location_is_within_its_bound_and_greedy():
    units = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    alike = units @ units.T

    def value(rows):
        return alike[:, list(rows)].max(axis=1).sum()

    chosen = facility_location(units, 4)
    best = max(value(rows) for rows in itertools.combinations(range(12), 4))
    assert (1 - 1 / np.e) * best <= value(chosen) <= best + 1e-12
    for step in range(4):  # each adds as much as any could
        gains = [value([*chosen[:step], row]) for row in range(12)]
        assert value(chosen[: step + 1]) == pytest.approx(max(gains), abs=1e-12)


def test_k_center_is_within_twice_the_least_radius():
    def radius(rows):
        return np.linalg.norm(POINTS[:, None] - POINTS[list(rows)], axis=2).min(axis=1).max()

    chosen = k_center(POINTS, 4)
    assert len(set(chosen.tolist())) == 4
    assert radius(chosen) <= 2 * min(radius(rows) for rows in itertools.combinations(range(12), 4))


def test_what_to_label_next_is_uncertain_and_not_the_same_twice():
    vectors = np.array([[0.0, 0], [0, 0.01], [5, 0], [0, 5]])
    assert label_next(np.array([1.0, 0.9, 0.5, 0.0]), vectors, 2).tolist() == [
        0,
        2,
    ]  # the second is certain to be like the first
    with pytest.raises(LlmattrError, match="nothing tells what to label next"):
        label_next(np.ones(4), vectors, 2)
    for choose in (facility_location, k_center):
        with pytest.raises(LlmattrError, match="k must lie between 1 and 5"):
            choose(vectors, 5)


def test_what_to_label_next_needs_a_model():
    with pytest.raises(LlmattrError, match=r"give one \(--model\)"):
        curate(ROWS, asked=Asked(label_next=2))


@pytest.fixture
def rows(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(tiny_folder)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_the_command_tells_suspects_by_all_signals_and_goes_on_where_it_was(rows, capsys):
    line = "curate rows.jsonl --model model --suspects 3 --diverse 2 --label-next 2 --cache kept"
    line += " --json found.json --html page.html"
    assert main(line.split()) == 0
    said = capsys.readouterr()
    assert "suspects: 3 rows, each of which the model finds its answer wrong" in said.out
    assert "confident learning with loss: " in said.out
    record = json.loads((rows / "found.json").read_text())
    assert set(record["signals"]) == {"loss", "margin", "confident learning", "self-influence"}
    assert {name: len(chosen) for name, chosen in record["chosen"].items()} == {"diverse": 2, "label next": 2}
    assert record["agreement"]["loss"]["margin"] == record["agreement"]["margin"]["loss"]
    assert "confident learning: above" in (rows / "page.html").read_text()
    assert main(line.split()) == 0
    assert json.loads((rows / "found.json").read_text()) == record
    assert main(["rerun", "found.json"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--bags 3", "no model is trained without --retrain"),
        ("--suspects 3", "no answer is doubted without --model or --retrain"),
        ("--label-next 3", "give one (--model)"),
        ("--diverse 99", "99 rows that stand for all (--diverse) are to be chosen, and there are 12"),
    ],
)
def test_options_that_would_be_of_no_use_are_refused(rows, capsys, options, message):
    assert main(["curate", "rows.jsonl", "--no-cache", *options.split()]) == 2
    assert message in capsys.readouterr().err


def test_labels_of_one_class_are_one_line(rows, capsys):
    (rows / "same.jsonl").write_text("".join(json.dumps({**row, "completion": " yes"}) + "\n" for row in ROWS))
    assert main(["curate", "same.jsonl", "--no-cache", "--model", "model"]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("llmattr: error: all rows have the completion ' yes'")
