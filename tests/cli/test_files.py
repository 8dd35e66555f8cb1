"""`llmattr cite` on files as they are: folders, patterns, encodings, pages, and the record of what was read."""

import io
import json

import pytest

from llmattr.cli import main
from llmattr.cli.command import digest_of
from llmattr.errors import LlmattrError
from tests.pdfs import pdf_of

TEXT = "The canal is long. It has locks.\nIt opened in 1914. Ships pay a toll."


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys):
    """Call `llmattr cite FILE... --json out.json`; the code, what was said on standard error, and the result."""
    monkeypatch.chdir(tmp_path)

    def call(*files, out="out.json"):
        given = ["--query", "When?", "--response", "It opened in 1914.", "--model", str(tiny_folder), "leave-one-out"]
        code = main(["cite", *files, *given, "--no-cache", "--json", out])
        err = capsys.readouterr().err
        return code, err, json.loads((tmp_path / out).read_text()) if code == 0 else None

    return call


def test_a_pdf_is_cited(run, tmp_path):
    (tmp_path / "canal.pdf").write_bytes(pdf_of([[(72, 700, 10, "The canal is long.")], [(72, 700, 10, "It opened in 1914.")]]))
    code, err, result = run("canal.pdf")
    assert (code, err) == (0, "")
    assert [source["text"] for source in result["sources"]] == ["The canal is long.", "It opened in 1914."]


def test_a_windows_file_and_one_in_latin_1(run, tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT.encode("utf-16"))
    (tmp_path / "b.txt").write_bytes("Un café. Un thé.".encode("latin-1"))
    code, err, result = run("a.txt", "b.txt")
    assert code == 0
    assert err == (
        "llmattr: note: 'b.txt' is not UTF-8 (byte 6) and does not say its encoding: it was read as Latin-1 (Windows-1252)\n"
    )
    assert result["sources"][0]["text"].strip() == "The canal is long."


def test_standard_input_may_be_a_pdf(run, monkeypatch):
    data = pdf_of([[(72, 700, 10, "The canal is long.")], [(72, 700, 10, "It opened in 1914.")]])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, _, result = run("-")
    assert code == 0
    assert result["sources"][0]["text"] == "The canal is long."


def test_a_folder_and_a_pattern(run, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(TEXT)
    (tmp_path / "docs" / "b.md").write_text("Another text.")
    (tmp_path / "docs" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    code, err, folder = run("docs")
    assert code == 0
    assert err.startswith("llmattr: note: 1 of 3 files of 'docs' are left out: 'docs/x.png' is a picture")
    assert err.count("\n") == 1
    code, err, pattern = run("docs/**/*.md")
    assert (code, err) == (0, "")
    assert pattern["sources"] == folder["sources"]
    recorded = pattern["command"]["inputs"]
    assert recorded == {"docs/**/*.md": digest_of("docs/**/*.md"), **{k: v for k, v in recorded.items() if k != "docs/**/*.md"}}
    (tmp_path / "docs" / "b.md").write_text("Changed.")
    assert digest_of("docs/**/*.md") != recorded["docs/**/*.md"]


def test_nothing_is_written_into_a_folder_that_is_read(run, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(TEXT)
    code, err, _ = run("docs", out="docs/out.json")
    assert (code, err) == (2, "llmattr: error: cannot write 'docs/out.json': it would lie in a folder that is read\n")
    code, err, _ = run("docs/*.md", out="docs/a.md")
    assert (code, err) == (2, "llmattr: error: cannot write 'docs/a.md': it is an input or another output\n")


def test_a_pdf_called_text_is_read_as_what_it_is_and_a_damaged_one_is_named(run, tmp_path):
    (tmp_path / "plain.txt").write_bytes(b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\n%%EOF\n")
    code, err, _ = run("plain.txt")
    assert code == 2
    assert err.startswith("llmattr: error: 'plain.txt' is a PDF that cannot be read")


def test_trace_takes_a_folder_of_texts(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for name in "abc":
        (tmp_path / "docs" / f"{name}.md").write_text(TEXT)
    assert main(["trace", "index", "--data", "docs", "--out", "idx", "--model", str(tiny_folder)]) == 0
    assert "3 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["check . --documents a.txt --quick", "cite --messages .", "cite --questions . --json ../o.jsonl"]
)
def test_a_folder_is_no_answer_no_chat_and_no_questions(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("The canal is long.")
    assert main(command.split()) == 2
    assert capsys.readouterr() == ("", "llmattr: error: '.' is a folder: give a file of it\n")


def test_help_names_what_is_read(capsys):
    assert main(["cite", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("PDF", "HTML", "DOCX", "folder", "docs/**/*.md", "llmattr[files]"))


def test_cite_in_python_takes_paths(tmp_path, tiny_folder):
    from llmattr import cite

    (tmp_path / "a.html").write_text("<title>Canals</title><p>The canal is long. It has locks.</p>")
    found = cite(str(tiny_folder), tmp_path / "a.html", "When?", response="It opened.", method="leave-one-out", verify=False)
    assert [document.title for document in found.sources.documents] == ["Canals"]
    with pytest.raises(LlmattrError, match="does not exist"):
        cite(str(tiny_folder), [tmp_path / "no.html"], "When?", response="It opened.")
