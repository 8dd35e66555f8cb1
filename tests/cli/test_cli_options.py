"""No option of a command is ignored in silence: what goes together with nothing is refused or noted."""

import json
import re
from dataclasses import dataclass, fields
from typing import ClassVar

import click
import numpy as np
import pytest

from llmattr import LM, build_index, context, open_index, retraining
from llmattr.cli import main
from llmattr.cli.cite import cite
from llmattr.cli.components import components
from llmattr.cli.edit import edit
from llmattr.cli.methods import names_of, with_options_of
from llmattr.cli.trace import trace
from llmattr.core.method import option
from llmattr.errors import LlmattrError
from llmattr.testing.properties import RESERVED
from tests import tiny_models

ROWS = [
    {"prompt": "The canal is ", "completion": "long."},
    {"prompt": "The lake is ", "completion": "deep."},
    {"prompt": "The canal was opened in ", "completion": "1914."},
]


@pytest.fixture
def run(tmp_path, tiny_folder, capsys, monkeypatch):
    """Call `llmattr` in a folder with a document, rows and a model; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canal.txt").write_text("The canal is long. It has locks. It opened in 1914. Ships pay a toll.")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "model").symlink_to(tiny_folder)

    def call(line):
        code = main(line.split())
        return code, *capsys.readouterr()

    return call


CITE = "cite canal.txt --query When? "
GIVEN = CITE + "--response Ships. --model model "
INDEX = "trace index --data rows.jsonl --out index "
LEAVE = "trace leave-one-out --data rows.jsonl --out runs --steps 1 "
REFUSED = {
    GIVEN + "--served-model x --timeout 3": "--served-model, --timeout would be of no use: --model is no server (http://...)",
    GIVEN + "--tokenizer x": "--tokenizer would be of no use",
    GIVEN + "--concurrency 2": "--concurrency would be of no use",
    CITE + "--model http://localhost:1 --dtype float32": "--dtype would be of no use: a server has its own type and device",
    CITE + "--model http://localhost:1 --device cpu": "--device would be of no use",
    GIVEN + "--step 2": "--step would be of no use: steps are those of a chat (--messages)",
    GIVEN + "--cache x --no-cache": "--cache would be of no use: --no-cache keeps nothing",
    GIVEN + "--max-new-tokens 3": "--max-new-tokens would be of no use: with --response no answer is written",
    GIVEN + "--rather-than Boats. --verify": "--verify would be of no use",
    INDEX + "--model model --learning-rates 0.1": "--learning-rates would be of no use: they are of --checkpoints",
    INDEX + "--model model --append": "there is no index to append to in 'index'",
    LEAVE + "--queries rows.jsonl --prompt x": "--completion (with its --prompt), or --queries with a file, and not both",
    "trace query index --queries rows.jsonl --prompt x": "and not both",
    "trace select --data rows.jsonl --queries rows.jsonl --out o --k 1 --scores rows.jsonl --n-models 9": "--n-models would be",
    "eval drop s.npy --write-masks m.npy --json o.json": "--json would be of no use: --write-masks judges nothing",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_would_be_of_no_use_is_refused(run, tmp_path, line):
    np.save(tmp_path / "s.npy", np.eye(3))
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith("llmattr: error: ")
    assert REFUSED[line] in err
    assert err.count("\n") == 1
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GIVEN + "--no-verify --measure logprob bm25", "--measure is not used: what bm25 gives is BM25"),
        (INDEX + "--model model --dim 8 --modules mlp --rows float16 bm25", "bm25 makes no use of --dim, --modules, --rows"),
        (
            INDEX + "--model model --checkpoints model grad-dot",
            "the checkpoints are indexed, and the model (--model) is not used",
        ),
        (INDEX + "--model model --dim 8 rep-sim", "rep-sim makes no use of --dim"),
        (INDEX + "--model model --rows float16 stream", "stream makes no use of --rows"),
        (INDEX + "--model model --kind identity --dim 8 grad-dot", "a projection of the kind identity makes no use of --dim"),
        (LEAVE.replace("leave-one-out", "linear-probe") + "--queries rows.jsonl", "linear-probe does not use --steps"),
        (
            LEAVE.replace("leave-one-out", "in-run-shapley") + "--queries rows.jsonl --jobs 2",
            "in-run-shapley does not use --jobs",
        ),
    ],
)
def test_what_is_not_used_is_noted(run, line, said):
    code, _, err = run(line)
    assert code == 0
    assert f"llmattr: note: {said}" in err


def test_defaults_are_not_noted(run):
    for method in ("bm25", "rep-sim", "stream", "grad-dot"):
        code, _, err = run(f"trace index --data rows.jsonl --out {method} --model model {method}")
        assert code == 0
        assert "makes no use of" not in err


class TestPlaces:
    """Where the outcome would be lost is said before any work: no model is loaded here, since there is none."""

    @pytest.mark.parametrize(
        "line",
        [
            "trace index --data rows.jsonl --out canal.txt/index --model nowhere",
            "trace index --data rows.jsonl --out canal.txt --model nowhere",
            "trace leave-one-out --data rows.jsonl --queries rows.jsonl --out rows.jsonl/runs --model nowhere",
            "trace select --data rows.jsonl --queries rows.jsonl --out rows.jsonl/runs --k 1 --model nowhere",
            CITE + "--model nowhere --cache canal.txt/cache",
            CITE + "--model nowhere --html no/such/page.html",
        ],
    )
    def test_a_place_that_cannot_be_written(self, run, line):
        code, out, err = run(line)
        assert (code, out) == (2, "")
        assert "cannot write" in err or "is a file" in err
        assert err.count("\n") == 1

    def test_a_folder_of_other_things_is_refused_before_anything_is_fitted(self, tiny_folder, tmp_path, monkeypatch):
        (tmp_path / "index").mkdir()
        (tmp_path / "index" / "mine.txt").write_text("")
        monkeypatch.setattr("llmattr.training.gradients.kronecker.fit", lambda *_: pytest.fail("fitted"))
        with pytest.raises(LlmattrError, match="is not empty and not an index"):
            build_index(tiny_folder, ROWS, tmp_path / "index", "ekfac")


def test_a_model_that_was_moved(run, tmp_path):
    (tmp_path / "model").rename(tmp_path / "here")
    assert run(INDEX + "--model ./here grad-dot")[0] == 0
    (tmp_path / "here").rename(tmp_path / "there")
    code, _, err = run("trace query index --queries rows.jsonl")
    assert code == 2
    assert (
        "cannot load the model './here': there is no such folder; the index names it: say with --model where it is now" in err
    )
    assert run("trace query index --queries rows.jsonl --model there")[0] == 0


def test_files_are_written_before_what_is_printed(run, tmp_path, monkeypatch):
    """Who reads the output may stop reading: `llmattr ... --json o.json | head -1`."""
    monkeypatch.setattr("click.echo", lambda *_, **__: (_ for _ in ()).throw(BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(SystemExit):
        run(GIVEN + "--no-verify --json o.json --html o.html leave-one-out")
    assert json.loads((tmp_path / "o.json").read_text())["response"] == "Ships."
    assert (tmp_path / "o.html").exists()


class TestCiteWithAnIndex:
    """The model is loaded as the index was built, unless that is asked otherwise, which is one clear line."""

    @pytest.fixture
    def index(self, run):
        assert run(INDEX + "--model model grad-dot")[0] == 0

    def test_the_type_is_the_indexs(self, run, index):
        code, out, _ = run(GIVEN + "--index index leave-one-out")
        assert code == 0
        assert "float32" in out

    def test_the_same_type_may_be_named(self, run, index):
        assert run(GIVEN + "--index index --dtype float32 leave-one-out")[0] == 0

    def test_another_type_is_refused(self, run, index):
        code, out, err = run(GIVEN + "--index index --dtype bfloat16 leave-one-out")
        assert (code, out) == (2, "")
        assert "--dtype bfloat16: the index 'index' was built in float32" in err

    def test_an_index_in_bfloat16(self, run):
        assert run(INDEX + "--model model --dtype bfloat16 grad-dot")[0] == 0
        code, out, _ = run(GIVEN + "--index index leave-one-out")
        assert code == 0
        assert "bfloat16" in out

    def test_the_device_is_applied(self, run, index):
        assert "cannot use the device 'nowhere'" in run(GIVEN + "--index index --device nowhere")[2]

    def test_another_model(self, run, index, tmp_path):
        tiny_models.llama(seed=1).save_pretrained(tmp_path / "other")
        tiny_models.tokenizer().save_pretrained(tmp_path / "other")
        code, _, err = run(GIVEN.replace("--model model", "--model other") + "--index index")
        assert code == 2
        assert "was built with another model or tokenizer" in err


def test_a_token_has_no_score_where_whole_rows_are_compared(tmp_path):
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    for method in ("bm25", "rep-sim"):
        index = build_index(lm, ROWS, tmp_path / method, method)
        with pytest.raises(LlmattrError, match=f"{method} compares whole rows: it has no score of a token"):
            index.query(ROWS[0], tokens=True)
    with pytest.raises(LlmattrError, match="learning rates are of checkpoints"):
        build_index(lm, ROWS, tmp_path / "i", "tracin", learning_rates=[0.1])
    with pytest.raises(LlmattrError, match="there is no index to append to"):
        build_index(lm, ROWS, tmp_path / "i", "tracin", append=True)
    with pytest.raises(LlmattrError):
        open_index(tmp_path / "i")


def of_its_own(command, method=None):
    """The names of a command's options but those of the method."""
    params = click.Command.get_params(command, click.Context(command))
    of_method = {field.name for field in fields(method)} if method else set()
    return {name for param in params for name in names_of(param)} - of_method


def test_the_names_that_no_option_of_a_method_may_have():
    """`check_method`, which cannot see the command line, refuses the very names that the commands do."""
    again = [of_its_own(trace.commands[name], method) for name, method in retraining.METHODS.items()]
    commands = {
        "context": of_its_own(cite),
        "training": of_its_own(trace.commands["index"]),
        "retraining": set().union(*again),
        "components": of_its_own(components) | of_its_own(edit),
    }
    assert {kind: set(names.split()) for kind, names in RESERVED.items()} == commands


def test_a_method_with_an_option_of_the_commands_own(run, monkeypatch):
    @dataclass(frozen=True)
    class Mine:
        """
        Mine, in its second line.
        """

        name: ClassVar[str] = "mine"
        family: ClassVar[str] = "reference"
        top: int = option(3, "so many")

        def attribute(self, ablation, seed=0):
            """Nothing."""

    monkeypatch.setitem(context.METHODS, "mine", Mine)
    for line in (GIVEN + "mine", "cite mine --help"):
        assert run(line) == (
            2,
            "",
            "llmattr: error: the method Mine has an option --top, as the command has: give it another name\n",
        )
    # The name of a flag is taken as that of what it is put into.
    other = dataclass(frozen=True)(
        type("Other", (), {"__annotations__": {"no_verify": bool}, "no_verify": option(False, "so")})
    )
    with pytest.raises(LlmattrError, match="Other has an option --no-verify, as the command has"):
        with_options_of(other, cite.params)
    assert re.search(r"^ *mine +Mine, in its second line\.$", run("cite --help")[1], re.MULTILINE)
