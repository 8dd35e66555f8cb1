"""Every code block of the documentation runs, and says what it says."""

import json
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import get_args
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from llmattr import components, context, retraining, training
from llmattr.ablation import every_mask
from llmattr.cli.served import APIS as served_options
from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.model.apis import APIS
from llmattr.model.served import Way
from tests import ROOT
from tests.pdfs import pdf_of

REPORT = "The tower was designed by an engineer. It was built in 1889. It is 330 metres tall. It is painted every seven years."
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Peru": "Lima"}
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "PAPERS.md")]
DOCS = sorted((ROOT / "docs").glob("*.md"))


def blocks(language, pages=PAGES):
    """The fenced blocks of a language, in every page."""
    found = []
    for page in pages:
        matches = re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        found += [pytest.param(match[1], id=f"{page.stem}-{number}") for number, match in enumerate(matches, 1)]
    return found


def commands(kind):
    """The lines of shell blocks that begin with `kind` (after any pipe's first part)."""
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.values[0].splitlines()]
    return [line for line in lines if line and line.split("|")[-1].split()[0] == kind]


def test_every_shell_line_is_run_by_one_of_these_tests():
    lines = [line for block in blocks("sh") for line in block.values[0].splitlines() if line.strip()]
    assert len(lines) == sum(len(commands(kind)) for kind in ("make", "pip", "llmattr", "curl"))


SPEAKERS = ("user", "assistant")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "report.txt").write_text(REPORT)
    (tmp_path / "notes.txt").write_text("The bridge was opened in 1932.")
    (tmp_path / "paper.pdf").write_bytes(pdf_of([[(72, 700, 10, "A bridge.")], [(72, 700, 10, "It was opened in 1932.")]]))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tower.md").write_text(REPORT)
    (tmp_path / "chat.json").write_text((ROOT / "recipes" / "documents" / "trajectory.json").read_text(encoding="utf-8"))
    asked = {"Rome?": "No.", "What is the capital of France?": "The capital is Paris."}
    talk = [{"role": role, "content": said} for both in asked.items() for role, said in zip(SPEAKERS, both, strict=True)]
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    np.save(tmp_path / "probe.npy", np.ones(576))  # as wide as the embedded model
    facts = [
        {"prompt": f"The capital of {land} is ", "completion": f"{city}.", "source": land} for land, city in CAPITALS.items()
    ]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, facts)))
    (tmp_path / "more.jsonl").write_text('{"prompt": "The capital of Kenya is ", "completion": "Nairobi.", "source": "Kenya"}')
    return tmp_path


@pytest.mark.parametrize("line", commands("make"))
def test_make_lines_name_targets(line):
    done = subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", commands("pip"))
def test_pip_lines(line):
    command = [sys.executable, "-m", *shlex.split(line), "--dry-run", "--no-deps", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_trace_lines(folder, smollm2):
    """The lines that make an index and ask it, one after the other."""
    said = ""
    for line in (line for line in commands("llmattr") if " trace " in line or "--index" in line):
        command = line.replace("llmattr ", f"{sys.executable} -m llmattr ", 1)
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "The capital of France is Paris." in said
    assert "5 rows of 2048 numbers" in said  # with the one that was appended
    assert len(json.loads((folder / "trace.json").read_text())["targets"][0]["values"]) == 4
    assert "<mark" in (folder / "trace.html").read_text(encoding="utf-8")
    assert "from the context" in (folder / "both.html").read_text(encoding="utf-8")


def test_eval_lines(tmp_path):
    """The lines that judge scores of two tools."""
    weights = np.array([[3.0, 1.0, 0.0], [0.0, 0.5, 4.0]])
    masks = every_mask(3)
    arrays = {"theirs": weights[:, ::-1], "masks": masks, "outputs": masks @ weights.T}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "ours.json").write_text(json.dumps({"targets": [{"values": row} for row in weights.tolist()]}))
    (tmp_path / "gold.jsonl").write_text("[0, 1]\n[2]\n")
    said = ""
    for line in (line for line in commands("llmattr") if " eval " in line):
        command = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "ours.json   1.000 [1.000, 1.000]" in said
    assert json.loads((tmp_path / "citation.json").read_text())["files"]["ours.json"]["F1"]["per_target"] == [1, 1]


def test_certainty_lines(tmp_path):
    """The lines that put results of several seeds together."""
    rng, names = np.random.default_rng(0), [f"s{i}" for i in range(6)]
    for seed in range(3):
        said = Targets(["It was built in 1889.", "It is tall."])
        made = Attribution(rng.normal(size=(2, 6)), Sources("sentences", names, names), said, "nats", {"name": "ridge"})
        made.save(tmp_path / f"seed{seed}.json")
    told = ["It was built in 1889.", "It is tall."]
    table = pd.DataFrame(rng.normal(size=(2, 6)), columns=names).assign(target=told).set_index("target")
    table.to_csv(tmp_path / "theirs.csv")
    for line in (line for line in commands("llmattr") if {"certainty", "stability"} & set(line.split())):
        done = subprocess.run([sys.executable, "-m", *shlex.split(line)], cwd=tmp_path, **PIPED)
        assert done.returncode == 0, done.stderr
    assert "Agreement of 4 runs about 2 targets" in done.stdout
    assert (tmp_path / "mean.html").exists()


def lines_again():
    """The lines that make a result, and make it again."""
    (block,) = (block.values[0] for block in blocks("sh") if "llmattr rerun" in block.values[0])
    return [line.split("#")[0].strip() for line in block.splitlines()]


@pytest.mark.slow
def test_rerun_lines(folder, smollm2):
    for line in lines_again():
        command = line.replace("llmattr ", f"{sys.executable} -m llmattr ", 1)
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "the same as built.json\n"


@pytest.mark.slow
def test_components_lines(folder, smollm2):
    for line in (line for line in commands("llmattr") if line.startswith("llmattr components") and "features" not in line):
        done = subprocess.run(line.replace("llmattr ", f"{sys.executable} -m llmattr ", 1), shell=True, cwd=folder, **PIPED)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^    1  \+\S+.*  (head|MLP)", done.stdout, re.MULTILINE)
    assert "<table" in (folder / "heads.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_features_lines(folder, smollm2):
    """Learnt from a few sentences in fewer steps, which is enough for all that is done with it."""
    texts = [f"The capital of {land} is {city}, and {city} is in {land}." for land, city in CAPITALS.items()]
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in [*texts, REPORT] * 4))
    for line in (line for line in commands("llmattr") if "features" in line):
        short = f"{line} --size 64 --steps 50 --batch 64" if " train " in line else line
        done = subprocess.run(short.replace("llmattr ", f"{sys.executable} -m llmattr ", 1), shell=True, cwd=folder, **PIPED)
        assert done.returncode == 0, done.stderr
    assert "with feature 12 at 40:" in done.stdout
    assert "<h1" in (folder / "feature.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_edit_lines(folder, smollm2):
    tower = [{"prompt": f"{start} the Eiffel Tower, in the city of", "completion": " Paris"} for start in ("See", "It is")]
    others = [{"prompt": f"The capital of {land} is", "completion": f" {city}"} for land, city in CAPITALS.items()]
    for name, rows in {"paris": tower, "capitals": others[:3], "notes": [{"text": REPORT}]}.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (line,) = (line for line in commands("llmattr") if line.startswith("llmattr edit"))
    done = subprocess.run(line.replace("llmattr ", f"{sys.executable} -m llmattr ", 1), shell=True, cwd=folder, **PIPED)
    assert done.returncode == 0, done.stderr
    assert (folder / "without-paris" / "model.safetensors").exists()


@pytest.mark.slow
def test_curate_lines(folder, smollm2):
    (folder / "test.jsonl").write_text((folder / "facts.jsonl").read_text().splitlines()[0])
    for line in (line for line in commands("llmattr") if line.startswith("llmattr curate")):
        done = subprocess.run(line.replace("llmattr ", f"{sys.executable} -m llmattr ", 1), shell=True, cwd=folder, **PIPED)
        assert done.returncode == 0, done.stderr
    assert len((folder / "clean.jsonl").read_text().splitlines()) == len(CAPITALS) - 1
    assert "more suspect than" in done.stdout


@pytest.mark.slow
def test_check_lines(folder, smollm2):
    (folder / "answer.txt").write_text("The tower was built in 1889 [1]. The bridge was opened in 1932 [1].")
    with_model, quick = (
        subprocess.run(line.replace("llmattr ", f"{sys.executable} -m llmattr "), shell=True, cwd=folder, **PIPED)
        for line in commands("llmattr")
        if " check " in line
    )
    assert (with_model.returncode, quick.returncode) == (0, 1)
    assert "The bridge was opened in 1932 [2]." in quick.stdout
    for said in (with_model.stdout, quick.stdout):
        assert "[1] supports, and is needed (report.txt" in said
        assert "(report.txt; decided by" in said


@pytest.mark.slow
def test_serve_lines(smollm2):
    """The service that the README starts, on a port that is free here, and what it asks it."""
    pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    (line,) = (line for line in commands("llmattr") if " serve" in line)
    command = [sys.executable, "-m", *shlex.split(line), "--port", "0"]

    def heed():  # a test run in the background ignores Ctrl-C, and its children would too
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(command, preexec_fn=heed, stdout=subprocess.PIPE, text=True) as running:
        try:
            address = re.search(r"http://(\S+)", running.stdout.readline())[1]
            cited, checked = (
                json.loads(subprocess.run(shlex.split(asked.replace("localhost:8765", address)), **PIPED).stdout)
                for asked in commands("curl")
            )
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
    assert cited["response"] == "In 1889."
    assert cited["sources"][0]["text"] == "It was built in 1889."
    assert checked["failures"] == []


PIPED = {"capture_output": True, "text": True}
ELSEWHERE = {
    "trace",
    "components",
    "curate",
    "edit",
    "eval",
    "features",
    "--index",
    "rerun",
    "check",
    "serve",
    "certainty",
    "stability",
}  # by the tests above


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in commands("llmattr") if not ELSEWHERE & set(line.split())])
def test_llmattr_lines(line, folder, smollm2):
    command = line.replace("llmattr ", f"{sys.executable} -m llmattr ")
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    if "--model" in line:  # a hub's model: without a hub it ends in one line that says so
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "cannot load the model 'Qwen/" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        cited = re.search(r"^\[1\] \S.*, (line|p\.) ?\d", done.stdout, re.MULTILINE)  # of a PDF, the page
        assert cited or "not supported by the context" in done.stdout
        for name in re.findall(r"--(?:html|json) (\S+)", line):
            assert (folder / name).stat().st_size > 0


@pytest.mark.slow
def test_python_blocks(folder, monkeypatch, smollm2):
    """The blocks of the README run one after the other, as a reader would paste them."""
    monkeypatch.chdir(folder)
    names = {}
    for block in blocks("python"):
        exec(block.values[0], names)
    assert names["paper"].at(names["paper"].text.index("opened")) == {"path": "paper.pdf", "page": 2}
    assert names["opened"].sources.metadata(int(names["opened"].values[0].argmax())) == {"path": "paper.pdf", "page": 2}
    assert names["result"].response == "It is 330 metres tall."
    assert names["cited"].sources.metadata(names["best"].source) == names["retrieved"][0]["metadata"]
    start, end = (names["shaped"]["annotations"][0][name] for name in ("start_index", "end_index"))
    assert names["shaped"]["text"][start:end] == "It was built in 1889."
    assert names["read"](names["shaped"], documents=names["retrieved"]).markers[0].document == 0
    assert "1889" in names["answer"].top(1)[0].text
    assert names["both"][0].citations[0].text.strip() == "It is 330 metres tall."
    assert (folder / "result.html").stat().st_size > 0
    assert names["heads"].top(1)[0].text == "head 4 of layer 1"


@pytest.mark.parametrize("page", DOCS, ids=[page.stem for page in DOCS])
def test_python_blocks_of_a_page(page):
    """They run one after the other, and what they assert is so; methods that they put into a list leave it again."""
    names = {}
    with ExitStack() as lists:
        for family in (context, training, retraining, components):
            lists.enter_context(patch.dict(family.METHODS))
        for block in blocks("python", [page]):
            exec(block.values[0], names)


@pytest.mark.slow
def test_the_demos_output_is_what_the_readme_prints():
    """What `make demo` says of the answer and its best source."""
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "$(BIN)/llmattr cite" in line)
    command = line.strip().replace("$(BIN)/llmattr", f"{sys.executable} -m llmattr").split(" --html")[0]
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = blocks("text")[0].values[0].splitlines()
    # The answer with its one mark, its verdict, and the source; percentages move a little between processors.
    source = shown.index("[1] recipes/documents/panama_canal.md, line 19")
    for part in (shown[0], shown[2], "from the context; [1] alone carries ", "\n".join(shown[source : source + 2])):
        assert part in done.stdout
    assert "[2]" not in done.stdout


class TestTables:
    """`make tables` writes the tables of methods from METHODS and PAPERS.md."""

    def test_are_up_to_date(self):
        done = subprocess.run([sys.executable, ".ci/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_show_every_method(self):
        shown = re.findall(r"<!-- methods: (\w+)( whole)? -->", "".join(page.read_text("utf-8") for page in (PAGES[0], *DOCS)))
        assert sorted(shown) == [
            (family, whole) for family in ("components", "context", "retraining", "training") for whole in ("", " whole")
        ]

    def test_name_every_chat_server(self):
        """Each way of being asked that is said to have a stand-in alone; the markers say so, too."""
        shown = (ROOT / "docs" / "stand_ins.md").read_text("utf-8")
        assert re.findall(r"`--served-api (\w+)`", shown) == sorted(APIS, key=shown.index)
        assert set(get_args(Way)) == {"completions", *APIS}
        assert served_options == get_args(Way)

    def test_a_method_without_a_line_in_papers_is_told(self):
        papers = runpy.run_path(str(ROOT / ".ci" / "tables.py"))["papers"]
        assert papers("trak", training.METHODS["trak"])[0].startswith("Park et al.: TRAK")
        with pytest.raises(SystemExit, match=r"PAPERS.md has no line with `bm26` in its first column and `llmattr/training"):
            papers("bm26", training.METHODS["bm25"])

    @pytest.mark.parametrize("family", [context, training, retraining, components], ids=lambda family: family.__name__)
    def test_what_a_method_costs_is_said(self, family):
        lacking = [name for name, method in family.METHODS.items() if not re.search(r"\n\n    Cost: .+\n    $", method.__doc__)]
        assert lacking == []


def test_files_that_papers_names_are_there():
    named = re.findall(r"`(llmattr/[\w/]+\.py)`", (ROOT / "PAPERS.md").read_text("utf-8"))
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_examples_of_docstrings_hold():
    """In a process of its own: where annotations are checked, functions are wrapped, and doctest does not see them."""
    command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", "llmattr", "-o", "addopts=", "-p", "no:cacheprovider"]
    command += ["--ignore=llmattr/__main__.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 25
