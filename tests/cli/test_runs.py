"""`llmattr certainty` and `llmattr stability`: what they print, write and refuse."""

import json

import numpy as np
import pytest

from llmattr import cite
from llmattr.certainty import replicates
from llmattr.cli import main
from llmattr.context.methods import METHODS
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.report.certainty import certainty_text


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call llmattr in a folder with six runs: source 3 has an effect on target 0, 0 on 1, all else is noise."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).normal(size=(6, 2, 8))
    values[:, 0, 3] += 6
    values[:, 1, 0] -= 6
    np.save("six.npy", values)
    names = [f"s{i}" for i in range(8)]
    for name, scores in zip(("first", "second", "third"), values, strict=False):
        said = Targets(["It is <b>tall</b>.", "It is old."])
        Attribution(scores, Sources("sentences", names, names), said, "nats", {"name": name}).save(f"{name}.json")

    said = Targets(["It is new.", "It is old."])
    Attribution(values[0], Sources("sentences", names, names), said, "nats", {"name": "x"}).save("other.json")

    def call(line):
        code = main(line.split())
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_runs_are_called_by_what_tells_them_apart(run, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a/run.npy", "b/run.npy", "run.npy", "run.npz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, rng.normal(size=(2, 3))) if name.endswith("z") else np.save(file, rng.normal(size=(2, 3)))
    for given in (["a/run.npy", "b/run.npy"], ["run.npy", "run.npz"]):
        assert run(f"stability {' '.join(given)} --json names.json")[0] == 0
        assert json.loads((tmp_path / "names.json").read_text())["runs"] == given


def test_which_scores_are_noise(run, tmp_path):
    code, out, err = run("certainty six.npy --top 2 --json mean.json --html mean.html")
    assert (code, err) == (0, "")
    assert "14 of 16 scores cannot be told from noise" in out
    assert out.count("may be noise)") == 6  # all but the two that are none
    assert "Half of all scores stand out no more than noise does in 6 runs" in out  # those 14
    np.save("clear.npy", np.random.default_rng(1).normal(2.0, size=(6, 2, 8)))
    assert "such a one is found with power 0.8 by" in run("certainty clear.npy")[1]
    saved = json.loads((tmp_path / "mean.json").read_text())
    found = np.argwhere(np.array([target["q_values"] for target in saved["targets"]]) <= 0.05)
    assert found.tolist() == [[0, 3], [1, 0]]
    assert np.array(saved["certainty"]["runs_needed"])[0, 3] < 6 < saved["certainty"]["runs_needed"][0][1]
    assert saved["certainty"]["noise"] == 14 / 16
    assert (tmp_path / "mean.html").read_text().count('class="noise"') > 0
    assert Attribution.load("mean.json").run["replicates"]["runs"] == 6


def test_scores_of_a_context_are_read_as_such(tiny, tmp_path):
    """Sources were removed for them, unlike for what compares texts."""
    notes = "It opened in 1914. It is long. It has locks. Ships pay. It is old. It is deep. Rain falls. Grass is green."
    asked = {"context": notes, "query": "When?", "response": "In 1914."}
    runs = [cite(tiny, **asked, method=METHODS["context-cite"](n_ablations=16), seed=seed) for seed in range(3)]
    assert "Scores are nats of log-odds: positive = the source made the answer likelier." in certainty_text(replicates(runs))


def test_what_the_variance_is_of(run):
    code, out, _ = run("certainty six.npy --factor seed=0,0,1,1,2,2 --factor checkpoint=1,2,1,2,1,2")
    assert code == 0
    assert "Means of 6 runs (deep ensemble of last checkpoints)" in out
    assert "Of the variance between runs: seed " in out
    code, out, _ = run("certainty six.npy --factor checkpoint=1,2,3,4,5,6")
    assert "These are the last checkpoints of one training" in out


def test_how_far_results_agree(run, tmp_path):
    code, out, err = run("stability first.json second.json third.json --k 3 --json all.json --html all.html")
    assert (code, err) == (0, "")
    assert "Agreement of 3 runs about 2 targets" in out
    saved = json.loads((tmp_path / "all.json").read_text())
    assert saved["runs"] == saved["methods"] == ["first", "second", "third"]
    assert {name: np.shape(matrix) for name, matrix in saved["agreement"].items()} == dict.fromkeys(
        ("kendall", "spearman", "jaccard", "rbo"), (3, 3)
    )
    assert saved["means"]["kendall"]["mean"] == pytest.approx(
        np.array(saved["agreement"]["kendall"])[np.triu_indices(3, 1)].mean()
    )
    page = (tmp_path / "all.html").read_text()
    assert "It is &lt;b&gt;tall&lt;/b&gt;." in page
    assert "<script" not in page
    assert page.count('<td style="--fill') == 4 * 6  # of each measure the cells beside the diagonal
    code, out, _ = run("stability six.npy")
    assert "Agreement of 6 runs" in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("certainty first.json", "one run says nothing of how another would come out"),
        ("stability first.json", "one run says nothing"),
        ("stability first.json second.json other.json", "other and first are of other targets"),
        ("certainty first.json other.json", "other and first are of other targets"),
        ("certainty first.json second.json", "first in nats and second in nats: compare methods by their stability"),
        ("certainty six.npy --factor seed", "--factor is NAME=LABEL,LABEL,..."),
        ("certainty six.npy --factor seed=1,2", "6 runs and 2 labels of their seed"),
        ("certainty six.npy --factor seed=0,0,0,0,0,0", "differ in nothing that is named"),
        ("certainty first.json first.json", "a file is given twice"),
        ("stability first.json other.json", "are of other targets: 'It is new.' and 'It is <b>tall</b>.'"),
        ("stability nothing.json first.json", "cannot read 'nothing.json'"),
        ("stability six.npy --json six.npy", "it is an input or another output"),
        ("stability six.npy --k 8", "k must lie between 1 and 8"),
    ],
)
def test_bad_input_is_one_line(run, line, said):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
