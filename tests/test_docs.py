"""Every code block of the documentation runs, and says what it says."""

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
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
PIPED = {"capture_output": True, "text": True}
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "PAPERS", "SECURITY")), *DOCS]
QUEUE = [
    {
        "id": "tower",
        "query": "When was it built?",
        "answer": "It was built in 1889 [1].",
        "documents": ["It was built in 1889."],
    },
    {"id": "bridge", "query": "When was it opened?", "answer": "It was opened in 1932 [1].", "documents": ["It is long."]},
]


def name_of(page):
    """A page as the project names it, without its ending."""
    return page.relative_to(ROOT).with_suffix("").as_posix()


def blocks(language, pages=PAGES):
    """The fenced blocks of a language, in these pages."""
    found = []
    for page in pages:
        matches = re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        found += [pytest.param(match[1], id=f"{name_of(page)}-{number}") for number, match in enumerate(matches, 1)]
    return found


def lines_of(text):
    """The lines of a shell block, without comments."""
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


def commands(kind, pages=PAGES):
    """The lines of shell blocks that begin with `kind` (after any pipe's first part)."""
    lines = [line for block in blocks("sh", pages) for line in lines_of(block.values[0])]
    return [line for line in lines if line.split("|")[-1].split()[0] == kind]


def by_page(*words):
    """For every page that has `llmattr` lines with one of these words, these lines in their order."""
    found = {name_of(page): [line for line in commands("llmattr", [page]) if {*words} & {*line.split()}] for page in PAGES}
    return pytest.mark.parametrize("lines", [pytest.param(lines, id=name) for name, lines in found.items() if lines])


def in_shell(line, folder):
    """What a line of the command does in a folder, as a shell runs it."""
    command = line.replace("llmattr ", f"{sys.executable} -m llmattr ", 1)
    return subprocess.run(command, shell=True, cwd=folder, **PIPED)


def said_by(lines, folder):
    """What lines print that run one after the other; what they write is there."""
    said = ""
    for line in lines:
        done = in_shell(line, folder)
        assert done.returncode == 0, done.stderr
        said += done.stdout
        for name in re.findall(r"--(?:html|json|junit) (\S+)", line):
            assert (folder / name).stat().st_size > 0
    return said


def test_every_shell_line_is_run_by_one_of_these_tests():
    lines = [line for block in blocks("sh") for line in lines_of(block.values[0])]
    assert len(lines) == sum(len(commands(kind)) for kind in ("make", "pip", "llmattr", "curl", "eval"))


def test_every_block_is_one_that_is_run_or_printed():
    """Nobody would run one without a language; `py` and `console` say that theirs need a server or files of one's own."""
    known = {"sh", "python", "text", "console", "py"}
    opened = {page: re.findall(r"^```(\w*)$", page.read_text("utf-8"), re.MULTILINE)[::2] for page in PAGES}
    assert {name_of(page): {*found} - known for page, found in opened.items() if {*found} - known} == {}


def test_links_lead_somewhere_and_those_of_the_site_stay_in_it():
    """Of anchors `make docs` sees to it."""
    lost = []
    for page in PAGES:
        for target in re.findall(
            r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
        ):
            place = (page.parent / target).resolve()
            there = target.startswith("https://") or place.exists()
            if not there or (page in DOCS and not target.startswith("https://") and not place.is_relative_to(ROOT / "docs")):
                lost.append(f"{name_of(page)}: {target}")
    assert lost == []


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
    (tmp_path / "answer.txt").write_text("The tower was built in 1889 [1]. The bridge was opened in 1932 [1].")
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, QUEUE)))
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
@by_page("trace", "--index")
def test_trace_lines(lines, folder, smollm2):
    """The lines that make an index and ask it, one after the other."""
    said, asked = said_by(lines, folder), " ".join(lines)
    assert ("The capital of France is Paris." in said) or "query" not in asked
    if "--append" in asked:
        assert "5 rows of 2048 numbers" in said  # with the one that was appended
        assert len(json.loads((folder / "trace.json").read_text())["targets"][0]["values"]) == 4
        assert "<mark" in (folder / "trace.html").read_text(encoding="utf-8")
        assert "from the context" in (folder / "both.html").read_text(encoding="utf-8")


@pytest.mark.slow
@by_page("eval")
def test_eval_lines(lines, tmp_path):
    """The lines that judge scores of two tools."""
    weights = np.array([[3.0, 1.0, 0.0], [0.0, 0.5, 4.0]])
    masks = every_mask(3)
    arrays = {"theirs": weights[:, ::-1], "masks": masks, "outputs": masks @ weights.T}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "ours.json").write_text(json.dumps({"targets": [{"values": row} for row in weights.tolist()]}))
    (tmp_path / "gold.jsonl").write_text("[0, 1]\n[2]\n")
    said = said_by(lines, tmp_path)
    assert "ours.json   1.000 [1.000, 1.000]" in said
    assert json.loads((tmp_path / "citation.json").read_text())["files"]["ours.json"]["F1"]["per_target"] == [1, 1]


@pytest.mark.slow
@by_page("certainty", "stability")
def test_certainty_lines(lines, tmp_path):
    """The lines that put results of several seeds together."""
    rng, names = np.random.default_rng(0), [f"s{i}" for i in range(6)]
    for seed in range(3):
        said = Targets(["It was built in 1889.", "It is tall."])
        made = Attribution(rng.normal(size=(2, 6)), Sources("sentences", names, names), said, "nats", {"name": "ridge"})
        made.save(tmp_path / f"seed{seed}.json")
    told = ["It was built in 1889.", "It is tall."]
    table = pd.DataFrame(rng.normal(size=(2, 6)), columns=names).assign(target=told).set_index("target")
    table.to_csv(tmp_path / "theirs.csv")
    said = said_by(lines, tmp_path)
    assert "Agreement of 4 runs about 2 targets" in said
    assert (tmp_path / "mean.html").exists()


def lines_again():
    """The lines that make a result, and make it again."""
    (block,) = (block.values[0] for block in blocks("sh") if "llmattr rerun" in block.values[0])
    return lines_of(block)


@pytest.mark.slow
def test_rerun_lines(folder, smollm2):
    assert said_by(lines_again(), folder).endswith("the same as built.json\n")


@pytest.mark.slow
@by_page("components")
def test_components_lines(lines, folder, smollm2):
    for line in (line for line in lines if "features" not in line):
        assert re.search(r"^    1  \+\S+.*  (head|MLP)", said_by([line], folder), re.MULTILINE)
    assert "<table" in (folder / "heads.html").read_text(encoding="utf-8")


@pytest.mark.slow
@by_page("features")
def test_features_lines(lines, folder, smollm2):
    """Learnt from a few sentences in fewer steps, which is enough for all that is done with it."""
    texts = [f"The capital of {land} is {city}, and {city} is in {land}." for land, city in CAPITALS.items()]
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in [*texts, REPORT] * 4))
    short = [f"{line} --size 64 --steps 50 --batch 64" if " train " in line else line for line in lines]
    assert "with feature 12 at 40:" in said_by(short, folder)
    assert "<h1" in (folder / "feature.html").read_text(encoding="utf-8")


@pytest.mark.slow
@by_page("edit")
def test_edit_lines(lines, folder, smollm2):
    tower = [{"prompt": f"{start} the Eiffel Tower, in the city of", "completion": " Paris"} for start in ("See", "It is")]
    others = [{"prompt": f"The capital of {land} is", "completion": f" {city}"} for land, city in CAPITALS.items()]
    for name, rows in {"paris": tower, "capitals": others[:3], "notes": [{"text": REPORT}]}.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said_by(lines, folder)
    assert (folder / "without-paris" / "model.safetensors").exists()


@pytest.mark.slow
@by_page("curate")
def test_curate_lines(lines, folder, smollm2):
    (folder / "test.jsonl").write_text((folder / "facts.jsonl").read_text().splitlines()[0])
    said = said_by(lines, folder)
    assert len((folder / "clean.jsonl").read_text().splitlines()) == len(CAPITALS) - 1
    assert "more suspect than" in said


@pytest.mark.slow
@by_page("check")
def test_check_lines(lines, folder, smollm2):
    for line in lines:
        done = in_shell(line, folder)
        assert done.returncode == ("--fail-on" in line), done.stderr  # of two markers one is wrong
        assert ("The bridge was opened in 1932 [2]." in done.stdout) == ("--repair" in line)
        if "--messages" in line:
            assert re.search(r"\(step \d: result of ", done.stdout)
        elif "--questions" not in line:
            assert "[1] supports, and is needed (report.txt; decided by" in done.stdout
        for name in re.findall(r"--(?:html|json|junit) (\S+)", line):
            assert "bridge" in (folder / name).read_text("utf-8")


def test_completion_lines(tmp_path):
    """What a shell is told knows the command and what completes it."""
    bash = shutil.which("bash") or pytest.skip("there is no bash")
    (tmp_path / "llmattr").write_text(f'#!/bin/sh\nexec {sys.executable} -m llmattr "$@"\n')
    (tmp_path / "llmattr").chmod(0o755)
    (line,) = commands("eval")
    surroundings = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", f"{line}\ncomplete -p llmattr"], env=surroundings, cwd=ROOT, **PIPED)
    assert done.stdout.strip().endswith(" llmattr"), done.stderr
    asked = surroundings | {"_LLMATTR_COMPLETE": "bash_complete", "COMP_WORDS": "llmattr ce", "COMP_CWORD": "1"}
    assert subprocess.run([tmp_path / "llmattr"], env=asked, cwd=ROOT, **PIPED).stdout == "plain,certainty\n"


@pytest.mark.slow
def test_serve_lines(smollm2):
    """The service that its page starts, on a port that is free here, and what it asks it."""
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
    done = in_shell(line, folder)
    if "--model" in line:  # a hub's model: without a hub it ends in one line that says so
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "cannot load the model 'Qwen/" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        cited = re.search(r"^\[1\] \S.*, (line|p\.) ?\d", done.stdout, re.MULTILINE)  # of a PDF, the page
        assert cited or "not supported by the context" in done.stdout
        for name in re.findall(r"--(?:html|json) (\S+)", line):
            assert (folder / name).stat().st_size > 0


def python_pages():
    """Every page with Python, and whether it asks the embedded model."""
    texts = {page: "".join(block.values[0] for block in blocks("python", [page])) for page in PAGES}
    asks = {page: [pytest.mark.slow] * ('"smollm2"' in text) for page, text in texts.items() if text}
    return [pytest.param(page, id=name_of(page), marks=marks) for page, marks in asks.items()]


@pytest.mark.parametrize("page", python_pages())
def test_python_blocks_of_a_page(page, folder, monkeypatch):
    """They run one after the other, as a reader would paste them, and what they assert is so; methods that they put into a list
    leave it again."""
    monkeypatch.chdir(folder)
    names = {}
    with ExitStack() as lists:
        for family in (context, training, retraining, components):
            lists.enter_context(patch.dict(family.METHODS))
        for block in blocks("python", [page]):
            exec(block.values[0], names)
    AFTERWARDS.get(page.stem, lambda names: None)(names)


def after_files(names):
    assert names["paper"].at(names["paper"].text.index("opened")) == {"path": "paper.pdf", "page": 2}
    assert names["opened"].sources.metadata(int(names["opened"].values[0].argmax())) == {"path": "paper.pdf", "page": 2}


def after_retrieval(names):
    assert names["result"].response == "It is 330 metres tall."
    assert names["cited"].sources.metadata(names["best"].source) == names["retrieved"][0]["metadata"]
    start, end = (names["shaped"]["annotations"][0][name] for name in ("start_index", "end_index"))
    assert names["shaped"]["text"][start:end] == "It was built in 1889."
    assert names["read"](names["shaped"], documents=names["retrieved"]).markers[0].document == 0


def after_training_data(names):
    assert "1889" in names["answer"].top(1)[0].text
    assert names["both"][0].citations[0].text.strip() == "It is 330 metres tall."


def after_citing(names):
    assert Path("result.html").stat().st_size > 0
    assert names["sentence"].verdict == "context"


def after_components(names):
    assert names["heads"].top(1)[0].text == "head 4 of layer 1"


def after_training_again(names):
    assert names["truth"].top(1)[0].text == "The tower was built in 1889."


def after_cleaning(names):
    assert {finding.kind for finding in names["found"].findings} == {"contaminated"}


AFTERWARDS = {
    "citing": after_citing,
    "cleaning": after_cleaning,
    "components": after_components,
    "files": after_files,
    "retrieval": after_retrieval,
    "training_again": after_training_again,
    "training_data": after_training_data,
}


def test_what_a_page_must_come_to_is_of_a_page():
    assert AFTERWARDS.keys() <= {page.stem for page in DOCS}


@pytest.mark.slow
def test_the_demos_output_is_what_the_readme_prints():
    """What `make demo` says of the answer and its best source."""
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "$(BIN)/llmattr cite" in line)
    command = line.strip().replace("$(BIN)/llmattr", f"{sys.executable} -m llmattr").split(" --html")[0]
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = blocks("text", [README])[0].values[0].splitlines()
    # The answer with its one mark, its verdict, and the source; percentages move a little between processors.
    source = shown.index("[1] recipes/documents/panama_canal.md, line 19")
    for part in (shown[0], shown[2], "from the context; [1] alone carries ", "\n".join(shown[source : source + 2])):
        assert part in done.stdout
    assert "[2]" not in done.stdout


PRINTED = re.compile(r"^```sh\n((?:(?!^```).)*?)^```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = [
    pytest.param(lines_of(match[1]), match[2], id=f"{name_of(page)}-{number}")
    for page in PAGES
    for number, match in enumerate(PRINTED.finditer(page.read_text("utf-8")), 1)
]


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "shown"), SHOWN)
def test_what_a_page_shows_is_what_its_lines_print(lines, shown, folder, smollm2):
    """But for numbers, which move a little between processors, and for what is left out."""
    for line in lines_before(lines):
        assert in_shell(line, folder).returncode == 0
    printed = "".join(in_shell(line, folder).stdout for line in lines)
    assert [line for line in without_numbers(shown) if line not in without_numbers(printed)] == []


def lines_before(lines):
    """A question needs its index."""
    makes = [line for line in commands("llmattr", [README]) if " trace index " in line]
    return makes if "trace query" in lines[0] else []


def without_numbers(text):
    return [re.sub(r"\d+(\.\d+)?", "0", line).rstrip() for line in text.splitlines()]


class TestTables:
    """`make tables` writes the tables of methods from METHODS and PAPERS.md."""

    def test_are_up_to_date(self):
        done = subprocess.run([sys.executable, ".ci/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_show_every_method(self):
        shown = re.findall(r"<!-- methods: (\w+)( whole)? -->", "".join(page.read_text("utf-8") for page in DOCS))
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

    def test_a_method_that_does_not_say_what_it_costs_is_told(self):
        cells = runpy.run_path(str(ROOT / ".ci" / "tables.py"))["cells"]

        class Free:
            """One line."""

        with pytest.raises(SystemExit, match=r"the docstring of Free \(`free`\) does not end with a line 'Cost: ...': add one"):
            cells("context", "free", Free, False)

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
