"""`llmattr eval`: closed-form numbers, lists of the highest scores, and one clear line for everything that does not fit."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import llmattr
from llmattr import metrics
from llmattr.ablation import every_mask
from llmattr.cli import main
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.retraining.store import Run, RunStore
from tests import worlds

W = np.array([[3.0, 1.0, 0.0, -2.0], [0.0, 0.5, 4.0, 1.0]])
MASKS = every_mask(4)
OUTPUTS = worlds.linear(W, [1, 2])(MASKS)
GOLD = np.array([[0, 1, 0, 0], [0, 0, 1, 1]])


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call `llmattr eval ...` in a folder with these files."""
    monkeypatch.chdir(tmp_path)
    arrays = {"truth": W, "opposite": -W, "masks": MASKS, "outputs": OUTPUTS, "gold": GOLD, "none": 0 * W}
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)

    def call(*arguments):
        code = main(["eval", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def judged(run):
    """The JSON of a run that must succeed."""

    def call(*arguments):
        code, _, err = run(*arguments, "--json", "found.json")
        assert code == 0, err
        return json.loads(Path("found.json").read_text())

    return call


def attribution(values=W, **fields):
    t, n = len(values), 4
    return Attribution(values, sources(range(n)), Targets([f"target {i}" for i in range(t)]), "nats", {"name": "x"}, **fields)


def sources(rows, kind="training rows"):
    return Sources(kind, [str(i) for i in rows], [f"text {i}" for i in rows])


SEEN = ("--masks", "masks.npy", "--outputs", "outputs.npy")


class TestLds:
    def test_the_truth_and_its_opposite(self, run):
        code, out, err = run("lds", "truth.npy", "opposite.npy", *SEEN)
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "Mean over 2 targets [95% bootstrap interval], over 16 masks that keep 50% of 4 sources",
            "              LDS",
            "truth.npy     1.000 [1.000, 1.000]",
            "opposite.npy  -1.000 [-1.000, -1.000]",
            "",
            "Difference to truth.npy on the same targets [interval], p = how likely chance gives as much",
            "opposite.npy  LDS  -2.000 [-2.000, -2.000], p 0.5",
        ]

    def test_the_best_comes_first(self, run):
        """The first file is still the one that the others are compared with."""
        code, out, _ = run("lds", "opposite.npy", "truth.npy", "--masks", "masks.npy", "--outputs", "outputs.npy")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()[2:4]] == ["truth.npy", "opposite.npy"]
        assert "Difference to opposite.npy" in out

    def test_json_has_every_target(self, judged):
        noisy = OUTPUTS + np.random.default_rng(0).normal(size=OUTPUTS.shape)
        np.save("noisy.npy", noisy)
        found = judged("lds", "truth.npy", "opposite.npy", "--masks", "masks.npy", "--outputs", "noisy.npy")
        expected = metrics.lds(W, MASKS, noisy)
        np.testing.assert_allclose(found["files"]["truth.npy"]["LDS"]["per_target"], expected)
        assert found["files"]["truth.npy"]["LDS"]["mean"] == pytest.approx(expected.mean())
        assert found["difference_to_truth.npy"]["opposite.npy"]["LDS"]["difference"] == pytest.approx(-2 * expected.mean())
        assert {k: found[k] for k in ("targets", "masks", "sources", "keep")} == {
            "targets": 2,
            "masks": 16,
            "sources": 4,
            "keep": 0.5,
        }

    def test_a_saved_attribution_with_a_baseline_has_an_error_too(self, judged, run):
        attribution(baseline=np.array([1.0, 3.0])).save("ours.json")
        found = judged("lds", "ours.json", "truth.npy", *SEEN)["files"]
        assert found["ours.json"]["LDS"]["per_target"] == pytest.approx([1, 1])
        assert found["ours.json"]["error"]["per_target"] == pytest.approx([0, 1])  # the second baseline is off by one
        assert "error" not in found["truth.npy"]
        assert run("lds", "ours.json", "truth.npy", *SEEN)[1].splitlines()[3].split()[-1] == "-"

    def test_the_ceiling_of_noisy_outputs(self, judged, run):
        # Two runs of each mask, one above and one below the mean by 1: noise of variance 2 within a mask.
        np.save("runs.npy", np.stack([OUTPUTS - 1, OUTPUTS + 1], axis=1))
        found = judged("lds", "truth.npy", "--masks", "masks.npy", "--outputs", "runs.npy")
        np.testing.assert_allclose(found["ceiling"], metrics.lds_ceiling(np.load("runs.npy"), of=2))
        assert found["files"]["truth.npy"]["LDS"]["per_target"] == pytest.approx([1, 1])
        _, out, _ = run("lds", "truth.npy", "--masks", "masks.npy", "--outputs", "runs.npy")
        assert out.splitlines()[-1].startswith("Ceiling of the LDS, from 2 runs of each of 16 masks: 0.")

    def test_a_folder_of_runs(self, judged, run):
        store = RunStore.of("trained", {"what": "a test"})
        for mask, outputs in zip(MASKS, OUTPUTS, strict=True):
            for seed in range(1 + mask[0]):  # the eight masks with source 0 twice
                store.add([Run(mask, seed)], outputs[None])
        found = judged("lds", "truth.npy", "--runs", "trained")
        assert found["files"]["truth.npy"]["LDS"]["per_target"] == pytest.approx([1, 1])
        assert (found["masks"], found["ceiling"]) == (16, [1, 1])
        _, out, err = run("lds", "truth.npy", "--runs", store.folder)
        assert "from 2 runs of each of 8 masks: 1.000" in out
        assert err.startswith("llmattr: note: these runs are a fair test only")

    def test_one_target_in_one_dimension(self, judged):
        np.save("one.npy", W[0])
        np.save("its_outputs.npy", OUTPUTS[:, 0])
        found = judged("lds", "one.npy", "--masks", "masks.npy", "--outputs", "its_outputs.npy")["files"]["one.npy"]["LDS"]
        assert (found["mean"], found["low"]) == (pytest.approx(1), None)

    def test_what_is_undefined_is_said(self, run):
        code, out, err = run("lds", "truth.npy", "none.npy", *SEEN)
        assert (code, out.splitlines()[3].split()[:2]) == (0, ["none.npy", "0.000"])  # it foretells nothing, and counts
        assert err == ""
        masks = np.load("masks.npy")
        np.save("still.npy", np.stack([masks @ W[0], np.ones(len(masks))], axis=1))  # nothing can be foretold of the second
        code, out, err = run("lds", "truth.npy", "--masks", "masks.npy", "--outputs", "still.npy")
        assert (code, out.splitlines()[2].split()) == (0, ["truth.npy", "1.000"])
        assert err == "llmattr: note: truth.npy: LDS is undefined for 1 of 2 targets, which are left out\n"

    def test_sources_that_a_list_leaves_out_count_nothing(self, judged, run):
        save("some.json", [[4, 1], [3, 1]], [[2, 3], [0, 1]])
        np.save("filled.npy", [[0.0, 0, 4, 1], [3, 1, 0, 0]])
        found = judged("lds", "some.json", "filled.npy", *SEEN)["files"]
        assert found["some.json"] == found["filled.npy"]
        _, _, err = run("lds", "some.json", *SEEN)
        assert err == "llmattr: note: some.json lists 2 of 4 sources for each target: the others count 0\n"

    def test_targets_of_a_group_are_drawn_together(self, judged):
        np.save("four.npy", np.concatenate([W, W]))
        np.save("outputs4.npy", np.random.default_rng(0).normal(size=(16, 2)).repeat(2, axis=1)[:, [0, 2, 1, 3]])
        np.save("groups.npy", [0, 1, 0, 1])
        found = judged("lds", "four.npy", "--masks", "masks.npy", "--outputs", "outputs4.npy", "--groups", "groups.npy")
        values = np.array(found["files"]["four.npy"]["LDS"]["per_target"])
        expected = metrics.bootstrap_interval(values, groups=np.array([0, 1, 0, 1]))
        assert found["files"]["four.npy"]["LDS"]["low"] == pytest.approx(expected.low)


def save(name, values, index=None, **fields):
    """JSON of another tool."""
    targets = [{"values": list(row)} for row in values]
    for target, rows in zip(targets, index or [], strict=False):
        target["index"] = rows
    Path(name).write_text(json.dumps({"targets": targets, **fields}))


class TestDrop:
    def test_additive_worlds_lose_their_largest_weights(self, judged):
        found = judged("drop", "truth.npy", *SEEN, "--top", 1, "--top", 3, "--curves")["files"]["truth.npy"]
        assert found["drop 1"]["per_target"] == pytest.approx([3, 4])
        assert found["drop 3"]["per_target"] == pytest.approx([4, 5.5])
        for curve in ("deletion", "insertion"):  # heights 0 3 4 4 2 and 0 4 5 5.5 5.5, by trapezoids
            assert found[curve]["per_target"] == pytest.approx([12 / (4 * 2), 17.25 / (4 * 5.5)])

    @pytest.mark.parametrize("how", [[], ["--top", 2, "--curves"]])
    def test_the_masks_that_are_written_suffice(self, run, judged, how):
        code, out, _ = run("drop", "truth.npy", "opposite.npy", *how, "--write-masks", "needed.npy")
        masks = np.load("needed.npy")
        assert (code, out) == (0, f"masks {list(masks.shape)} (1 = the source is kept): needed.npy\n")
        assert len(np.unique(masks, axis=0)) == len(masks)
        np.save("answers.npy", worlds.linear(W, [1, 2])(masks))
        found = judged("drop", "truth.npy", "opposite.npy", *how, "--masks", "needed.npy", "--outputs", "answers.npy")["files"]
        if not how:
            assert len(masks) == 4  # all, and without 0, 2 or 3: the opposite of the second target's lowest is 0 too
            assert found["opposite.npy"]["drop 1"]["per_target"] == pytest.approx([-2, 0])

    def test_runs_of_a_mask_count_as_their_mean(self, judged):
        np.save("twice.npy", np.concatenate([MASKS, MASKS]))
        np.save("noisy.npy", np.concatenate([OUTPUTS - 1, OUTPUTS + 1]))
        found = judged("drop", "truth.npy", "--masks", "twice.npy", "--outputs", "noisy.npy")
        assert found["files"]["truth.npy"]["drop 1"]["per_target"] == pytest.approx([3, 4])

    def test_a_list_of_the_highest_suffices(self, judged, run):
        save("some.json", [[3, 1], [4, 1]], [[0, 1], [2, 3]])
        found = judged("drop", "some.json", *SEEN, "--top", 2)["files"]["some.json"]
        assert found["drop 2"]["per_target"] == pytest.approx([4, 5])
        assert run("drop", "some.json", "--n-sources", 4, "--write-masks", "needed.npy")[0] == 0
        for more, said in ((["--top", 3], "--top 3 needs more"), (["--curves"], "--curves need all")):
            assert error(run("drop", "some.json", *SEEN, *more)) == f"some.json has the 2 highest of 4 sources: {said}"
        assert "say it with --n-sources" in error(run("drop", "some.json", "--write-masks", "needed.npy"))

    def test_what_is_missing_is_said(self, run):
        np.save("masks.npy", MASKS[:-1])
        np.save("outputs.npy", OUTPUTS[:-1])
        assert error(run("drop", "truth.npy", *SEEN)).startswith("1 of the masks needed are not there: --write-masks")
        assert "come afterwards" in error(run("drop", "truth.npy", *SEEN, "--write-masks", "needed.npy"))
        assert "it is an input" in error(run("drop", "truth.npy", "--write-masks", "truth.npy"))


class TestRetrieval:
    def test_known_values(self, judged, run):
        found = judged("retrieval", "truth.npy", "--gold", "gold.npy", "--k", 1, "--k", 2)["files"]["truth.npy"]
        # The first target's gold source is second, the second's are first and second.
        assert {name: of["per_target"] for name, of in found.items()} == {
            "MRR": [0.5, 1],
            "recall@1": [0, 0.5],
            "recall@2": [1, 1],
            "precision@1": [0, 1],
            "precision@2": [0.5, 1],
            "AP": [0.5, 1],
            "AUC": [pytest.approx(2 / 3), 1],
        }
        assert "among 4 sources" in run("retrieval", "truth.npy", "--gold", "gold.npy")[1]

    def test_equal_scores_find_by_chance(self, judged):
        found = judged("retrieval", "none.npy", "--gold", "gold.npy")["files"]["none.npy"]
        assert found["AUC"]["mean"] == 0.5
        assert found["MRR"]["per_target"][0] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)

    @pytest.mark.parametrize(("name", "text"), [("gold.json", "[[1],\n[2, 3]]"), ("gold.jsonl", "[1]\n\n[2, 3]\n")])
    def test_gold_as_row_numbers(self, judged, name, text):
        Path(name).write_text(text)
        arrays, lists = (judged("retrieval", "truth.npy", "opposite.npy", "--gold", gold) for gold in ("gold.npy", name))
        assert lists.pop("command") != arrays.pop("command")
        assert lists == arrays

    def test_what_a_list_leaves_out_shares_the_places_behind_it(self, judged):
        save("some.json", [[-1.0, -2.0], [-1.0, -2.0]], [[0, 2], [2, 3]])
        found = judged("retrieval", "some.json", "--gold", "gold.npy", "--k", 2)["files"]["some.json"]
        assert found["MRR"]["per_target"] == pytest.approx([(1 / 3 + 1 / 4) / 2, 1])
        assert found["recall@2"]["per_target"] == [0, 1]

    def test_a_traces_rows_stand_at_both_ends(self, judged):
        # Of ten rows the two best and the two worst are saved; the gold row is the fifth.
        values = -np.arange(10.0)[None] - 3
        ends = [9, 8, 1, 0]
        kept = Attribution(
            values[:, [0, 1, 8, 9]],
            sources(sorted(ends)),
            Targets(["said"]),
            "products of gradients",
            {"name": "x"},
            {"n": 10},
            index=np.array([[0, 1, 2, 3]]),
        )
        kept.save("trace.json")
        Path("gold.json").write_text("[[4]]")
        found = judged("retrieval", "trace.json", "--gold", "gold.json", "--k", 2)
        assert found["sources"] == 10
        # It is one of the six in the middle, at ranks 3 to 8.
        assert found["files"]["trace.json"]["MRR"]["per_target"] == pytest.approx([np.mean(1 / np.arange(3, 9))])
        assert found["files"]["trace.json"]["AUC"]["per_target"] == pytest.approx([(2 + 5 / 2) / 9])

    def test_how_many_sources_there_are_must_be_known(self, run, judged):
        save("some.json", [[2, 1], [2, 1]], [[0, 1], [2, 3]])
        Path("gold.json").write_text("[[1], [2, 3]]")
        assert "say it with --n-sources" in error(run("retrieval", "some.json", "--gold", "gold.json"))
        assert judged("retrieval", "some.json", "--gold", "gold.json", "--n-sources", 9)["sources"] == 9
        assert "not among the 3" in error(run("retrieval", "some.json", "--gold", "gold.json", "--n-sources", 3))


class TestCitation:
    def test_flags(self, judged):
        np.save("cited.npy", np.array([[1, 1, 0, 0], [0, 0, 0, 1]]))
        np.save("flags.npy", np.zeros((2, 4), dtype=bool))
        found = judged("citation", "cited.npy", "flags.npy", "--gold", "gold.npy")["files"]
        values = {name: of["per_target"] for name, of in found["cited.npy"].items()}
        assert values == {"precision": [0.5, 1], "recall": [1, 0.5], "F1": pytest.approx([2 / 3, 2 / 3])}
        assert found["flags.npy"]["F1"]["mean"] == 0

    def test_scores_above_a_number(self, judged, run):
        found = judged("citation", "truth.npy", "--gold", "gold.npy", "--above", 0.75)["files"]["truth.npy"]
        assert found["precision"]["per_target"] == [0.5, 1]
        assert error(run("citation", "truth.npy", "--gold", "gold.npy")).startswith("truth.npy does not say what is cited")

    def test_a_saved_attribution_says_what_it_cites(self, judged):
        attribution(stderr=np.full((2, 4), 0.4)).save("ours.json")  # above .8: 0 and 1, 2 and 3
        found = judged("citation", "ours.json", "--gold", "gold.npy")["files"]["ours.json"]
        assert found["precision"]["per_target"] == [0.5, 1]
        assert found["recall"]["per_target"] == [1, 1]

    def test_scores_without_a_unit_cite_nothing_by_themselves(self, run):
        found = Attribution(W, sources(range(4)), Targets(["a", "b"], measure="similarity"), "cosine", {"name": "x"})
        found.save("similar.json")
        assert "say with --above" in error(run("citation", "similar.json", "--gold", "gold.npy"))
        assert run("citation", "similar.json", "--gold", "gold.npy", "--above", 0.1)[0] == 0


def error(called):
    """The one line that a failed call says."""
    code, out, err = called
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("llmattr: error: ")
    return err.removeprefix("llmattr: error: ").strip()


LDS = ("lds", "bad.npy", *SEEN)
BAD_MASKS = ("lds", "truth.npy", "--masks", "bad.npy", *SEEN[2:])
BAD_OUTPUTS = ("lds", "truth.npy", *SEEN[:2], "--outputs", "bad.npy")
BY_GOLD = ("retrieval", "truth.npy", "--gold", "bad.npy")


class TestBadInput:
    @pytest.mark.parametrize(
        ("array", "arguments", "said"),
        [
            (W[:, :3], LDS, "the numbers of sources differ: 3 in bad.npy, 4 in what they are judged by"),
            (W[:1], LDS, "the outputs are of 2 targets, the scores of 1"),
            (np.where(W == 4, np.nan, W), LDS, "'bad.npy' holds 1 value that are no numbers (nan or infinite)"),
            (W[None], LDS, "'bad.npy' has the shape [1, 2, 4]: it must be scores [t, n]"),
            (W[:0], LDS, "'bad.npy' has the shape [0, 4]: it must be scores [t, n]"),
            (np.array([["a"]]), LDS, "'bad.npy' must hold one array of numbers: scores [t, n]"),
            (W[:1], ("lds", "truth.npy", "bad.npy", *SEEN), "bad.npy has 1 targets and truth.npy 2: they must be the same"),
            (MASKS * 0.5, BAD_MASKS, "'bad.npy' must hold only 0"),
            (
                MASKS[:-1],
                BAD_MASKS,
                "there are 15 masks [15, 4] and",
            ),
            (
                OUTPUTS.T,
                BAD_OUTPUTS,
                "there are 16 masks [16, 4] and 2",
            ),
            (GOLD[:1], BY_GOLD, "the gold is [1, 4] (targets, sources), the scores are [2, 4]"),
            (GOLD[:, :3], BY_GOLD, "the gold is [2, 3] (targets, sources), the scores are [2, 4]"),
            (GOLD * 2, BY_GOLD, "'bad.npy' must hold only 0 and 1: gold [t, n]"),
            (GOLD * 0, BY_GOLD, "'bad.npy' names no gold source at all"),
            (
                np.arange(3),
                ("lds", "truth.npy", *SEEN, "--groups", "bad.npy"),
                "there must be a group for each of the 2",
            ),
        ],
    )
    def test_arrays_that_do_not_fit(self, run, array, arguments, said):
        np.save("bad.npy", array)
        assert error(run(*arguments)).startswith(said)

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("bad.npy", "text", "cannot read 'bad.npy': it is not one array"),
            ("bad.npy", "", "cannot read 'bad.npy': it is not one array"),
            ("bad.csv", "1,2", "scores are read from .npy and .json files, not from 'bad.csv'"),
            ("bad.json", "{", "'bad.json' is not JSON"),
            ("bad.json", "[1, 2]", "'bad.json' holds no scores (TypeError"),
            ("bad.json", '{"targets": []}', "'bad.json' holds no scores (ValueError: no targets with values)"),
            (
                "bad.json",
                '{"targets": [{"values": [1, null]}]}',
                "'bad.json' holds no scores (ValueError: its scores",
            ),
            ("bad.json", '{"targets": [{"values": [1, 2]}, {"values": [1]}]}', "'bad.json' holds no scores (ValueError"),
            ("bad.json", '{"targets": [{"values": [1, 2], "index": [3, 3]}]}', "'bad.json' holds no scores (ValueError: each"),
            ("bad.json", '{"targets": [{"values": [1, 2], "cited": [true]}]}', "'bad.json' holds no scores (ValueError: cited"),
        ],
    )
    def test_files_that_hold_no_scores(self, run, name, text, said):
        Path(name).write_text(text)
        assert error(run("lds", name, *SEEN)).startswith(said)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{}", "'gold.json' must hold a list of row numbers for each target"),
            ('[["a"], [1]]', "'gold.json' must hold a list of row numbers for each target"),
            ("[[1], [4]]", "'gold.json' names a row that is not among the 4 sources (they are numbered from 0)"),
            ("[[1]]", "the gold is [1, 4] (targets, sources), the scores are [2, 4]"),
        ],
    )
    def test_gold_that_does_not_fit(self, run, text, said):
        Path("gold.json").write_text(text)
        assert error(run("retrieval", "truth.npy", "--gold", "gold.json")).startswith(said)

    def test_what_is_missing_or_given_twice(self, run):
        assert error(run("lds", "no.npy", *SEEN)) == "cannot read 'no.npy': No such file or directory"
        assert error(run("lds", "truth.npy", "truth.npy", *SEEN)) == "a file of scores is given twice"
        either = "give --masks with --outputs, or --runs with a folder, and not both"
        for given in ((), SEEN[:2], (*SEEN, "--runs", ".")):
            assert error(run("lds", "truth.npy", *given)) == either
        assert error(run("lds", "truth.npy", "--runs", ".")).startswith("'.' holds no runs")
        assert "gold is read from" in error(run("retrieval", "truth.npy", "--gold", "gold.txt"))
        assert error(run("lds", "truth.npy", *SEEN, "--json", "truth.npy")).startswith("cannot write 'truth.npy'")

    def test_runs_that_cannot_be_told_apart_or_read(self, run):
        stores = [RunStore.of("trained", {"what": number}) for number in range(2)]
        assert error(run("lds", "truth.npy", "--runs", "trained")).startswith(
            "'trained' holds 2 sets of such runs: name one of"
        )
        assert "holds no finished run" in error(run("lds", "truth.npy", "--runs", stores[0].folder))
        stores[0].add([Run(MASKS[0], 0)], OUTPUTS[:1])
        next(stores[0].folder.glob("??/*.npz")).write_bytes(b"PK")
        code, _, said = run("lds", "truth.npy", "--runs", stores[0].folder)
        assert code == 2
        assert "is damaged" in said.splitlines()[0]
        assert "holds no finished run" in said.splitlines()[1]

    def test_two_masks_say_nothing(self, run):
        np.save("masks.npy", MASKS[:2])
        np.save("outputs.npy", OUTPUTS[:2])
        assert error(run("lds", "truth.npy", *SEEN)) == "a rank correlation over 2 masks says nothing: give dozens"


def test_files_of_one_name_are_told_apart(run, tmp_path):
    (tmp_path / "a").mkdir()
    np.save("a/truth.npy", W)
    _, out, _ = run("lds", "truth.npy", "a/truth.npy", *SEEN)
    assert out.splitlines()[3].startswith("a/truth.npy ")


@pytest.mark.parametrize("command", [[], ["lds"], ["drop"], ["retrieval"], ["citation"]])
def test_help_names_the_forms(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert '{"targets": [{"values": [7.1, 6.8], "index": [812, 40]}, ...]}' in out


def test_nothing_heavy_is_imported(run):
    heavy = "[m for m in ('torch', 'transformers', 'sklearn', 'pandas') if m in sys.modules]"
    calls = [("lds", "truth.npy", *SEEN), ("retrieval", "truth.npy", "--gold", "gold.npy"), ("drop", "truth.npy", *SEEN)]
    code = f"import sys; from llmattr.cli import main; [main(['eval', *c]) for c in {calls}]; print({heavy}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_numbers_are_those_of_the_metrics(judged):
    rng = np.random.default_rng(0)
    values, gold = rng.normal(size=(5, 12)), rng.random((5, 12)) < 0.3
    np.save("values.npy", values)
    np.save("gold5.npy", gold)
    found = judged("retrieval", "values.npy", "--gold", "gold5.npy", "--k", 3)["files"]["values.npy"]
    for name, expected in {
        "MRR": metrics.reciprocal_rank(values, gold),
        "recall@3": metrics.recall_at_k(values, gold, 3),
        "AP": metrics.average_precision(values, gold),
    }.items():
        defined = [x for x in expected.tolist() if x == x]
        assert [x for x in found[name]["per_target"] if x is not None] == pytest.approx(defined)
        assert found[name]["mean"] == pytest.approx(np.mean(defined))


def test_a_list_gives_what_the_whole_gives_where_it_holds_all(judged):
    whole = np.array(list(itertools.permutations([1.0, 2, 3, 4])))[:2]
    order = np.argsort(-whole, axis=1)
    save("all.json", np.take_along_axis(whole, order, axis=1).tolist(), order.tolist())
    np.save("whole.npy", whole)
    for how in (["lds", *SEEN], ["drop", *SEEN, "--curves"], ["retrieval", "--gold", "gold.npy"]):
        found = judged(how[0], "all.json", "whole.npy", *how[1:])["files"]
        assert found["all.json"] == found["whole.npy"]
    assert llmattr.metrics is metrics
