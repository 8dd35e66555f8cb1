"""Adding a method is one file and its line in METHODS: tried in a copy of the package, for every family.

Once as most write it, and once with `from __future__ import annotations`, which makes texts of all types.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests import ROOT, tiny_models

HEAD = """
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from llmattr import surrogate
from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from llmattr.components.ablation import ComponentAblation
    from llmattr.context.removal.ablation import ContextAblation
    from llmattr.retraining.ablation import RetrainingAblation
"""
CONTEXT = """
from llmattr.context.methods.retrieval import similarities


@dataclass(frozen=True)
class Mine:
    \"\"\"How many of the target's words the source has: mine.\"\"\"

    name: ClassVar[str] = "mine"
    family: ClassVar[str] = "corroborative"
    least: int = option(1, "letters of a word that counts", least=1)
    case: Literal["any", "same"] = option("any", "whether capitals matter")

    def attribute(self, ablation: "ContextAblation", seed: int = 0) -> Attribution:
        def shared(text, said):
            return float(sum(len(word) >= self.least and word in text for word in said.split()))

        values = [[shared(text, said) for text in ablation.sources.texts] for said in ablation.targets.texts]
        return similarities(self, ablation, np.array(values), "words")
"""
TRAINING = """

@dataclass(frozen=True)
class Mine:
    \"\"\"How many of the query's words the row has: mine.\"\"\"

    name: ClassVar[str] = "mine"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "words"
    measure: ClassVar[str] = "loss"
    retrieves_itself: ClassVar[bool] = True
    least: int = option(1, "letters of a word that counts", least=1)
    case: Literal["any", "same"] = option("any", "whether capitals matter")

    def retrieve(self, rows: Sequence[str], queries: Sequence[str]) -> Float[np.ndarray, "t n"]:
        def shared(row, query):
            return float(sum(len(word) >= self.least and word in row for word in query.split()))

        return np.array([[shared(row, query) for row in rows] for query in queries])
"""
RETRAINING = """

@dataclass(frozen=True)
class Mine:
    \"\"\"What is lost without a row, times a factor: mine.\"\"\"

    name: ClassVar[str] = "mine"
    family: ClassVar[str] = "game-theoretic"
    least: int = option(1, "divides the scores", least=1)
    case: Literal["any", "same"] = option("any", "one thing or the other")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        return surrogate.leave_one_out(ablation, seed)
"""
COMPONENTS = RETRAINING.replace("a row", "a head").replace("RetrainingAblation", "ComponentAblation")
FILES = {"context": CONTEXT, "training": TRAINING, "retraining": RETRAINING, "components": COMPONENTS}
LAST = ",\n)\n\nMETHODS = "  # where every list of methods ends: whoever adds one does so there
COMMANDS = {"context": ["cite"], "training": ["trace", "index"], "retraining": ["trace"], "components": ["components"]}
DRIVER = """
import contextlib, io, json, sys
import llmattr
from llmattr import components, context, retraining, training
from llmattr.cli import main
from llmattr.testing import check_method

given = json.loads(sys.argv[1])
said = {"package": llmattr.__file__}
for kind, runs in given.items():
    for arguments in runs:
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
            said.setdefault(kind, []).append(main(arguments))
        said.setdefault(kind + " says", []).append(shown.getvalue())
for kind in (context, training, retraining, components):
    check_method(kind.METHODS["mine"]())
print(json.dumps(said))
"""


TEXTS = pytest.param("from __future__ import annotations\n", id="with types as texts", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[pytest.param("", id="as usual"), TEXTS])
def folder(request, tmp_path_factory):
    """A copy of the package with one more method in each family, beside a model and data."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "llmattr", folder / "llmattr", ignore=shutil.ignore_patterns("__pycache__"))
    for kind, text in FILES.items():
        place = folder / "llmattr" / kind / "methods"
        (place / "mine.py").write_text(f'"""Mine."""\n{request.param}{HEAD}{text}')
        listed = (place / "__init__.py").read_text()
        assert listed.count(LAST) == 1
        first = f"from llmattr.{kind}.methods."
        listed = listed.replace(LAST, ",\n    Mine" + LAST).replace(first, f"{first}mine import Mine\n{first}", 1)
        (place / "__init__.py").write_text(listed)
    tiny_models.save(folder / "tiny")
    (folder / "report.txt").write_text("The tower was built in 1889. It is 330 metres tall.")
    rows = [{"prompt": f"The number of {i} is", "completion": f" number {i}."} for i in range(4)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("kind", FILES)
def test_help_shows_it_and_its_options(folder, kind):
    every = run(folder, "-m", "llmattr", *COMMANDS[kind], "--help")
    own = run(folder, "-m", "llmattr", *COMMANDS[kind], "mine", "--help")
    assert ": mine" in every.stdout, every.stderr
    assert "--least INTEGER" in own.stdout, own.stderr
    assert "--case [any|same]" in own.stdout


@pytest.mark.slow
def test_it_runs_keeps_its_record_and_conforms(folder):
    asked = ["--data", "rows.jsonl", "--prompt", "The number of 2 is", "--completion", " number 2.", "--out", "runs"]
    index = ["trace", "index", "mine", "--data", "rows.jsonl", "--model", "tiny"]
    cited = ["cite", "report.txt", "--query", "When?", "--response", "It was built in 1889.", "--model", "tiny", "--no-cache"]
    again = ["trace", "mine", *asked, "--steps", "2"]
    parts = ["components", "The number of 2 is", "--completion", " number 2.", "--model", "tiny"]
    commands = {
        "context": [[*cited, "mine", "--least", "2", "--json", "cite.json"], [*cited, "mine", "--least", "0"]],
        "training": [[*index, "--out", "idx", "--least", "2"], [*index, "--out", "other", "--least", "0"]],
        "retraining": [[*again, "--least", "2", "--json", "again.json"], [*again, "--least", "0"]],
        "components": [[*parts, "mine", "--least", "2", "--json", "parts.json"], [*parts, "mine", "--least", "0"]],
    }
    done = run(folder, "-c", DRIVER, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["package"].startswith(str(folder))
    records = {
        "context": json.loads((folder / "cite.json").read_text()),
        "training": json.loads((folder / "idx" / "run.json").read_text()),
        "retraining": json.loads((folder / "again.json").read_text()),
        "components": json.loads((folder / "parts.json").read_text()),
    }
    for kind, record in records.items():
        assert said[kind] == [0, 2], said[f"{kind} says"]
        assert "least must be 1 or more" in said[f"{kind} says"][1]
        assert record["method"] == {"name": "mine", "least": 2, "case": "any"}
