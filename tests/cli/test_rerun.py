"""`llmattr rerun`: what a command made is made again, byte for byte but for the seconds; what changed is named."""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from llmattr import build_index, context, retraining, training
from llmattr.cli import main
from llmattr.cli.differences import differences
from llmattr.cli.retrain import _command
from llmattr.cli.trace import trace
from llmattr.core.attribution import Attribution
from llmattr.training.index.files import read_run, save_run
from tests import tiny_models

ROWS = [
    {"prompt": "The lake is ", "completion": "deep."},
    {"prompt": "The canal was opened in ", "completion": "1914."},
    {"prompt": "The tower is ", "completion": "tall."},
]


@pytest.fixture
def run(tmp_path, tiny_folder, capsys, monkeypatch):
    """Call `llmattr` in a folder with a document, rows and a model; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMATTR_CACHE", str(tmp_path / "kept"))
    Path("canal.txt").write_text("The canal is long. It has locks. It opened in 1914. Ships pay a toll.")
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    Path("more.jsonl").write_text(json.dumps({"prompt": "The bridge is ", "completion": "wide."}))
    Path("model").symlink_to(tiny_folder)
    np.save("s.npy", np.eye(3))
    np.save("g.npy", np.eye(3)[::-1])

    def call(line):
        code = main(line.split())
        return code, *capsys.readouterr()

    return call


def timeless(path):
    """The bytes of a result without its seconds."""
    text, count = re.subn(rb'"seconds": \{[^}]*\}', b"", Path(path).read_bytes())
    return text, count


AGAIN = ": bring it back, or run the command anew\n"
CITE = "cite canal.txt --query When? --response Ships. --model model "
INDEX = "trace index --data rows.jsonl --out rows.idx --model model "
QUERY = "trace query rows.idx --queries rows.jsonl "
TRAINED = "--data rows.jsonl --queries rows.jsonl --out runs --steps 2 "
RESULTS = {
    "cite --no-cache": [CITE + "--no-cache --json a.json --html a.html"],
    "cite with a cache": [CITE + "--json a.json"],
    "cite with a folder for it": [CITE + "--cache kept.too --dtype float32 --json=a.json leave-one-out"],
    "cite with an answer written": ["cite canal.txt --query When? --model model --max-new-tokens 5 --json a.json"],
    "cite --index": [INDEX + "grad-cos", CITE + "--index rows.idx --json a.json"],
    "trace query": [INDEX + "trackstar", QUERY + "--top 2 --json a.json"],
    "trace self": [INDEX + "grad-dot", "trace self rows.idx --json a.json"],
    "trace datamodel": ["trace datamodel --n-models 3 --json a.json " + TRAINED],
    "trace leave-one-out": ["trace leave-one-out --model model --verify 1 --json a.json " + TRAINED],
    "trace in-run-shapley": ["trace in-run-shapley --json a.json " + TRAINED],
    "trace magic": ["trace magic --json a.json " + TRAINED],
    "trace select": ["trace select --k 1 --runs 1 --n-models 3 --json a.json " + TRAINED],
    "eval retrieval": ["eval retrieval s.npy --gold g.npy --k 1 --json a.json"],
}
SLOW = ("trace query", "trace leave-one-out", "trace magic")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "lines",
    [pytest.param(lines, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, lines in RESULTS.items()],
)
def test_a_result_again_is_the_same_byte_for_byte_but_for_the_seconds(run, lines):
    for line in lines:
        assert run(line)[0] == 0
    before = Path("a.json").read_bytes()
    assert run("rerun a.json --out b.json")[:2] == (0, "the same as a.json\n")
    assert timeless("a.json") == timeless("b.json")
    assert Path("a.json").read_bytes() == before
    assert run("rerun b.json")[:2] == (0, "the same as b.json\n")


def test_what_a_cache_had_is_computed_anew(run):
    for file in ("a.json", "b.json"):
        assert run(CITE + f"--dtype float32 --json {file}")[0] == 0
    assert json.loads(Path("b.json").read_text())["run"]["resumed"] > 0
    assert run("rerun b.json --out c.json")[:2] == (0, "the same as b.json\n")
    assert timeless("c.json") == timeless("a.json")


@pytest.mark.parametrize("method", ["trackstar", "bm25", "ekfac"])
def test_an_index_again_is_the_same_to_the_byte(run, method):
    assert run(INDEX + method)[0] == 0
    assert run(f"trace index --data more.jsonl --out rows.idx --append --model model {method}")[0] == 0
    assert run("rerun rows.idx --out again.idx")[:2] == (0, "the same as rows.idx\n")
    names = {path.name for path in Path("rows.idx").iterdir()} - {"checked"}
    assert names == {path.name for path in Path("again.idx").iterdir()} - {"checked"}
    for name in names:
        assert Path("rows.idx", name).read_bytes() == Path("again.idx", name).read_bytes()
    assert run("rerun again.idx/run.json")[0] == 0
    code, _, err = run("rerun rows.idx --out again.idx")
    assert (code, "an index is made in a new folder" in err) == (2, True)


def test_an_index_of_several_checkpoints(run):
    other_model("later")
    assert run("trace index --data rows.jsonl --out rows.idx --checkpoints model --checkpoints later grad-dot")[0] == 0
    assert run("rerun rows.idx --out again.idx")[:2] == (0, "the same as rows.idx\n")
    one, other = (
        [path.read_bytes() for path in sorted(Path(folder).rglob("run.json"))] for folder in ("rows.idx", "again.idx")
    )
    assert one == other
    assert len(one) == 3


def test_a_command_that_goes_on_is_recorded_once(run):
    for _ in range(2):
        assert run(INDEX + "bm25")[0] == 0
    commands = json.loads(Path("rows.idx/run.json").read_text())["commands"]
    assert [command["arguments"] for command in commands] == [
        ["trace", "index", *INDEX.split()[2:4], "--model", "model", "bm25"]
    ]


def test_the_record_is_of_what_the_numbers_depend_on(run, tmp_path):
    assert run(CITE + "--cache kept.too --html a.html --json a.json --seed 3 ridge")[0] == 0
    command = json.loads(Path("a.json").read_text())["command"]
    assert command["arguments"] == [*CITE.split(), "--seed", "3", "ridge"]
    assert list(command["inputs"]) == ["canal.txt"]
    assert command["models"].keys() == {"model"}
    assert {"llmattr", "torch", "transformers"} <= command["versions"].keys()
    assert str(tmp_path) not in Path("a.json").read_text()


def test_the_value_of_an_option_is_no_option(run):
    assert run("cite canal.txt --query --json --response Ships. --model model --json a.json leave-one-out")[0] == 0
    assert run("rerun a.json")[0] == 0
    arguments = json.loads(Path("a.json").read_text())["command"]["arguments"]
    assert arguments == ["cite", "canal.txt", "--query", "--json", "--response", "Ships.", "--model", "model", "leave-one-out"]


def other_model(name):
    tiny_models.llama(seed=1).save_pretrained(name)
    tiny_models.tokenizer().save_pretrained(name)


def other_numbers(line, run, change):
    assert run(line)[0] == 0
    saved = json.loads(Path("a.json").read_text())
    change(saved)
    Path("a.json").write_text(json.dumps(saved))


def test_other_numbers_are_told_with_the_largest_difference(run):
    def change(saved):
        saved["targets"][0]["values"][1] += 0.25
        saved["targets"][0]["values"][2] -= 0.5
        saved["sources"][0]["text"] = "The canal was long."

    other_numbers(CITE + "--dtype float32 --json a.json leave-one-out", run, change)
    code, out, _ = run("rerun a.json --out b.json")
    assert code == 1
    assert out.splitlines()[0] == "not the same as a.json:"
    assert "  targets.values: 2 of 8 numbers, by at most 0.5" in out.splitlines()
    assert "  sources.text: 'The canal was long.' then, 'The canal is long.' now" in out.splitlines()
    assert run("rerun b.json")[0] == 0


def test_rows_of_an_index_that_differ_are_told(run):
    run(INDEX + "grad-dot")
    run("trace index --data rows.jsonl --out other.idx --model model --seed 1 grad-dot")
    save_run(Path("other.idx"), {**read_run(Path("other.idx")), "commands": read_run(Path("rows.idx"))["commands"]})
    code, out, _ = run("rerun other.idx")
    assert code == 1
    assert "run.json.seed: 1 of 1 numbers, by at most 1" in out
    assert re.search(r"rows: by at most [\d.e+-]+, where the largest number is", out)


def test_what_was_changed_is_named_before_anything_runs(run):
    assert run(CITE + "--json a.json leave-one-out")[0] == 0
    text = Path("canal.txt").read_text()
    Path("canal.txt").write_text(text + " It is old.")
    assert run("rerun a.json") == (2, "", f"llmattr: error: 'canal.txt' was changed since the result was made{AGAIN}")
    Path("canal.txt").rename("moved.txt")
    assert run("rerun a.json")[2].startswith("llmattr: error: 'canal.txt' is not here: start rerun where")
    Path("canal.txt").write_text(text)
    assert run("rerun a.json")[0] == 0
    Path("model").unlink()
    other_model("model")
    assert run("rerun a.json")[2] == f"llmattr: error: the model 'model' is another one than when the result was made{AGAIN}"


def test_an_index_that_was_built_anew_of_other_rows_is_named(run):
    run(INDEX + "bm25")
    run(QUERY + "--json a.json")
    run("trace index --data more.jsonl --out rows.idx --append --model model bm25")
    assert run("rerun a.json")[2] == f"llmattr: error: 'rows.idx' was changed since the result was made{AGAIN}"


def test_other_versions_are_noted(run):
    other_numbers(CITE + "--json a.json leave-one-out", run, lambda saved: saved["command"]["versions"].update(torch="1.0"))
    code, out, err = run("rerun a.json")
    assert (code, out) == (0, "the same as a.json\n")
    assert "note: other versions, so numbers may differ: torch 1.0 then, " in err


def test_a_result_is_overwritten_where_that_is_said(run):
    other_numbers(CITE + "--json a.json leave-one-out", run, lambda saved: saved["targets"][0].update(text="x"))
    assert run("rerun a.json --out a.json")[0] == 1
    assert run("rerun a.json")[0] == 0


def test_what_no_command_made_is_one_clear_line(run, tiny):
    run(CITE + "--json a.json leave-one-out")
    Attribution.load("a.json").save("python.json")
    build_index(tiny, ROWS, "python.idx", "bm25")
    run(INDEX + "bm25")
    build_index("model", "more.jsonl", "rows.idx", "bm25", append=True)
    for file, made in (("python.json", "was"), ("python.idx", "was"), ("rows.idx", "was partly")):
        code, out, err = run(f"rerun {file}")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"'{file}' {made} made from Python, not from the command line" in err
    assert "is no JSON" in run("rerun canal.txt")[2]
    assert "'.' is no index" in run("rerun .")[2]


def test_an_index_that_was_edited_by_hand_is_damaged(run):
    run(INDEX + "bm25")
    place = Path("rows.idx/run.json")
    place.write_text(place.read_text().replace('"bm25"', '"length"'))
    assert "the index 'rows.idx' is damaged: run.json is not what was written" in run("rerun rows.idx")[2]
    assert "No such file" in run("rerun none.json")[2]


def test_a_result_may_be_called_as_an_index_calls_its_own(run):
    run(CITE + "--json run.json leave-one-out")
    assert run("rerun run.json")[:2] == (0, "the same as run.json\n")
    assert "'none/run.json'" in run("rerun none/run.json")[2]


def test_what_was_read_is_not_overwritten(run):
    run(CITE + "--json a.json leave-one-out")
    before = Path("canal.txt").read_bytes()
    assert run("rerun a.json --out canal.txt")[::2] == (
        2,
        "llmattr: error: cannot write 'canal.txt': it is an input or another output\n",
    )
    assert Path("canal.txt").read_bytes() == before


OTHERS = {
    "of another program": {"a": 1},
    "a list": [1],
    "a command that is a text": {"command": "python foo.py"},
    "a line that is a text": {"command": {"arguments": "cite", "inputs": {}, "models": {}, "versions": {}}},
    "inputs that are a list": {"command": {"arguments": ["cite"], "inputs": [], "models": {}, "versions": {}}},
    "a model without hashes": {"command": {"arguments": ["cite"], "inputs": {}, "models": {"m": {}}, "versions": {}}},
}


@pytest.mark.parametrize("saved", OTHERS.values(), ids=OTHERS)
def test_what_is_no_result_is_one_clear_line(run, saved):
    Path("a.json").write_text(json.dumps(saved))
    assert run("rerun a.json")[::2] == (
        2,
        "llmattr: error: 'a.json' is no result of llmattr: give what --json wrote, or the folder of an index\n",
    )


def test_a_command_that_only_helps_makes_none(run):
    other_numbers(
        CITE + "--json a.json leave-one-out", run, lambda saved: saved["command"].update(arguments=["cite", "--help"])
    )
    code, _, err = run("rerun a.json")
    assert (code, "(cite --help) makes no result" in err) == (2, True)
    Path("a.json").write_text("[" * 200_000 + "]" * 200_000)
    assert "is no JSON" in run("rerun a.json")[2]


def test_a_stream_is_gone(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"It is long. It has locks.")))
    assert run("cite - --query When? --response Ships. --model model --json a.json leave-one-out")[0] == 0
    assert "standard input was a stream, which is gone: write it to a file" in run("rerun a.json")[2]


@pytest.mark.parametrize("arguments", [["cache", "clear"], ["rerun", "a.json"], ["fit-heads", "x"], ["trace", "no"], []])
def test_only_what_makes_results_is_run(run, arguments):
    other_numbers(CITE + "--json a.json leave-one-out", run, lambda saved: saved["command"].update(arguments=arguments))
    code, _, err = run("rerun a.json")
    assert (code, "is no command that makes a result" in err) == (2, True)


def test_a_file_of_somebody_elses_writes_nowhere(run):
    def change(saved):
        saved["command"]["arguments"] += ["--json", "elsewhere", "--html=elsewhere", "--cache", "elsewhere"]

    other_numbers(CITE + "--json a.json leave-one-out", run, change)
    assert run("rerun a.json")[0] == 0
    assert not Path("elsewhere").exists()


def test_differences_are_told_by_field():
    then = {"a": [{"v": 1.0, "seconds": 3}, {"v": None}], "run": {"seed": 0, "torch": "1", "resumed": 4}, "only": True}
    now = {"a": [{"v": 1.5, "seconds": 4}, {"v": 2.0}], "run": {"seed": 0, "torch": "2"}}
    assert differences(then, then) == []
    assert differences(then, now) == ["a.v: 1.0 then, 1.5 now, and 1 more", "only: True then, None now"]


def test_a_method_of_ones_own_is_named(run, monkeypatch):
    """What a program of one's own put into METHODS is there no more: Python's function takes its class."""
    for methods, name, line in (
        (context.METHODS, "leave-one-out", CITE + "--json a.json mine"),
        (retraining.METHODS, "leave-one-out", "trace mine --json b.json " + TRAINED),
        (training.METHODS, "bm25", INDEX + "mine"),
    ):
        own = dataclass(frozen=True)(type("Mine", (methods[name],), {"name": "mine"}))
        with monkeypatch.context() as patch:
            patch.setitem(methods, "mine", own)
            if "trace mine" in line:
                patch.setitem(trace.commands, "mine", _command("mine", own))
            code, _, err = run(line)
            assert (code, err) == (0, err), err
    for file, function in (("a.json", "cite"), ("b.json", "retrain"), ("rows.idx", "build_index")):
        said = (
            f"llmattr: error: the method 'mine' is none of llmattr's: give its class to llmattr.{function}(..., method=...)\n"
        )
        assert run(f"rerun {file}") == (2, "", said)
