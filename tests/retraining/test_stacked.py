"""`stacked`: scores of other methods from files, weighed by a few retrained models."""

import dataclasses
import json

import numpy as np
import pytest

from llmattr import surrogate
from llmattr.cli import main
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError
from llmattr.retraining import from_function
from llmattr.retraining.build import attributed
from llmattr.retraining.methods.stacked import Stacked, priors_of

N, T = 30, 2
EFFECTS = np.random.default_rng(0).normal(size=(T, N))


def ablation():
    return from_function(lambda weights, seed: EFFECTS @ weights, N, T)


def known(values, order=None):
    """An attribution of these scores: of sources in their order, or of those with an index, as of `trace query`."""
    asked = ablation()
    found = Attribution(values, asked.sources, asked.targets, "nats", {"name": "known"})
    return found if order is None else dataclasses.replace(found, values=np.take_along_axis(values, order, axis=1), index=order)


def test_ten_models_weigh_files_of_scores(tmp_path):
    """One of rows in the order of their scores, as queries of an index give them."""
    noise = np.random.default_rng(1).normal(size=(T, N))
    known(3 * EFFECTS, np.argsort(-EFFECTS, axis=1)).save(tmp_path / "right.json")
    known(noise).save(tmp_path / "noise.json")
    files = f"{tmp_path}/noise.json,{tmp_path}/right.json"
    found = attributed(ablation(), Stacked(n_models=10, prior=files))
    np.testing.assert_allclose(found.values, EFFECTS, atol=1e-5)
    assert found.method == {"name": "stacked", "n_models": 10, "keep": 0.5, "prior": files}
    assert found.details["beta"][0][0] < 1e-5 < 0.99 < found.details["beta"][0][1]


def test_attributions_are_priors_in_python():
    priors = priors_of({"known": known(3 * EFFECTS, np.argsort(EFFECTS, axis=1))}, ablation())
    np.testing.assert_array_equal(priors, 3 * EFFECTS[None])
    np.testing.assert_allclose(surrogate.stacked(ablation(), priors, 10).values, EFFECTS, atol=1e-5)


def other_texts(prior):
    return dataclasses.replace(prior, sources=dataclasses.replace(prior.sources, texts=["other words"] * N))


def other_targets(prior):
    return dataclasses.replace(prior, targets=dataclasses.replace(prior.targets, texts=["other", "words"]))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (other_texts, "the prior 'p.json' is of other sources than these 30: make it of the same ones"),
        (other_targets, "the prior 'p.json' is of other queries than these 2: make it for the same ones, in the same order"),
        (lambda prior: prior[:1], "the prior 'p.json' is of other queries than these 2"),
        (
            lambda prior: dataclasses.replace(prior, values=prior.values[:, :7], index=np.tile(np.arange(7), (T, 1))),
            r"the prior 'p.json' has scores of 7 of 30 sources for each query: make it with all of them \(--top 30\)",
        ),
    ],
)
def test_other_rows_and_queries_are_refused(made, said):
    with pytest.raises(LlmattrError, match=said):
        priors_of({"p.json": made(known(EFFECTS))}, ablation())


ROWS = [{"prompt": f"The {what} is", "completion": f" {said}"} for what in ("lake", "king") for said in ("deep", "old")]


class TestCommand:
    def files(self, tmp_path):
        for name, rows in (("rows", ROWS), ("asked", ROWS[:2])):
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return f"{tmp_path}/rows.jsonl", f"{tmp_path}/asked.jsonl"

    def run(self, tmp_path, *more):
        rows, asked = self.files(tmp_path)
        given = ["--data", rows, "--queries", asked, "--out", f"{tmp_path}/runs"]
        return main(["trace", *more[:1], *given, "--steps", "2", *more[1:]])

    def test_results_of_other_commands_are_priors(self, tmp_path, capsys):
        first, second, out = (str(tmp_path / name) for name in ("in-run.json", "left-out.json", "out.json"))
        assert self.run(tmp_path, "in-run-shapley", "--json", first) == 0
        assert self.run(tmp_path, "leave-one-out", "--json", second) == 0
        assert self.run(tmp_path, "stacked", "--n-models", "4", "--prior", f"{first},{second}", "--json", out) == 0
        err = capsys.readouterr().err
        assert "single scores are mostly chance" not in err
        found = json.loads((tmp_path / "out.json").read_text())
        assert len(found["targets"][0]["details"]["beta"]) == 2
        assert {first, second} < found["command"]["inputs"].keys()  # whose digests `rerun` compares

    def test_answers_of_an_index_are_priors_where_they_have_all_rows(self, tmp_path, tiny_folder, capsys):
        index, prior, model = str(tmp_path / "index"), str(tmp_path / "prior.json"), ["--model", str(tiny_folder)]
        rows, asked = self.files(tmp_path)
        assert main(["trace", "index", "--data", rows, "--out", index, *model, "bm25"]) == 0
        for top, code in (("1", 2), ("4", 0)):
            assert main(["trace", "query", index, "--queries", asked, "--top", top, "--json", prior]) == 0
            assert self.run(tmp_path, "stacked", *model, "--n-models", "4", "--prior", prior) == code
            assert ("make it with all of them (--top 4)" in capsys.readouterr().err) == (code == 2)

    def test_files_that_are_no_results_are_one_line(self, tmp_path, capsys):
        assert self.run(tmp_path, "stacked", "--prior", f"{tmp_path}/none.json") == 2
        err = capsys.readouterr().err
        assert err.startswith(f"llmattr: error: cannot read '{tmp_path}/none.json'")
        assert err.count("\n") == 1

    def test_names_with_commas_between(self, tmp_path, capsys):
        first = str(tmp_path / "in-run.json")
        assert self.run(tmp_path, "in-run-shapley", "--json", first) == 0
        assert self.run(tmp_path, "stacked", "--n-models", "4", "--prior", f"{first}, {first}") == 0
        capsys.readouterr()
        for prior in (",", f"{first},"):
            assert self.run(tmp_path, "stacked", "--n-models", "4", "--prior", prior) == 2
            assert "has a comma with no name of a file beside it" in capsys.readouterr().err
