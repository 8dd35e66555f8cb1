"""Many rows of one command: what is kept, what goes on, and what a bad row is."""

import json
import re

import pytest
from click.testing import CliRunner

from llmattr.cli import cli, main
from llmattr.cli.batch import answered, told
from llmattr.errors import LlmattrError
from llmattr.report.batch_page import batch_page

ROWS = [{"id": "a", "n": 2}, {"id": "b", "n": 0}, {"n": 5}]


@pytest.fixture
def files(tmp_path):
    def made(rows, name="q.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return str(path), tmp_path / "out.jsonl"

    return made


def tenth(asked):
    """A work that divides ten by a row's n, and keeps what it was asked."""

    def work(row):
        asked.append(row["n"])
        if row["n"] == 5:
            raise LlmattrError("five\nis bad")
        return {"tenth": 10 / row["n"]}

    return work


def lines(out):
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_each_row_has_its_line_and_a_bad_one_its_error(files):
    questions, out = files([*ROWS, "no json", "", "[1]"])
    found = answered(questions, out, "how", tenth([]))
    assert [{key: one[key] for key in one if key != "key"} for one in found] == [
        {"line": 1, "id": "a", "tenth": 5.0},
        {"line": 2, "id": "b", "error": "ZeroDivisionError: division by zero"},
        {"line": 3, "id": None, "error": "five is bad"},
        {"line": 4, "id": None, "error": "no JSON: Expecting value: line 1 column 1 (char 0)"},
        {"line": 6, "id": None, "error": "a row must be an object, not [1]"},
    ]
    assert lines(out) == found


def test_a_killed_run_goes_on_and_errors_are_tried_again(files):
    questions, out = files(ROWS)
    asked = []

    def stopped(row):
        if row["n"] == 0:
            raise KeyboardInterrupt
        return tenth(asked)(row)

    with pytest.raises(KeyboardInterrupt):
        answered(questions, out, "how", stopped)
    out.write_text(out.read_text() + '{"line": 2, "ke')  # killed in the middle of a line
    found = answered(questions, out, "how", tenth(asked))
    assert asked == [2, 0, 5]
    assert answered(questions, out, "how", tenth(asked)) == found
    assert asked == [2, 0, 5, 0, 5]
    assert sorted(one["line"] for one in lines(out)) == [1, 2, 3]


def test_results_of_other_rows_or_options_are_not_mixed(files):
    questions, out = files(ROWS)
    answered(questions, out, "how", tenth([]))
    for how, rows in (("another", ROWS), ("how", [{"n": 1}])):
        questions, _ = files(rows)
        before = out.read_text()
        with pytest.raises(LlmattrError, match="holds something else, or results of other rows or options"):
            answered(questions, out, how, tenth([]))
        assert out.read_text() == before
    out.write_text("a text of mine\nof two lines\n")
    with pytest.raises(LlmattrError, match="holds something else"):
        answered(questions, out, "how", tenth([]))


def test_breaks_of_lines_inside_texts_break_no_row(files):
    """U+2028 and U+0085 stand as they are in JSON, and are no ends of its lines."""
    text, asked = "one\u2028two\u0085three", []
    questions, out = files([json.dumps({"id": text}, ensure_ascii=False)])

    def work(row):
        asked.append(row)
        return {"said": row["id"]}

    first = answered(questions, out, "how", work)
    assert first[0]["said"] == text
    assert answered(questions, out, "how", work) == first
    assert len(asked) == 1


def test_no_rows_are_refused(files):
    questions, out = files(["", " "])
    with pytest.raises(LlmattrError, match="is empty"):
        answered(questions, out, "how", tenth([]))


def test_the_summary_counts_verdicts_and_names_what_went_wrong():
    results = [{"line": 1, "said": ["x", "x", "y"]}, *({"line": n, "error": "bad"} for n in range(2, 9))]
    said = told(results, {"x": "are x", "y": "are y", "z": "are z"}, lambda one: one["said"])
    assert said.splitlines() == [
        "8 questions, 7 of them not answered; 3 sentences: 2 are x, 1 are y.",
        *(f"    line {n}: bad" for n in range(2, 7)),
        "    and 2 more",
    ]


class TestCite:
    """On the command line, by a tiny model."""

    @pytest.fixture
    def run(self, files, tiny_folder, tmp_path, capsys):
        (tmp_path / "canal.txt").write_text("The canal opened in 1914. It has locks.")

        def run(rows, *words):
            questions, out = files(rows)
            line = ["cite", *words, "--questions", questions, "--json", str(out), "--model", str(tiny_folder), "--quick"]
            code = main([*line, "--max-new-tokens", "4"])
            return code, capsys.readouterr(), out

        return run

    def test_rows_with_documents_of_their_own_or_the_files(self, run, tmp_path):
        own = {"query": "When?", "documents": ["It opened in 1936.", "It is long."], "response": "It opened in 1936.", "id": 7}
        code, said, out = run([own, {"question": "When?"}, {"id": "bad"}], str(tmp_path / "canal.txt"))
        assert code == 0
        first, second, third = lines(out)
        assert [source["text"] for source in first["sources"]] == ["It opened in 1936.", "It is long."]
        assert (first["id"], first["response"]) == (7, "It opened in 1936.")
        assert [source["text"] for source in second["sources"]] == ["The canal opened in 1914.", "It has locks."]
        assert third["error"] == "the row has no 'query' or 'question'"
        assert said.out.startswith("3 questions, 1 of them not answered; ")

    def test_documents_are_needed_somewhere(self, run):
        code, _, out = run([{"query": "When?"}])
        assert code == 0
        assert lines(out)[0]["error"].startswith("context is missing")

    def test_options_of_one_question_are_refused(self, run, tmp_path):
        for words in (["--query", "When?"], ["--response", "1914."], ["--zoom"]):
            code, said, _ = run([{"query": "When?"}], *words)
            assert code == 2
            assert "would be of no use: --questions has a row for each" in said.err

    def test_what_is_missing_is_said(self, tmp_path, capsys):
        questions = tmp_path / "q.jsonl"
        questions.write_text('{"query": "When?"}')
        assert main(["cite", "--questions", str(questions)]) == 2
        assert "--questions needs --json FILE" in capsys.readouterr().err
        assert main(["cite", str(questions)]) == 2
        assert "Missing option '--query' (or --questions, --messages)" in capsys.readouterr().err


def test_check_takes_many_answers_too(files, tmp_path, capsys):
    canal = "The canal opened in 1914. It has locks."
    rows = [
        {"id": 1, "answer": "It has locks [1].", "documents": [canal]},
        {"id": 2, "answer": "It opened in 1914. It has locks [2].", "documents": [canal, "Nothing."]},
        {"id": 3, "documents": [canal]},
    ]
    questions, out = files(rows)
    line = ["check", "--quick", "--questions", questions, "--json", str(out), "--repair"]
    assert main(line) == 0
    assert "3 questions, 1 of them not answered; 3 sentences: 3 from the context." in capsys.readouterr().out
    first, second, third = lines(out)
    assert [first["failures"], second["failures"]] == [[], ["wrong", "missing"]]
    assert second["repaired"]["text"] == "It opened in 1914 [1]. It has locks [1]."
    assert third["error"] == "the row has no 'answer', and no 'messages' that end with one"
    assert main([*line, "--fail-on", "unsupported"]) == 1  # the third could not be checked
    checked = [*line, "--questions", files(rows[:2], "two.jsonl")[0], "--json", str(tmp_path / "two.out")]
    assert [main([*checked, "--fail-on", one]) for one in ("unsupported", "missing")] == [0, 1]
    capsys.readouterr()
    assert main(["check", "--quick"]) == 2
    assert "Missing argument 'ANSWER' (or --messages, --questions)" in capsys.readouterr().err
    assert main([*line, questions]) == 2
    assert "--questions has the answers" in capsys.readouterr().err


CHECKED = {
    "answer": "It opened in 1914 [1]. It is green [1]. It is 82 km long.",
    "documents": ["It opened in 1914. It is 82 km long."],
    "query": "What is <it>?",
}


def test_the_page_shows_what_does_not_hold_and_filters_it(files):
    questions, out = files([{"id": "a", **CHECKED}, {"id": "b", **CHECKED, "answer": "It opened in 1914 [1]."}, "no json"])
    html = out.with_suffix(".html")
    done = CliRunner().invoke(cli, ["check", "--questions", questions, "--json", str(out), "--html", str(html), "--quick"])
    assert done.exit_code == 0, done.output
    page = html.read_text()
    assert "<script" not in page
    assert "What is &lt;it&gt;?" in page
    rows = re.findall(r'<article class="row column([^"]*)">', page)
    assert [set(kinds.split()) for kinds in rows] == [{"is-unsupported", "is-wrong", "is-missing"}, set(), {"is-failed"}]
    assert [page.count(f'id="f-{kind}"') for kind in ("all", "unsupported", "wrong", "missing", "failed")] == [1] * 5
    assert "[1] does not support" in page
    again = html.read_text()
    html.unlink()
    CliRunner().invoke(cli, ["check", "--questions", questions, "--json", str(out), "--html", str(html), "--quick"])
    assert html.read_text() == again  # of what is kept


def test_the_page_of_cite_shows_what_is_cited():
    target = {"text": "It is 82 km long.", "cited": [False, True], "evidence": {"verdict": "context"}}
    targets = [{**target, "text": "whole"}, target, {**target, "cited": [False, False], "evidence": {"verdict": "memory"}}]
    sources = [{"text": "a page"}, {"text": "a canal of 82 km"}]
    result = {"line": 1, "id": None, "targets": targets, "sources": sources, "run": {"query": "How long?", "model": "m"}}
    page = batch_page([result, {"line": 2, "id": 7, "error": "no context"}])
    assert page.count("a canal of 82 km") == 1
    assert "a page" not in page
    assert "From the model&#39;s own memory" in page
    assert "No context" in page
