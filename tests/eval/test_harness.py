"""The harness on problems whose answers are known: what is kept, what is stale, what fits, and which differences are real."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from eval.harness import choices, kept
from eval.harness.compare import compared, figures, interval, of_equals, real
from eval.harness.contract import Entry, Judged, Problem, Scored
from eval.harness.entries import DRAWS, entries
from eval.harness.kept import Kept
from eval.harness.run import Plan, Run, benchmark, budgets
from llmattr.context import METHODS
from llmattr.errors import LlmattrError, LlmattrNote


@dataclass(frozen=True)
class Known:
    """A method whose scores of every problem are its number; 13 fails."""

    name = "known"
    family = "predictive"
    number: float = 1.0


@dataclass(frozen=True, eq=False)
class Toy:
    """A `Problem` with as many units as asked for, each measured as the scores are, plus the problem's own level."""

    name: str
    of: str = "toys"
    judging: bool = True
    units: int = 1
    level: float = 0.0
    model: str = "one"
    asked: list = field(default_factory=list)

    def identity(self):
        return {"model": self.model, "level": self.level}

    def groups(self):
        return [self.name] * self.units

    def seconds(self, entry):
        return 30.0

    def score(self, entry):
        self.asked.append(entry.name)
        if entry.method.number == 13:
            raise LlmattrError("no | luck\nat all")
        return Scored(np.full((self.units, 2), entry.method.number + entry.seed), {"passes": 7, "CPU s": 1.0})

    def judge(self, found):
        return {name: Judged({"M": one.values[:, 0] + self.level}) for name, one in found.items()}


def toys(count, **options):
    return [Toy(f"toy {i}", level=float(i), **options) for i in range(count)]


def run(problems, lines, folder, **options):
    made = Run(Plan("toys", problems, lines, ("M",), "base", ("M",), **options.pop("plan", {})), Kept(folder), **options)
    made.measure()
    return made


BASE = Entry("base", Known(1.0))


def test_a_toy_is_a_problem():
    assert isinstance(Toy("a"), Problem)


def test_nothing_is_scored_twice_and_a_killed_run_goes_on(tmp_path):
    problems = toys(2)
    first = run(problems, [BASE, Entry("other", Known(2.0))], tmp_path).sections()
    assert [one.asked for one in problems] == [["base", "other"]] * 2
    next(tmp_path.glob("toy_1/other.*.npz")).unlink()  # killed before it was written
    assert run(problems, [BASE, Entry("other", Known(2.0))], tmp_path).sections()["table"].figures == first["table"].figures
    assert problems[0].asked == ["base", "other"]
    assert problems[1].asked == ["base", "other", "other"]


def test_what_was_kept_is_told(tmp_path):
    assert run(toys(2), [BASE], tmp_path).notes == []
    assert run(toys(3), [BASE], tmp_path).notes == ["2 of 3 scores were kept by a run before this one."]


def test_seconds_are_those_of_all_runs_that_left_scores(tmp_path):
    folder = Kept(tmp_path)
    assert folder.spent(2.0) == 2.0
    assert Kept(tmp_path).spent(0.5) == 2.5
    run(toys(1), [BASE], tmp_path)
    assert 2.5 < folder.spent(0) < 60


@pytest.mark.parametrize("what", ["model", "method", "version", "llmattr"])
def test_what_is_stale_is_named_and_made_again(tmp_path, monkeypatch, what):
    run(toys(1), [BASE], tmp_path)
    again = toys(1, model="another" if what == "model" else "one")
    if what == "version":
        monkeypatch.setattr(kept, "VERSION", -1)
    if what == "llmattr":
        monkeypatch.setattr(kept, "__version__", "another")
    made = run(again, [Entry("base", Known(5.0)) if what == "method" else BASE], tmp_path)
    assert again[0].asked == ["base"]
    assert made.notes == ["Older scores, by another version, method, model or data, are not shown: base (1)."]


def test_scores_by_other_code_of_the_same_version_are_named(tmp_path, monkeypatch):
    run(toys(2), [BASE], tmp_path)
    monkeypatch.setattr(kept, "code", lambda: "another")
    _, note = run(toys(2), [BASE], tmp_path).notes
    assert note.endswith("(--again measures them anew): base (2).")


def test_damaged_scores_are_made_again(tmp_path):
    run(toys(1), [BASE], tmp_path)
    (path,) = tmp_path.glob("*/*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    problems = toys(1)
    with pytest.warns(LlmattrNote, match="is damaged.*they are made again"):
        run(problems, [BASE], tmp_path)
    assert problems[0].asked == ["base"]


def test_scores_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    one = Scored(rng.normal(size=(2, 3)), {"CPU s": 1.5, "models": 4.0}, np.ones((2, 3), dtype=bool), rng.normal(size=2))
    one.save(tmp_path / "scores" / "one.npz")
    again = Scored.load(tmp_path / "scores" / "one.npz")
    masks = np.array([[True, False, True]])
    np.testing.assert_array_equal(again.predicted(masks), one.baseline + masks @ one.values.T)
    assert again.costs == one.costs
    assert again.cited.all()
    assert Scored(one.values).predicted(masks) is None


def test_a_failure_is_a_cell_and_is_tried_again(tmp_path):
    problems, lines = toys(2), [BASE, Entry("broken", Known(13.0))]
    rows = run(problems, lines, tmp_path).sections()["table"].figures
    assert rows[1] == {"method": "broken", "family": "predictive", "not measured": "2 of 2: LlmattrError: no / luck"}
    assert rows[0]["passes"] == 7
    run(problems, lines, tmp_path)
    assert problems[0].asked == ["base", "broken", "broken"]


def test_a_budget_that_is_too_small_for_a_method_is_a_cell(tmp_path):
    problems, lines = toys(2), [BASE, Entry("small", Known(-1.0), 2)]  # its option must be 0 or more
    made = run(problems, lines, tmp_path, plan={"budgets": [2]}, minutes=10)
    assert made.sections()["table"].figures[1]["not measured"] == "2 of 2: number must be 0 or more, not -1.0"
    assert problems[0].asked == ["base"]


def test_entries_that_differ_by_their_seed_are_one_line(tmp_path):
    rows = run(toys(1), [replace_seed(seed) for seed in range(3)], tmp_path).sections()["table"].figures
    assert [row["M"] for row in rows] == [2.0]  # the mean of 1, 2, 3


def replace_seed(seed):
    return Entry("random", Known(1.0), seed=seed)


def test_minutes_say_beforehand_what_fits(tmp_path, capsys):
    problems = toys(4)
    made = run(problems, [BASE, Entry("other", Known(2.0))], tmp_path, minutes=2.5)  # a minute for each problem
    assert "2.5 minutes: 2 of 4 problems fit, all would take about 4" in capsys.readouterr().err
    assert [len(one.asked) for one in problems] == [2, 2, 0, 0]
    assert made.notes[0].startswith("2.5 minutes: 2 of 4")
    later = run(problems, [BASE, Entry("other", Known(2.0))], tmp_path, minutes=2)  # what is measured takes no time
    assert len(later.problems) == 4
    with pytest.raises(LlmattrError, match="0 of 1 problems fit"):
        run(toys(1), [BASE], tmp_path / "new", minutes=0.1)


def test_what_cannot_be_asked_is_left_out_and_said(tmp_path):
    class Odd(Toy):
        def groups(self):
            raise LlmattrError("too long")

    made = run([Odd("odd"), *toys(1)], [BASE], tmp_path)
    assert made.notes == ["odd is left out: too long"]
    assert [one.name for one in made.problems] == ["toy 0"]


def lines(tmp_path, problems, **numbers):
    return run(problems, [Entry(name, Known(number)) for name, number in numbers.items()], tmp_path).lines


def test_real_differences_are_told_from_chance(tmp_path):
    """A difference of 1 on each of twenty problems is real, p = 2 / 2^20 by exchanges; one of 0 is not."""
    found = lines(tmp_path, toys(20), base=1.0, better=2.0, same=1.0, worse=0.0)
    it = compared(found, "M", "base")
    assert it["better"].difference == 1
    assert it["better"].p_value < 0.001
    assert it["same"].p_value == 1
    said = real(found, "M", "base", "toys")
    assert (
        said == "M beside base (20 toys, Holm's correction at 5%): above it: better; below it: worse; 1 cannot be told from it."
    )
    few = lines(tmp_path / "few", toys(4), base=1.0, better=2.0, worse=0.0)  # 2 / 2^4, twice, is more than 5 %
    assert real(few, "M", "base", "toys").endswith("none of 2 can be told from it; so few toys can tell nothing: it takes 7.")
    assert "nothing to compare" in real(few, "M", "nobody", "toys")


def test_intervals_of_few_groups_hold_their_level():
    """Of 4 to 12 skewed differences percentiles cover 75 to 90 %; 300 draws know a coverage to 1.5 points."""
    rng = np.random.default_rng(0)
    for g in (4, 6, 12):
        drawn = [interval(rng.beta(1, 5, size=g), range(g)) for _ in range(300)]
        assert np.mean([low <= 1 / 6 <= high for _, low, high in drawn]) >= 0.91


def test_intervals_are_of_groups_and_few_have_none():
    each = np.array([1.0, 1.0, 2.0, 4.0, 8.0, np.nan])
    one, doubled = interval(each, list("aabcde")), interval(np.array([1.0, 2, 4, 8]), list("abcd"))
    assert one.mean == 3.2  # of units
    assert one.low < one.mean < one.high
    assert doubled.mean == 3.75
    assert np.isnan(interval(np.array([1.0, 2.0, 3.0]), list("abc")).low)
    assert interval(np.ones(9), range(9)) == (1, 1, 1)
    assert np.isnan(interval(np.array([np.nan]), ["a"]).mean)


@pytest.mark.parametrize("n", [4, 37])
def test_a_share_of_which_all_say_the_same_is_not_certain(n):
    low, high = of_equals(1.0, n)
    assert (low**n, high) == (pytest.approx(0.025), 1)  # were the share so low, all n would be right once in 40
    assert of_equals(0.0, n) == (0, pytest.approx(1 - low))
    assert of_equals(0.5, n) == (0.5, 0.5)


def test_a_method_that_cannot_do_with_the_budget_is_not_compared(tmp_path):
    class Counting(Toy):
        def score(self, entry):
            return replace(super().score(entry), costs={"passes": {"base": 2, "near": 2, "dear": 34, "each": 11}[entry.label]})

    problems = [Counting(f"toy {i}") for i in range(20)]
    lines = [
        Entry("base", Known(1.0), 2),
        Entry("near", Known(2.0), 2),
        Entry("dear", Known(3.0), 2),
        Entry("each", Known(4.0)),
    ]
    section = run(problems, lines, tmp_path, plan={"budgets": [2]}).sections()["table"]
    assert [row.get("needs at least") for row in section.figures] == [None, None, 34, 11]
    assert ["M minus base" in row for row in section.figures] == [False, True, False, False]
    assert section.notes[0].endswith(
        "above it: near; not compared, since they need more than the budget: dear (34 at least), each (11 at least)."
    )


def test_a_difference_is_of_what_both_measured(tmp_path):
    """A base that failed on one problem is compared on the others; units without a measure are not counted."""
    problems = toys(8)
    made = run(problems, [BASE, Entry("better", Known(2.0))], tmp_path)
    made.found[problems[0].name, "base"] = "it failed"
    assert compared(made.lines, "M", "base")["better"].difference == 1
    assert real(made.lines, "M", "base", "toys").startswith("M beside base (7 toys")


def test_costs_and_failures_of_a_set_are_its_own(tmp_path):
    class Dear(Toy):
        def score(self, entry):
            if entry.name == "other":
                raise LlmattrError("no luck")
            return replace(super().score(entry), costs={"passes": 1000})

    problems = [Toy("a", of="one"), Dear("b", of="two")]
    sections = run(problems, [BASE, Entry("other", Known(2.0))], tmp_path).sections()
    assert [row["passes"] for row in sections["table, one"].figures] == [7, 7]
    assert sections["table, two"].figures[0]["passes"] == 1000
    assert "not measured" not in sections["table, one"].figures[1]
    assert sections["table, two"].figures[1]["not measured"].startswith("1 of 1")


def test_scores_that_cannot_be_judged_are_a_cell_and_are_asked_for_again(tmp_path):
    class Picky(Toy):
        def judge(self, found):
            if any(one.values.shape != (1, 2) for one in found.values()):
                raise ValueError("another shape")
            return super().judge(found)

        def score(self, entry):
            one = super().score(entry)
            return replace(one, values=np.ones((3, 3))) if entry.name == "odd" else one

    problems = [Picky("a"), Toy("b")]
    rows = run(problems, [BASE, Entry("odd", Known(2.0))], tmp_path).sections()["table"].figures
    assert rows[0]["M"] == 1.0
    assert rows[1]["not measured"] == "1 of 2: ValueError: another shape"
    run(problems, [BASE, Entry("odd", Known(2.0))], tmp_path)
    assert [one.asked for one in problems] == [["base", "odd", "odd"], ["base", "odd"]]


def test_choices_were_made_on_other_problems(tmp_path):
    """Only what judges is in the mean, the interval and the differences; the others stand beside."""
    problems = [*toys(3), replace(toys(1)[0], name="chosen", level=100.0, judging=False)]
    found = lines(tmp_path, problems, base=1.0, other=2.0)
    row = figures(found, ("M",), "base", ("M",))[1]
    assert row["M"] == 3.0  # the mean of 2, 3, 4
    assert row["M, chosen on"] == 102.0
    assert row["M minus base"].startswith("+1.00")


def test_a_table_for_each_set_and_a_curve_over_budgets(tmp_path):
    problems = [Toy("a", of="one"), Toy("b", of="two", level=4.0)]
    at = [Entry("base", Known(float(budget)), budget) for budget in (3, 5)]
    sections = run(problems, at, tmp_path, plan={"budgets": [3, 5]}).sections()
    assert list(sections) == ["table", "curve", "table, one", "table, two", "agreement"]
    assert [row["M"] for row in sections["table"].figures] == [5.0]
    assert [(row["budget"], row["M"]) for row in sections["curve"].figures] == [(3, 5.0), (5, 7.0)]
    assert sections["table, two"].figures[0]["M"] == 7.0


def test_entries_at_budgets():
    found = entries(METHODS, ["context-cite", "leave-one-out", "random"], [8, 16], {"context-cite": {"cc": {"alpha": 0.01}}})
    told = [(one.label, one.budget, one.seed) for one in found]
    assert told[:3] == [("cc", 8, 0), ("cc", 16, 0), ("leave-one-out", None, 0)]
    assert told[3:-2] == [("random", None, seed) for seed in range(DRAWS)]
    assert told[-2:] == [("length", None, 0), ("word-share", None, 0)]  # baselines, which every table has
    assert (found[0].method.n_ablations, found[0].method.alpha) == (8, 0.01)
    assert found[0].record() != found[1].record()
    assert len({one.name for one in found}) == len(found)
    with pytest.raises(LlmattrError, match="there is no method 'nothing'"):
        entries(METHODS, ["nothing"], [8])


def test_budgets_are_numbers():
    assert budgets("", (64,)) == [64]
    assert budgets("4, 16", (64,)) == [4, 16]
    for wrong in ("0", "1", "-4", "4,x", "1e3"):
        with pytest.raises(click.BadParameter, match="--budget is one number"):
            budgets(wrong, (64,))


def test_a_command_publishes_where_it_is_told_to(tmp_path):
    def plan(given, folder):
        return Plan("toys", toys(2), [BASE], ("M",), "base", ("M",))

    out = tmp_path / "toys.json"
    command = benchmark("toys", "Toys.", plan, tmp_path / "never.json")
    done = CliRunner().invoke(command, ["--tiny", "--out", str(out)])
    assert done.exit_code == 0, done.output
    record = json.loads(out.read_text())["table"]
    assert record["tiny"]
    assert record["seconds"] >= 0
    assert any("eval/choices.json" in note for note in record["notes"])
    assert CliRunner().invoke(command, ["--tiny"]).exit_code == 2
    if Path("/proc").is_dir():  # where root may do everything, and nobody can make a folder
        refused = CliRunner().invoke(command, ["--out", "/proc/x.json"])
        assert (refused.exit_code, refused.output.count("Error")) == (2, 1)


def test_another_world_stands_beside_the_usual_one_with_scores_of_its_own(tmp_path):
    def made(given, folder):
        entries = [Entry("base", Known(1.0), budget=n) for n in (4, 8)]
        return Plan("toys", toys(1), entries, ("M",), "base", ("M",), budgets=(4, 8), called=given["methods"])

    place = tmp_path / "toys.json"

    def parts(name):
        words = ["--methods", name, "--out", str(place)]
        assert CliRunner().invoke(benchmark("toys", "toys", made, place), words).exit_code == 0
        return list(json.loads(place.read_text()))

    assert parts("") == ["table", "curve"]
    one = ["few with one", "few with one, curve"]
    assert parts(one[0]) == ["table", "curve", *one]
    assert parts("few with two") == ["table", "curve", *one, "few with two", "few with two, curve"]
    assert parts("") == [*one, "few with two", "few with two, curve", "table", "curve"]
    assert sorted(path.name for path in (tmp_path / "toys.kept").iterdir()) == [
        "scores",
        f"scores {one[0]}",
        "scores few with two",
    ]


class TestChoices:
    def test_the_code_is_as_committed(self):
        assert choices.differences() == [], "python -m eval choices --commit (--add, of a new method) --data WHAT --run COMMAND"
        assert choices.committed()["chosen_on"].keys() == {"data", "run", "date"}

    def test_another_choice_is_told_and_judged_by_others(self, monkeypatch, tmp_path):
        seed = choices.seed("context")
        assert 0 < seed < 2**32
        before = choices.differences()
        monkeypatch.setattr(choices.citing, "LEAST", 0.5)
        (told,) = (one for one in choices.differences() if one not in before)
        assert told == "LEAST is 0.5 (committed: 0.1)"
        assert "NOT as committed" in choices.notes()[-1]
        file = tmp_path / "choices.json"
        file.write_text(json.dumps({"chosen_on": {}, **choices.current()}))
        assert choices.seed("context", file) != seed
        assert choices.seed("training", file) == choices.seed("training")  # a threshold of citations is none of its

    def test_what_the_code_has_no_more_is_told_as_well(self, tmp_path):
        now = choices.current()
        now["thresholds"]["NONSENSE"] = 1
        now["defaults"]["context"].append({"name": "gone"})
        now["defaults"]["training"][0]["old"] = 2
        file = tmp_path / "choices.json"
        file.write_text(json.dumps({"chosen_on": {}, **now}))
        first = now["defaults"]["training"][0]["name"]
        assert choices.differences(file) == [
            "NONSENSE is no threshold",
            "context gone is no method",
            f"training {first}: old is None (committed: 2)",
        ]

    def test_a_new_methods_choices_are_added_to_what_is_said_of_the_others(self, monkeypatch, tmp_path):
        monkeypatch.setattr(choices, "FILE", tmp_path / "choices.json")
        for add in (["--add"], []):
            done = CliRunner().invoke(choices.command, ["--commit", *add, "--data", "as published", "--run", "none"])
            assert done.exit_code == 0
            said = json.loads(choices.FILE.read_text())["chosen_on"]
            before = choices.committed()["chosen_on"]
            assert said["data"] == (f"{before['data']}; as published" if add else "as published")
            assert said["run"] == (f"{before['run']}; none" if add else "none")

    def test_committing_needs_what_they_were_made_on(self):
        assert CliRunner().invoke(choices.command, ["--commit"]).exit_code == 2
        told = CliRunner().invoke(choices.command).output
        assert f"{choices.seed('context')} (context)" in told
        assert f"{choices.seed('training')} (training)" in told
