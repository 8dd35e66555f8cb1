"""The house: one door upwards, old paths that still import, and nothing heavy before it is needed."""

import re
import subprocess
import sys

import pytest

import llmattr
from llmattr.moved import MOVED
from tests import ROOT

PACKAGE = ROOT / "llmattr"


def test_results_alone_reach_up_to_their_reports():
    """Whatever else looked a report up by name would be an arrow that `make lint` cannot see."""
    through = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "face(" in path.read_text("utf-8")}
    assert through == {"core/faces.py", "core/attribution.py", "context/checked.py", "origins.py"}


def test_modules_are_only_looked_up_where_all_can_see_it():
    files = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    found = {name for name, text in files.items() if "import_module" in text}
    assert found == {"__init__.py", "moved.py", "core/faces.py", "retraining/__init__.py"}


@pytest.mark.parametrize("old", MOVED)
def test_old_paths_import_with_a_note(old):
    code = f"import warnings; warnings.simplefilter('error', DeprecationWarning); import {old}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert re.search(rf"DeprecationWarning: {re.escape(old)} is now {re.escape(MOVED[old][0])}", done.stderr)


def test_old_paths_give_the_same_things():
    with pytest.warns(DeprecationWarning, match="the old name goes with the next release"):
        from llmattr.types import Attribution, Document, is_cited  # pyright: ignore[reportMissingImports]
    from llmattr.core import attribution, citing, sources

    assert (Attribution, Document, is_cited) == (attribution.Attribution, sources.Document, citing.is_cited)


def test_the_tree_shows_every_room():
    tree = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("```text\nllmattr/\n")[1].split("recipes/")[0]
    shown = set(re.findall(r"^  (\w+(?:/|\.py))", tree, re.MULTILINE)) | {"moved.py", "__main__.py"}
    there = {path.name + "/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"}
    assert shown == there


@pytest.mark.parametrize("room", ["context", "training", "retraining", "components"])
def test_the_tree_shows_every_folder_of_a_room(room):
    tree = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("```text\nllmattr/\n")[1].split("recipes/")[0]
    line = re.search(rf"^  {room}/(.*?)^  \w", tree, re.MULTILINE | re.DOTALL)[1]
    there = {path.parent.name for path in (PACKAGE / room).glob("*/__init__.py")}
    assert set(re.findall(r"(\w+)/", line)) == there


@pytest.mark.parametrize("room", ["context", "training", "retraining", "components"])
def test_the_tree_names_every_file_of_a_room(room):
    tree = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("```text\nllmattr/\n")[1].split("recipes/")[0]
    line = re.search(rf"^  {room}/(.*?)^  \w", tree, re.MULTILINE | re.DOTALL)[1]
    assert unnamed(line, (PACKAGE / room).glob("*.py")) == []


def test_the_readme_of_eval_names_every_file():
    """But for results, and for the runners of peers, which are one each."""
    files = (ROOT / "eval/README.md").read_text("utf-8").split("## Files")[1]
    assert unnamed(files, (path for path in (ROOT / "eval").rglob("*.py") if path.parent.name != "peers")) == []


def unnamed(text, paths):
    """Which of these files the text does not name, with or without the ending."""
    there = sorted(path.stem for path in paths if not path.stem.startswith("__"))
    assert there
    return [stem for stem in there if not re.search(rf"\b{stem}\b", text)]


def test_contributing_names_places_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    places = re.findall(r"`((?:llmattr|tests|eval)/[\w/.]*)`", text)
    assert len(places) > 12
    assert [place for place in places if not (ROOT / place).exists()] == []


@pytest.mark.parametrize(
    "word",
    [
        "trust_remote_code=True",
        "pickle.load",
        "allow_pickle=True",
        "weights_only=False",
        "shell=True",
        "os.system",
        "eval(",
        "exec(",
    ],
)
def test_what_security_says_is_never_done(word):
    """No module has it; a call of `eval` or `exec` stands alone, where `model.eval()` and `def _exec(` do not."""
    found = re.compile(rf"(?<![\w.]){re.escape(word)}")
    assert [path.name for path in PACKAGE.rglob("*.py") if found.search(path.read_text("utf-8"))] == []


def test_the_software_is_cited_by_its_version():
    assert f"\nversion: {llmattr.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
