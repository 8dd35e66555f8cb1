"""The notebooks of docs/ run from top to bottom, in their own folder as Jupyter runs them, and come to what they say."""

import re
import runpy

import pytest

from tests import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.py"))


@pytest.fixture
def run(monkeypatch, capsys, smollm2):
    """Runs a notebook; returns what it printed and its names."""
    monkeypatch.chdir(NOTEBOOKS)

    def run(name):
        there = set(NOTEBOOKS.iterdir())
        names = runpy.run_path(str(NOTEBOOKS / f"{name}.py"))
        assert set(NOTEBOOKS.iterdir()) == there  # what it writes would be part of the site
        return capsys.readouterr().out, names

    return run


@pytest.mark.parametrize("notebook", ALL, ids=lambda path: path.stem)
def test_it_is_short_text_and_code_in_turns_and_its_links_lead_somewhere(notebook):
    text = notebook.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    cells = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)
    assert cells[0] == ""  # nothing stands before the first mark
    kinds, bodies = cells[1::2], cells[2::2]
    assert set(kinds) == {"", " [markdown]"}
    assert bodies[0].startswith("# # ")
    for kind, body in zip(kinds, bodies, strict=True):
        if kind:
            assert all(line.startswith("#") for line in body.split("\n\n\n")[0].strip().splitlines())
        for target in re.findall(r"\]\(([^)#\s]+)", body) if kind else ():
            assert (NOTEBOOKS / target).resolve().is_relative_to(ROOT / "docs")
            assert (NOTEBOOKS / target).exists(), target


def test_the_page_of_the_site_names_each():
    page = (ROOT / "docs" / "notebooks" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\w+\.py)\)", page) == sorted((path.name for path in ALL), key=page.index)


@pytest.mark.slow
class TestRun:
    def test_cite_in_five_minutes(self, run):
        said, names = run("cite_in_five_minutes")
        assert "The tower was built in 1889.[^1] Anna Berg designed it.[^2]" in said
        best = [names["result"][row].top(1)[0].text for row in (1, 2)]
        assert best == ["It was built in 1889.", "The tower was designed by Anna Berg."]
        assert said.count("context      ") == 3

    def test_check_citations(self, run):
        said, names = run("check_citations")
        assert "bridge was opened in 1932 [2]. It carries two roads [2]. Ships pay a toll.\n" in said
        assert "designed by the tower [1]. 1 wrong markers" in said
        assert "built in 1889 [1]. 0 wrong markers" in said  # what it says words are blind to
        assert names["asked"].run["forward_passes"] > 0

    def test_trace_a_fine_tune(self, run):
        said, names = run("trace_a_fine_tune")
        assert [names["rows"][int(one.id)]["fact"] for one in names["found"].top(3)] == ["Pellholm"] * 3  # all that state it
        assert names["verified"].clear.all()
        assert said.endswith("more than noise: True\n")

    def test_heads_behind_an_answer(self, run):
        said, names = run("heads_behind_an_answer")
        assert names["heads"].details["agreement"][0] > 0.5  # 64 removals that gradients ranked: by chance 0 +- 0.13
        assert names["heads"].top(1)[0].text != names["rather"].top(1)[0].text
        assert len(re.findall(r"^ +\+\d+\.\d+  layer \d+$", said, re.MULTILINE)) == 5

    def test_which_method(self, run):
        said, names = run("which_method")
        assert {"context-cite", "random"} <= {*names["context"].index}
        assert "ceiling" in names["training"].index
        assert said.count("LDS beside ") == 1
        assert names["lds"]["context-cite"] > 0.5  # its own model of so few sentences; 32 random ranks: 0 +- 0.18
