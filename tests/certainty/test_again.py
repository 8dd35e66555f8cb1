"""The same question again: contexts by several seeds, training rows by the runs of an index, on the command line too."""

import json

import numpy as np
import pytest

from llmattr import build_index, cite
from llmattr.certainty import replicates
from llmattr.certainty.again import factors_of, over_models, over_seeds
from llmattr.cli import main
from llmattr.context import METHODS
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError
from tests import tiny_models

TEXT = "The canal is long. It has locks.\nIt opened in 1914. Ships pay a toll."
HOW = {"query": "When?", "response": "It opened in 1914."}
PLACES = {"Peru": "America", "Chad": "Africa", "Laos": "Asia"}
ROWS = [{"prompt": f"{land} is in ", "completion": place} for land, place in PLACES.items()]
ASKED = [{"prompt": "Peru is in ", "completion": "America"}, {"prompt": "Laos is in ", "completion": "Asia"}]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three trainings' models, saved."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        tiny_models.llama(seed=seed).save_pretrained(folder / f"run{seed}")
        tiny_models.tokenizer().save_pretrained(folder / f"run{seed}")
    return [str(folder / f"run{seed}") for seed in range(3)]


class TestContexts:
    METHOD = METHODS["ridge"](n_ablations=8)

    def test_the_mean_over_seeds(self, tiny):
        found = over_seeds(cite(tiny, TEXT, method=self.METHOD, **HOW), range(3))
        runs = [cite(tiny, TEXT, method=self.METHOD, seed=seed, **HOW) for seed in range(3)]
        one = replicates(runs)
        for name, expected in (("values", one.mean), ("deviation", one.deviation), ("q_values", one.q_values)):
            np.testing.assert_allclose(vars(found)[name], expected, err_msg=name)
        np.testing.assert_allclose(found.baseline, np.mean([run.baseline for run in runs], axis=0))
        np.testing.assert_allclose(found.relevance, runs[0].relevance)
        cited = found[0].cited[0]
        assert [one.source for one in found.evidence.targets[0].citations] == np.flatnonzero(cited).tolist()  # of the mean

    def test_what_draws_nothing_is_refused(self, tiny):
        with pytest.raises(LlmattrError, match="2 runs are equal in every score"):
            over_seeds(cite(tiny, TEXT, method="leave-one-out", **HOW), range(2))

    def test_a_loaded_result_is_refused(self, tiny, tmp_path):
        saved = cite(tiny, TEXT, method="leave-one-out", **HOW).save(tmp_path / "one.json")
        with pytest.raises(LlmattrError, match="only a fresh result"):
            over_seeds(Attribution.load(saved), range(2))

    def test_the_command(self, tiny_folder, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "canal.txt").write_text(TEXT)
        ask = ["cite", "canal.txt", "--query", "When?", "--response", HOW["response"], "--model", str(tiny_folder)]
        given = ["ridge", "--n-ablations", "8", "--replicates", "3", "--json", "mean.json", "--html", "mean.html", "-v"]
        assert main([*ask, *given]) == 0, capsys.readouterr().err
        assert "Means of 3 runs, ± their standard errors" in capsys.readouterr().out
        target = json.loads((tmp_path / "mean.json").read_text())["targets"][0]
        assert len(target["deviation"]) == len(target["q_values"]) == 4
        assert ", q " in (tmp_path / "mean.html").read_text()
        assert main([*ask, "--replicates", "3", "leave-one-out"]) == 2
        assert "equal in every score" in capsys.readouterr().err


class TestTrainingRows:
    def test_every_model_is_asked_by_itself(self, models, tmp_path):
        index = build_index(None, ROWS, tmp_path / "runs", "grad-dot", checkpoints=models)
        found = over_models(index, ASKED)
        assert found.sampling == "deep ensemble"
        for number, model in enumerate(models):
            alone = build_index(model, ROWS, tmp_path / f"{number}", "grad-dot").query(ASKED, None, foreign=0)
            own = np.take_along_axis(alone.values, np.argsort(alone.index, axis=1), axis=1)
            np.testing.assert_allclose(found.runs.values[number], own, rtol=1e-6)
        best = found.attribution(top=1)
        assert best.values.shape == (2, 2)
        assert best.traced
        with pytest.raises(LlmattrError, match="the index is of one model"):
            over_models(build_index(models[0], ROWS, tmp_path / "one", "grad-dot"), ASKED)
        several = build_index(None, ROWS, tmp_path / "source", "source", checkpoints=models)
        with pytest.raises(LlmattrError, match="source scores a whole training"):
            over_models(several, ASKED)

    def test_the_command(self, models, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
        given = [word for model in models for word in ("--checkpoints", model)]
        assert main(["trace", "index", "--data", "rows.jsonl", "--out", "runs.idx", *given, "grad-dot"]) == 0
        ask = ["trace", "query", "runs.idx", "--prompt", "Peru is in ", "--completion", "America", "--replicates"]
        assert main([*ask, "--json", "mean.json", "--html", "mean.html"]) == 0
        assert "Means of 3 runs (deep ensemble), ± their standard errors" in capsys.readouterr().out
        assert {"deviation", "q_values", "stderr"} <= {*json.loads((tmp_path / "mean.json").read_text())["targets"][0]}
        assert ", q " in (tmp_path / "mean.html").read_text()
        assert main([*ask, "--foreign", "5"]) == 2
        assert "--foreign would be of no use: every row is scored by every run" in capsys.readouterr().err

    def test_folders_tell_trainings_from_checkpoints(self):
        assert factors_of(["a", "b"]) == {"seed": ["a", "b"]}
        steps = {"seed": ["x/s0", "x/s0", "x/s1"], "checkpoint": ["10", "20", "10"]}
        assert factors_of(["x/s0/checkpoint-10", "x/s0/checkpoint-20", "x/s1/checkpoint-10"]) == steps
