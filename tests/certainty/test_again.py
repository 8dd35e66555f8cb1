"""The same question again: contexts by several seeds, training rows by the runs of an index, on the command line too."""

import json

import numpy as np
import pytest

from llmattr import build_index, cite
from llmattr.certainty import replicates
from llmattr.certainty.again import factors_of, over_models, over_seeds
from llmattr.certainty.replicates import QUESTION
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

    OTHERS = ("In which year?", "At what time was that?")

    def test_the_mean_over_paraphrases(self, tiny):
        """Each is a `cite` of its own with the same answer; chance is over the questions, each the mean over its seeds."""
        found = over_seeds(cite(tiny, TEXT, method=self.METHOD, **HOW), range(2), self.OTHERS)
        asked = [{**HOW, "query": text} for text in (HOW["query"], *self.OTHERS)]
        runs = [cite(tiny, TEXT, method=self.METHOD, seed=seed, **how) for how in asked for seed in range(2)]
        wanted = replicates(runs, {QUESTION: [0, 0, 1, 1, 2, 2], "seed": [0, 1] * 3})
        assert wanted.independent.shape[0] == 3
        for name, expected in (("values", wanted.mean), ("deviation", wanted.deviation), ("q_values", wanted.q_values)):
            np.testing.assert_allclose(vars(found)[name], expected, err_msg=name)
        known = found.run["replicates"]
        assert (known["runs"], known["independent"], known["sampling"]) == (6, 3, "paraphrases")
        assert {*known["variance"]} == {QUESTION, "seed", "rest"}
        assert sum(known["variance"].values()) == pytest.approx(1)
        assert found.run["query"] == HOW["query"]
        assert found.run["paraphrases"] == [*self.OTHERS]
        assert found.run["forward_passes"] >= 3 * self.METHOD.n_ablations  # those of every wording

    def test_what_draws_nothing_may_depend_on_the_wording(self, tiny):
        found = over_seeds(cite(tiny, TEXT, method="leave-one-out", **HOW), [0], self.OTHERS)
        assert (found.deviation > 0).any()
        assert "variance" not in found.run["replicates"]  # there is one factor

    def test_the_answer_that_was_generated_stays(self, tiny):
        """Token by token, as it was said to the first question."""
        one = cite(tiny, TEXT, HOW["query"], method=self.METHOD, max_new_tokens=4, verify=False)
        found = over_seeds(one, [0], self.OTHERS)
        assert found.response == one.response
        assert one.session.reworded(self.OTHERS[0]).prompt.response_ids == one.session.ablation.prompt.response_ids

    @pytest.mark.parametrize(
        ("paraphrases", "message"),
        [
            (["When?"], "is there twice: a paraphrase says it in other words"),
            (["a", "a"], "'a' is there twice"),
            ([" "], "the query is empty"),
        ],
    )
    def test_what_is_no_paraphrase(self, tiny, paraphrases, message):
        with pytest.raises(LlmattrError, match=message):
            over_seeds(cite(tiny, TEXT, method=self.METHOD, verify=False, **HOW), [0], paraphrases)

    def test_a_chat_without_a_query_has_none(self, tiny):
        chat = [{"role": "user", "content": "Read {context}\nWhen?"}]
        found = cite(tiny, TEXT, messages=chat, response=HOW["response"], method=self.METHOD, verify=False)
        with pytest.raises(LlmattrError, match="paraphrases are a query in other words, and there is none"):
            over_seeds(found, [0], self.OTHERS)

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
        others = ["--paraphrase", "In which year?", "--paraphrase", "At what time?", "--replicates", "2"]
        assert main([*ask, *others, *given[:3], "--no-verify", "--json", "words.json"]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert "Means of 6 runs (paraphrases), ± their standard errors" in said
        assert "Of the variance between runs: question " in said
        assert json.loads((tmp_path / "words.json").read_text())["run"]["paraphrases"] == others[1:4:2]
        assert main(["cite", "--messages", "chat.json", *others]) == 2
        assert "paraphrases are --query in other words" in capsys.readouterr().err
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
