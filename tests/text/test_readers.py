"""Files of every kind to documents, and bytes of every encoding to text; what is no text is refused in words."""

import gzip
import html
import io
import itertools
import json
import os
import random
import shutil
import tempfile
import zipfile
from email.message import EmailMessage
from pathlib import Path

import docx
import pytest
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml.parser import parse_xml
from odf import dc
from odf.opendocument import OpenDocumentText
from odf.table import Table, TableCell, TableRow
from odf.text import H, List, ListItem, P

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.report import reference
from llmattr.text import readers
from llmattr.text.messages import conversation, read_documents
from llmattr.text.prompt import Prompt, cut
from llmattr.text.readers import find_files, read_bytes, read_file, read_files
from llmattr.text.reading import read_rows
from llmattr.text.split.cut import cut as cut_text
from tests.tiny_models import tokenizer

CONTENT = "application/vnd.openxmlformats-officedocument.wordprocessingml"
TEXT = "The tower is tall. Été à Zürich.\n"


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_mark_or_in_utf8_needs_no_note(encoding):
    assert read_bytes(TEXT.encode(encoding), "x").text == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text",
    [TEXT, "Башня высокая. Она стоит.\n", "塔は高い。 1889年に建てられた。\n", "塔很高。\n它很老，也很美。\n", "탑은 높다.\n"],
)
def test_wide_characters_without_a_mark_are_read_with_a_note(encoding, text):
    with pytest.warns(LlmattrNote, match=f"it was read as {encoding.upper()}"):
        assert read_bytes(text.encode(encoding), "x").text == text


def test_a_mark_that_stands_twice_is_no_text():
    assert read_bytes(("\ufeff" + TEXT).encode("utf-8-sig"), "x").text == TEXT


def test_latin_1_is_read_with_a_note_that_says_so():
    with pytest.warns(LlmattrNote, match=r"'x' is not UTF-8 \(byte 19\).*read as Latin-1 \(Windows-1252\)"):
        assert read_bytes(TEXT.encode("cp1252"), "x").text == TEXT


def test_cyrillic_is_not_taken_for_latin_1():
    text = "Башня была построена в 1889 году. Она очень высокая, и её красят каждые семь лет. " * 4
    with pytest.warns(LlmattrNote, match="read as cp1251"):
        assert read_bytes(text.encode("cp1251"), "x").text == text


def test_a_damaged_place_in_utf8_does_not_make_all_of_it_latin_1():
    data = ("Größe, Höhe, Länge, Breite. " * 3).encode() + b"\xff end"
    with pytest.warns(LlmattrNote, match="not UTF-8 at 1 places, the first is byte 96"):
        text = read_bytes(data, "x").text
    assert text.startswith("Größe")
    assert text.endswith("\ufffd end")


def test_a_damaged_place_in_a_short_text_does_not_make_it_latin_1():
    with pytest.warns(LlmattrNote, match="not UTF-8 at 1 places"):
        assert read_bytes("Bad _ byte. More é.".encode().replace(b"_", b"\xff"), "x").text == "Bad \ufffd byte. More é."


def test_a_stray_byte_does_not_make_a_text_unreadable():
    with pytest.warns(LlmattrNote, match="not UTF-8 at 1 places, the first is byte 400"):
        assert read_bytes(b"It is. " * 57 + b"a\x81b \x01", "x").text.endswith("a\ufffdb \x01")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\0b", "is binary"),
        (bytes(range(256)) * 9, "is binary"),
        (random.Random(0).randbytes(4096), "is binary"),
        (b"\x01\x02\x03\x04\x05", "is binary"),
        ("\ud83d".encode("utf-8", "surrogatepass"), "half a surrogate pair"),
        (b"\xff\xfe" + "a\ud83d".encode("utf-16-le", "surrogatepass"), "is damaged: it is UTF-16 text, but not at byte 2"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a picture"),
        (b"\0\0\0\x18ftypmp42\0", "is a picture or video"),
        (gzip.compress(b"text", mtime=0), "is a gzip archive: unpack it"),
        (b"\x7fELF\x02\x01\x01\0", "is a program"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Office file"),
        (b"PK\x03\x04 cut off", "is a damaged or locked ZIP archive"),
        (b" \n\t", "is empty"),
        (b"", "is empty"),
        (b"\n" * 1_000_000, "is empty"),
        ("\u200b\ufeff\n".encode(), "is empty"),
        ("\u200b\u200b\n".encode(), "is empty"),
    ],
)
def test_what_is_no_text_is_refused_in_words(data, message):
    with pytest.raises(LlmattrError, match=r"^'x\.txt' ") as error:
        read_bytes(data, "x.txt", "txt")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_words_that_files_of_other_kinds_begin_with_begin_texts_too():
    for text in ("MZ is a mark.", "RIFF means a short tune.", "GIF8 is a name.", "ID3 tags.", "BZh", "MZ für Größe.", "RIFF é"):
        assert read_bytes(text.encode(), "x").text == text


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ({"xl/workbook.xml": ""}, "is an Excel file: save it as CSV"),
        ({"ppt/presentation.xml": ""}, "is a PowerPoint file: save it as PDF"),
        ({"mimetype": "application/epub+zip"}, "is an EPUB book"),
        ({"a.txt": "text"}, "is a ZIP archive: unpack it"),
        ({"word/document.xml": "0" * 2**28}, "unpacks to 256 MB: at most 128 MB are read"),
        ({"word/document.xml": "no markup"}, "is a DOCX file that cannot be read"),
        ({"mimetype": "application/vnd.oasis.opendocument.text"}, "is an ODT file that cannot be read"),
    ],
)
def test_what_stands_in_a_zip_says_what_it_is(inside, message):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in inside.items():
            archive.writestr(name, text)
    with pytest.raises(LlmattrError, match=message):
        read_bytes(file.getvalue(), "x", "docx")


def test_a_file_larger_than_the_limit_is_refused_and_not_read_whole(tmp_path):
    path = put(tmp_path, "line.txt", b"")
    with path.open("r+b") as file:
        file.truncate(2**30)  # one line of a gigabyte
    with pytest.raises(LlmattrError, match="has more than 128 MB"):
        read_file(path)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = put(tmp_path, "log.txt", "one\n")
    true, sizes = os.fstat, itertools.count()
    monkeypatch.setattr(readers.os, "fstat", lambda number: os.stat_result([*true(number)[:6], next(sizes), 0, 0, 0]))
    with pytest.raises(LlmattrError, match=r"log.txt' changed while it was read: try again"):
        read_file(path)


def test_a_pipe_is_read_to_its_end():
    source, sink = os.pipe()
    os.write(sink, TEXT.encode())
    os.close(sink)
    assert read_file(f"/dev/fd/{source}").text == TEXT
    os.close(source)


def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path):
    os.mkfifo(tmp_path / "x.txt")
    with pytest.raises(LlmattrError, match="is empty"):
        read_files(tmp_path / "x.txt")


def test_a_stray_nul_does_not_make_a_text_unreadable():
    with pytest.warns(LlmattrNote, match="has 1 NUL bytes, the first is byte 3500: they are read as \ufffd"):
        assert (
            read_bytes(("Été. " * 500 + "\0" + "It is. " * 100).encode(), "x").text
            == "Été. " * 500 + "\ufffd" + "It is. " * 100
        )


def test_what_is_missing_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pypdf", None)
    with pytest.raises(LlmattrError, match=r"^PDF files need pip install 'llmattr\[files\]'"):
        read_bytes(b"%PDF-1.4\n", "x.pdf", "pdf")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.md", "markdown"),
        ("a.csv", "table"),
        ("a.tsv", "table"),
        ("a.jsonl", "records"),
        ("a.json", "json"),
        ("a.yaml", "code"),
        ("a.rst", "rst"),
        ("a.py", "code"),
        ("a.SRT", "subtitles"),
        ("a.txt", None),
        ("README", None),
        ("a.unknown", None),
    ],
)
def test_text_stays_as_it_stands_and_its_ending_says_its_format(tmp_path, name, format):
    text = "a,00123\n\n  b\r\n"
    document = read_file(put(tmp_path, name, text))
    assert (document.text, document.format) == (text, format)
    assert document.id == document.metadata["path"] == str(tmp_path / name)


PAGE = """<!doctype html><html lang="en-GB"><head><title>The  tower</title><meta name=author content="Ada Okoro">
<meta property="article:published_time" content="2024-05-01"><link rel=canonical href="https://example.org/tower">
<style>p { color: red }</style></head>
<body><header><a href=/>Home</a></header><nav><ul><li>Menu</ul></nav><main><h1>The <em>tower</em></h1><p>Built in
 <b>1889</b>.<br>By an engineer.<script>x()</script><!-- c --></p><p hidden>unseen</p>
<ul><li>one<ul><li>inner a<li>inner b</ul><li><p>two</p><p>more of two</p></ul><ol start=3><li>three<li>four</ol>
<table><caption>Heights</caption><tr><th>Year<th>Metres</tr><tr><td>1889<td>300 | 312</tr></table>
<blockquote><p>Said.</p></blockquote><pre><code>def f():
    return 1
</code></pre><dl><dt>-v</dt><dd>be <i>verbose</i></dd></dl><div>loose <span>text</span><p>then</p>tail</div></main>
<footer>© nobody</footer></body></html>"""
MARKDOWN = """# The tower

Built in 1889.\x20\x20
By an engineer.

- one
  - inner a
  - inner b
- two

  more of two

3. three
4. four

Heights

| Year | Metres |
| --- | --- |
| 1889 | 300 \\| 312 |

> Said.

```
def f():
    return 1
```

- -v: be verbose

loose text

then

tail"""


def test_html_is_its_main_text_with_its_blocks_and_what_is_known_of_it():
    document = read_bytes(PAGE.encode(), "p.html", "html")
    assert document.text == MARKDOWN
    assert (document.title, document.format, document.language) == ("The tower", "markdown", "en")
    known = {"title": "The tower", "author": "Ada Okoro", "date": "2024-05-01", "url": "https://example.org/tower"}
    assert document.at(0) == {**known, "file_line": 4}
    assert document.at(document.text.index("| 1889"))["file_line"] == 7


def test_html_is_found_without_an_ending_and_in_its_own_encoding():
    page = '<!DOCTYPE html><meta charset="iso-8859-2"><p>Zażółć gęślą jaźń.</p>'
    assert read_bytes(page.encode("iso-8859-2"), "standard input").text == "Zażółć gęślą jaźń."
    assert read_bytes(page.encode(), "p.html", "html").text == "Zażółć gęślą jaźń."  # what is UTF-8 is read as such


@pytest.mark.parametrize(
    "page", ["<p>one<p>two", "<div>one<div>two", "one<hr>two", "<table><tr><td><p>one</p><p>two</p></table>"]
)
def test_html_with_open_tags_and_tables_for_layout(page):
    assert read_bytes(page.encode(), "x", "html").text == "one\n\ntwo"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<body><header><h1>A tower</h1><p>Built in 1889.</p></header><p>Tall.</p>", "# A tower\n\nBuilt in 1889.\n\nTall."),
        ("<body><header><a href=/>Site</a><ul><li>Home<li>About</ul></header><p>Tall.</p>", "Tall."),
        ("<body><header><nav><p>Home</p></nav><p>Built in 1889.</p></header><p>Tall.</p>", "Built in 1889.\n\nTall."),
        ("<main><p>It is tall.</p><aside>Built in 1889.</aside></main><aside>Ads</aside>", "It is tall.\n\nBuilt in 1889."),
        ("<main><p>It is tall.</p><div role=complementary>In 1889.</div></main>", "It is tall.\n\nIn 1889."),
        ("<p>It is tall.</p><div role=complementary>Ads</div>", "It is tall."),
        ("<p>Tall. <b aria-hidden=true>Built in 1889.</b> <i aria-hidden=true>close</i></p>", "Tall. Built in 1889."),
        ("Tall.<svg><title>A map</title><text>Paris 1889</text><text>Rome</text></svg>", "Tall.\n\nParis 1889\n\nRome"),
        ("<p>Press <button>OK</button> to go. <button>Copy</button></p>", "Press OK to go."),
        ("<h2>Towers<a href=#a>¶</a></h2><p>See <a href=#b>1</a>.</p>", "## Towers\n\nSee 1."),
        ("<button>How tall is the tower?</button><div>330 m.</div>", "How tall is the tower?\n\n330 m."),
        (
            "<dl><dt>-q<dt>--quiet<dd>Be still.<dt>Note:<dd><p>a.</p><p>b.</p></dl>",
            "- -q, --quiet: Be still.\n- Note: a.\n\n  b.",
        ),
        ("<dl><div><dt>x</dt><dd><pre>f()</pre></dd></div><dt>Alone.</dt></dl>", "- x:\n\n  ```\n  f()\n  ```\n- Alone."),
    ],
)
def test_only_what_furnishes_a_page_is_left_out(page, text):
    assert read_bytes(page.encode(), "x", "html").text == text


LINKS = "<ul><li><a href=a>Main menu</a></li><li><a href=b>News</a></li><li><a href=c>Downloads and more</a></li></ul>"
SAID = (
    "<p>The tower was built in 1889. It is 330 m tall, and it is painted every seven years. So it was <a href=x>said</a>.</p>"
)


@pytest.mark.parametrize(
    ("page", "furniture"),
    [
        (LINKS + SAID, "- Main menu - News - Downloads and more"),
        ("<div>Menu</div>" + LINKS + SAID, "Menu - Main menu - News - Downloads and more"),
        (
            "<div class='toc x'><b>Table of Contents</b><dl><dt><a href=a>1. The towers of Paris</a></dl></div>" + SAID,
            "Table of Contents - 1. The towers of Paris",
        ),
        ("<div id=nav-panel>Next: <a href=a>The towers of Paris</a></div>" + SAID, "Next: The towers of Paris"),
        ("<div class=toc><p>The hills of this land are low, see <a href=a>a map</a>.</p></div>" + SAID, ""),
        ("<div class=menu><p>Soup and fish. Bread is free.</p></div>" + SAID, ""),
        ("<ul><li><a href=a>News</a><li><a href=b>Paris</a> is old.<li><a href=c>Rome</a></ul>" + SAID, ""),
        ("<div id=cookie-banner><p>We use cookies. Accept?</p></div>" + SAID, "We use cookies. Accept?"),
        (SAID + "<div class='page-helpful'>Was this page helpful? Yes No</div>", "Was this page helpful? Yes No"),
        (LINKS, ""),  # there is nothing else
    ],
)
def test_navigation_by_any_name_is_furniture(page, furniture):
    document = read_bytes(page.encode(), "x", "html")
    assert " ".join(" ".join(document.text[a:b] for a, b, _ in document.blocks).split()) == furniture
    found = cut_text(document.text, "sentences", document.format, None, document.blocks)
    quotable = [document.text[a:b] for (a, b), may in zip(found.spans, found.quotable, strict=True) if may]
    raw = cut_text(page, "sentences", "html")
    assert len(quotable) == raw.quotable.sum() > 0
    assert not {kind for kind, may in zip(raw.blocks, raw.quotable, strict=True) if may} & {"furniture"} or not furniture


def test_a_table_without_a_header_loses_no_row():
    page = "<table><tr><td>a<td>b<tr><td>c</table>"
    assert read_bytes(page.encode(), "x", "html").text.split("\n") == ["|  |  |", "| --- | --- |", "| a | b |", "| c |  |"]


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        ("<tr><th>a<th>b<th>c<tr><td rowspan=2>1<td>2<td>3<tr><td>4<td>5", ["| 1 | 2 | 3 |", "| 1 | 4 | 5 |"]),
        ("<tr><th>a<th>b<th>c<tr><td colspan=2>1<td>3<tr><td colspan=99>4", ["| 1 |  | 3 |", "| 4 |  |  |"]),
        (
            "<tr><th>a<th>b<th>c<tr><td>1<td>2<td rowspan=3>3<tr><td>4<tr><td>5<td>6",
            ["| 1 | 2 | 3 |", "| 4 |  | 3 |", "| 5 | 6 | 3 |"],
        ),
        ("<tr><th rowspan=2>a<th colspan=2>b<tr><td>c<td>d<tr><td rowspan=x colspan=-1>1", ["| a | c | d |", "| 1 |  |  |"]),
    ],
)
def test_a_cell_of_several_rows_or_columns_shifts_no_other(page, rows):
    assert read_bytes(f"<table>{page}</table>".encode(), "x", "html").text.split("\n")[2:] == rows


def test_html_that_only_scripts_fill_is_empty():
    with pytest.raises(LlmattrError, match="is empty"):
        read_bytes(b"<html><body><script>fill()</script></body></html>", "x", "html")


def test_html_is_read_as_deep_as_it_is_nested_or_refused():
    assert read_bytes(b"<div>" * 200 + b"x", "x", "html").text == "x"
    with pytest.raises(LlmattrError, match=r"^'x' is damaged: its tags are nested without end$"):
        read_bytes(b"<div>" * 10_000 + b"x", "x", "html")


def test_docx(tmp_path):
    made = docx.Document()
    made.core_properties.author = "Bea"
    made.core_properties.title = "Report"
    made.add_heading("The tower", 1)
    made.add_paragraph("It was built in 1889. It is 330 metres tall.")
    made.add_paragraph("first", style="List Bullet")
    made.add_paragraph("second", style="List Bullet")
    table = made.add_table(2, 2)
    for i, row in enumerate([["Year", "Height"], ["1889", "300"]]):
        for j, cell in enumerate(row):
            table.cell(i, j).text = cell
    made.save(str(tmp_path / "r.docx"))
    document = read_file(tmp_path / "r.docx")
    assert document.text == (
        "# The tower\n\nIt was built in 1889. It is 330 metres tall.\n\n- first\n- second\n\n"
        "| Year | Height |\n| --- | --- |\n| 1889 | 300 |"
    )
    assert {"title": "Report", "author": "Bea"}.items() <= document.metadata.items()


def test_docx_knows_the_pages_that_word_saw(tmp_path):
    made = docx.Document()
    made.add_paragraph("On page one.")
    paragraph = made.add_paragraph()
    run = paragraph.add_run()
    run._element.append(run._element.makeelement(docx.oxml.ns.qn("w:lastRenderedPageBreak")))
    paragraph.add_run("On page two.")
    made.add_paragraph("Also there.")
    made.save(str(tmp_path / "r.docx"))
    document = read_file(tmp_path / "r.docx")
    pages = [document.at(document.text.index(text))["page"] for text in ("On page one", "On page two", "Also")]
    assert pages == [1, 2, 2]


def test_docx_has_notes_behind_what_they_are_of(tmp_path):
    opened = docx.Document()
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    for kind in ("footnote", "endnote"):
        run = opened.add_paragraph(f"With a {kind}.").runs[0]._element
        run.append(parse_xml(f'<w:{kind}Reference {space} w:id="2"/>'))
        note = f'<w:{kind} w:id="2"><w:p><w:r><w:t>It is </w:t></w:r><w:r><w:t>a {kind}.</w:t></w:r></w:p></w:{kind}>'
        blob = f"<w:{kind}s {space}><w:{kind} w:id='0'><w:p/></w:{kind}>{note}</w:{kind}s>".encode()
        part = Part(PackURI(f"/word/{kind}s.xml"), f"{CONTENT}.{kind}s+xml", blob, opened.part.package)
        opened.part.relate_to(part, f"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}s")
    opened.add_paragraph("The end.")
    opened.save(str(tmp_path / "x.docx"))
    lines = ["With a footnote.", "It is a footnote.", "With a endnote.", "It is a endnote.", "The end."]
    assert read_file(tmp_path / "x.docx").text.split("\n\n") == lines


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx_of(body):
    """A file of Word with this in its body."""
    made, file = docx.Document(), io.BytesIO()
    for part in parse_xml(f"<w:body {WORD} xmlns:mc='x:mc'>{body}</w:body>"):
        made.element.body.insert(len(made.element.body) - 1, part)
    made.save(file)
    return read_bytes(file.getvalue(), "x.docx", "docx").text


RUN = "<w:r><w:t>{}</w:t></w:r>"
PARAGRAPH = f"<w:p>{RUN}</w:p>"
CELL = f"<w:tc>{PARAGRAPH}</w:tc>"
IN_A_BOX = PARAGRAPH.format("In a box.")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:p>{RUN.format('Built')}<w:ins>{RUN.format(' in 1889')}</w:ins></w:p>", "Built in 1889"),
        (f"<w:p>{RUN.format('In ')}<w:smartTag>{RUN.format('Paris')}</w:smartTag></w:p>", "In Paris"),
        (f"<w:p>{RUN.format('Page ')}<w:fldSimple w:instr='PAGE'>{RUN.format('7')}</w:fldSimple></w:p>", "Page 7"),
        (f"<w:p><w:sdt><w:sdtContent>{RUN.format('Chosen.')}</w:sdtContent></w:sdt></w:p>", "Chosen."),
        (f"<w:sdt><w:sdtContent>{PARAGRAPH.format('A.')}{PARAGRAPH.format('B.')}</w:sdtContent></w:sdt>", "A.\n\nB."),
        (f"<w:p>{RUN.format('It is')}<w:del><w:r><w:delText> not</w:delText></w:r></w:del></w:p>", "It is"),
        (f"<w:p>{RUN.format('It is')}<w:moveFrom>{RUN.format(' here')}</w:moveFrom></w:p>", "It is"),
        ("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:br w:type='page'/></w:r></w:p>", "a\tb  \nc"),
        (
            f"<w:p>{RUN.format('Beside.')}<w:r><mc:AlternateContent><mc:Choice><w:txbxContent>{IN_A_BOX}</w:txbxContent></mc:Choice>"
            f"<mc:Fallback><w:txbxContent>{IN_A_BOX}</w:txbxContent></mc:Fallback></mc:AlternateContent></w:r></w:p>",
            "Beside.\n\nIn a box.",
        ),
        (
            f"<w:tbl><w:tr><w:sdt><w:sdtContent>{CELL.format('Year')}</w:sdtContent></w:sdt>{CELL.format('Metres')}</w:tr>"
            f"<w:sdt><w:sdtContent><w:tr>{CELL.format('1889')}<w:tc><w:tbl><w:tr>{CELL.format('300')}{CELL.format('m')}</w:tr></w:tbl>"
            "</w:tc></w:tr></w:sdtContent></w:sdt></w:tbl>",
            "| Year | Metres |\n| --- | --- |\n| 1889 | 300 m |",
        ),
        (
            f"<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr>{PARAGRAPH.format('a')}</w:tc>"
            f"<w:tc><w:tcPr><w:vMerge w:val='restart'/></w:tcPr>{PARAGRAPH.format('b')}</w:tc></w:tr>"
            f"<w:tr>{CELL.format('c')}{CELL.format('d')}<w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc></w:tr></w:tbl>",
            "| a | b |  |\n| --- | --- | --- |\n| c | d | b |",
        ),
    ],
)  # fmt: skip
def test_all_that_word_shows_is_read(body, text):
    assert docx_of(body) == text


STRUCTURE = [
    "```", "~~~ x", "[Note]: see-page-1889", "[^1]: In 1889.", "<!-- 1889 -->", "<nav>Home 1889</nav>",
    "<p>1889</p>", "</div>1889",
    "# 1 in sales in 1889", "> 1889", "**Height: 1889**", "__Height__", "1. # 1889", "- ~~~1889", "!!! note 1889", "::: 1889",
    "??? note 1889", "[!NOTE] 1889",
    "![1889](x.png)", "![1889][x]", "[](1889)", "[to the top](#x) 1889", "&#1889;", "&lt;1889&gt;", "| a | b |", "<think>1889",
]  # fmt: skip


def as_html(*lines):
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


@pytest.mark.parametrize("said", STRUCTURE)
def test_what_a_file_says_is_text_and_no_markdown(said):
    lines = ["The tower is tall.", said, "It is old."]
    for text in (
        docx_of("".join(PARAGRAPH.format(html.escape(line)) for line in lines)),
        read_bytes(as_html(*lines).encode(), "x", "html").text,
    ):
        found = cut_text(text, "sentences", "markdown")
        sources = [text[a:b].replace("\\", "") for a, b in found.spans]
        assert [source.lstrip("!") for source in sources] == [line.lstrip("!") for line in lines if any(map(str.isalnum, line))]
        assert found.quotable.all()


@pytest.mark.parametrize("rule", ["---", "===", "-", "--- | ---", "|:-:|", "+++", "```", "# 1"])
def test_no_line_of_a_paragraph_is_a_rule(rule):
    page = f"<p>{rule}<br>a: 1 | 2<br>The tower was built in 1889<br>{rule}<br>It is tall.</p>"
    text = read_bytes(page.encode(), "x", "html").text
    found = cut_text(text, "sentences", "markdown")
    assert found.quotable.all()
    assert set(found.blocks) == {"paragraph"}
    assert "1889" in "".join(text[a:b] for a, b in found.spans)


def test_lines_that_a_page_breaks_stay_apart():
    text = read_bytes(b"<p>12 Long Road<br>Leeds<br>Old town</p>", "x", "html").text
    assert [text[a:b] for a, b in cut_text(text, "sentences", "markdown").spans] == ["12 Long Road", "Leeds", "Old town"]


def test_headings_and_cells_say_what_they_say():
    page = "<h1>&lt;!-- 1889 --&gt;</h1><table><tr><th>a<th>b<tr><td>&lt;!-- 1889 --&gt;<td># 1</table>"
    text = read_bytes(page.encode(), "x", "html").text
    found = cut_text(text, "sentences", "markdown")
    assert [text[a:b] for a, b in found.spans] == ["# \\<!-- 1889 -->", "| a | b |", "| \\<!-- 1889 --> | # 1 |"]


def test_odt(tmp_path):
    made = OpenDocumentText()
    made.meta.addElement(dc.Title(text="The report"))
    made.text.addElement(H(outlinelevel=2, text="The tower"))
    made.text.addElement(P(text="It was built in 1889."))
    items = List()
    for text in ("one", "two"):
        item = ListItem()
        item.addElement(P(text=text))
        items.addElement(item)
    made.text.addElement(items)
    table = Table()
    for cells in (("Year", "Height"), ("1889", "300")):
        row = TableRow()
        for text in cells:
            cell = TableCell()
            cell.addElement(P(text=text))
            row.addElement(cell)
        table.addElement(row)
    made.text.addElement(table)
    made.save(str(tmp_path / "r.odt"))
    document = read_file(tmp_path / "r.odt")
    assert document.text == (
        "## The tower\n\nIt was built in 1889.\n\n- one\n- two\n\n| Year | Height |\n| --- | --- |\n| 1889 | 300 |"
    )
    assert document.metadata["title"] == "The report"


def test_rtf():
    data = rb"{\rtf1\ansi{\fonttbl\f0 Arial;}\f0 It is \b tall\b0 . Caf\'e9.\par Second.\par}"
    assert read_bytes(data, "x", "txt").text == "It is tall. Café.\nSecond."


NOTEBOOK = {
    "nbformat": 4,
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "source": ["# Heights\n", "\n", "It is tall."]},
        {"cell_type": "raw", "source": ""},
        {
            "cell_type": "code",
            "source": 'print("```")\nx',
            "outputs": [
                {"output_type": "stream", "text": ["```\n"]},
                {"output_type": "execute_result", "data": {"text/plain": "\x1b[31m300\x1b[0m", "image/png": "iVBO"}},
                {"output_type": "display_data", "data": {"image/png": "iVBO"}},
                {"output_type": "error", "ename": "NameError", "evalue": "y", "traceback": ["..."]},
            ],
        },
    ],
}


def test_a_notebook_is_its_cells_and_what_they_wrote():
    document = read_bytes(json.dumps(NOTEBOOK).encode(), "x.ipynb", "ipynb")
    assert document.format == "markdown"
    code = '````python\nprint("```")\nx\n````'
    outputs = ["````\n```\n````", "```\n300\n```", "```\nNameError: y\n```"]
    assert document.text == "\n\n".join(["# Heights\n\nIt is tall.", code, *outputs])
    assert document.places == ((0, {"cell": 1}), (24, {"cell": 3}))
    sources = Prompt(tokenizer(), (), cut(conversation(document, "How tall?"), "sentences")).sources
    assert reference.place(sources, 1) == "x.ipynb, cell 1"
    older = {
        "worksheets": [{"cells": [{"cell_type": "heading", "level": 2, "source": "A"}, {"cell_type": "code", "input": "x"}]}]
    }
    assert read_bytes(json.dumps(older).encode(), "x", "ipynb").text == "## A\n\n```python\nx\n```"
    for wrong in ("{}", "[]", "x", '{"cells": 5}', '{"cells": [5]}'):
        with pytest.raises(LlmattrError, match=r"'x' is a notebook that cannot be read: it (is no JSON|has no cells)"):
            read_bytes(wrong.encode(), "x", "ipynb")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("<a><p>It is <b>tall</b>.</p>\n<!-- c --><p>Built\n in 1889.</p></a>", "It is tall.\n\nBuilt in 1889."),
        ("<s xmlns='x:y'><b><name>A</name><price>3</price></b><b><name>B</name></b></s>", "- name: A\n- price: 3\n- name: B"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>\u00e9t\u00e9.</a>", "\u00e9t\u00e9."),
        ("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><h1>A</h1></body></html>", "# A"),
        ("<r><i>One</i><i>Two</i> <j/>loose</r>", "One Two loose"),
        ("<p>It is <b>ta<i>l</i></b>l, and old.</p>", "It is tall, and old."),
        ("<r><price in='EUR'>3</price><at year='1889'/></r>", "- price (in: EUR): 3\n- at (year: 1889)"),
        ("<r><b year='1889' id='b1'><name>A</name></b></r>", "- b (year: 1889)\n- name: A"),
        ("<r><p id='a'># 1 in sales.</p></r>", "\\# 1 in sales."),
        ("<r><d>&lt;p>It is &lt;b>old&lt;/b>. A &amp;amp; B.&lt;/p></d></r>", "It is old. A & B."),
        ("<svg><style>a{}</style><path d='m 1 2'/><text>It is old.</text></svg>", "It is old."),
        ("<svg><path d='m 1 2'/></svg>", "<svg><path d='m 1 2'/></svg>"),
        ("<a b='1'/>", "<a b='1'/>"),
        ("<a><b>open", "<a><b>open"),
        ("<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/hostname'>]><a>&f;</a>", "<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/hostname'>]><a>&f;</a>"),
    ],
)  # fmt: skip
def test_xml_is_the_text_of_its_elements(data, text):
    assert read_bytes(data.encode("latin-1"), "x.xml", "xml").text == text


def test_xml_is_known_by_its_beginning_where_the_ending_says_nothing():
    data = b"<?xml version='1.0'?>\n<plist><key>Name</key></plist>"
    assert read_bytes(data, "x.plist", "plist").text == read_bytes(b"\xef\xbb\xbf" + data, "x").text == "- key: Name"
    assert read_bytes(data, "x.txt", "txt").text == data.decode()


def test_a_path_is_a_name():
    with pytest.raises(LlmattrError, match=r"^'' does not exist$"):  # and not the folder that one is in
        read_files("")
    for read in (read_file, read_files):
        with pytest.raises(LlmattrError, match=r"^a file is given by its path, not by None$"):
            read(None)


def test_mail_says_what_it_says_and_what_is_attached_is_noted():
    message = EmailMessage()
    message["From"], message["Subject"], message["Date"] = (
        "Ada <ada@example.org>",
        "Café plans",
        "Mon, 01 Jan 2024 10:00:00 +0100",
    )
    message.set_content("We meet at the café.\n> When?\n")
    message.add_alternative("<p>We meet at the <b>café</b>.</p>", subtype="html")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="plan.png")
    with pytest.warns(LlmattrNote, match="what is attached is left out: plan.png"):
        document = read_bytes(message.as_bytes(), "x", "eml")
    assert (document.text, document.title, document.format) == ("We meet at the café.\n> When?\n", "Café plans", "email")
    assert document.metadata == {"title": "Café plans", "author": "Ada <ada@example.org>", "date": "2024-01-01T10:00:00+01:00"}


def test_mail_with_damaged_base64_is_refused():
    with pytest.raises(LlmattrError, match=r"^'x' is a message that cannot be read: its base64 is damaged"):
        read_bytes(b"From: a@b.c\nContent-Transfer-Encoding: base64\n\n!!!notb64", "x", "eml")


def test_mail_with_a_damaged_header_is_refused():
    with pytest.raises(LlmattrError, match=r"^'x' is a message that cannot be read"):
        read_bytes(b"From: Ada <\n\nText.", "x", "eml")


@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "docs/b.md", "# B\n\nText of b.")
    put(tmp_path, "docs/a.txt", "Text of a.")
    put(tmp_path, "docs/deep/c.md", "Text of c.")
    put(tmp_path, "docs/picture.png", b"\x89PNG\r\n\x1a\n\0")
    put(tmp_path, "docs/empty.md", "")
    put(tmp_path, "docs/.hidden.md", "hidden")
    put(tmp_path, "docs/.git/config.md", "hidden")
    return Path("docs")


def test_a_folder_is_all_its_files_but_hidden_ones_with_one_note_of_what_is_left_out(docs):
    with pytest.warns(LlmattrNote) as notes:
        documents = read_files("docs")
    assert [document.id for document in documents] == ["docs/a.txt", "docs/b.md", "docs/deep/c.md"]
    assert [str(one.message) for one in notes] == [
        "2 of 5 files of 'docs' are left out: 'docs/empty.md' is empty: it must have text in it; "
        "'docs/picture.png' is a picture: give text, or a file of a kind that is read"
    ]


def test_a_pattern_is_the_files_that_it_matches(docs):
    with pytest.warns(LlmattrNote, match="1 of 3 files"):
        assert [document.id for document in read_files("docs/**/*.md")] == ["docs/b.md", "docs/deep/c.md"]
    with pytest.raises(LlmattrError, match=r"no file matches the pattern 'docs/\*\.rst'"):
        read_files("docs/*.rst")


def test_a_folder_without_a_file_that_can_be_read_is_refused(docs):
    put(docs, "only/x.png", b"\x89PNG\r\n\x1a\n\0")
    with pytest.raises(LlmattrError, match=r"none of the 1 files of 'docs/only' can be read: .*is a picture"):
        read_files("docs/only")
    (docs / "none").mkdir()
    with pytest.raises(LlmattrError, match="there is no file in the folder 'docs/none'"):
        read_files("docs/none")


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(docs):
    put(docs, "[1].txt", "One.")
    assert [document.text for document in read_files("docs/[1].txt")] == ["One."]


@pytest.mark.parametrize("name", ["docs", "docs/**/*.md", "docs/**", "docs/*/*.md", "docs/*.md"])
def test_each_file_is_found_once_whatever_links_there_are(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "docs/a.md", "A.")
    put(tmp_path, "docs/sub/b.md", "B.")
    for i in range(3):  # 3^40 names, if they were followed
        (tmp_path / f"docs/loop{i}").symlink_to(".")
        (tmp_path / f"docs/sub/up{i}").symlink_to("..")
    (tmp_path / "docs/also-a.md").symlink_to("a.md")
    found = {str(path) for path in find_files(name)}
    shallow, deep = {"docs/a.md"}, {"docs/sub/b.md"}
    assert found == {"docs/*.md": shallow, "docs/*/*.md": deep | {"docs/loop0/a.md"}}.get(name, shallow | deep)


@pytest.fixture
def closed():
    """A folder as one sees it who may not see all of it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    put(folder, "docs/open.md", "Open.")
    shut = put(folder, "docs/shut.md", "Shut."), put(folder, "docs/deep/inner.md", "Inner.").parent
    for path in shut:
        path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root sees everything
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    for path in shut:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_what_is_closed_is_said_in_one_line(closed):
    for name in (closed / "docs", closed / "docs/**/*.md"):
        with pytest.warns(LlmattrNote) as notes:
            assert [document.text for document in read_files(name)] == ["Open."]
        said = [str(one.message) for one in notes]
        assert any(f"that are closed to you are left out: '{closed}/docs/deep'" in one for one in said)
        assert any(f"left out: cannot read '{closed}/docs/shut.md': Permission denied" in one for one in said)
    for name in ("docs/shut.md", "docs/deep/inner.md", "docs/deep", "docs/deep/*.md"):
        for read in (read_files, read_rows):
            with pytest.raises(LlmattrError, match=r"^cannot read .*(closed to you|Permission denied)$"):
                read(closed / name)
    with pytest.raises(LlmattrError, match=r"^cannot read .*Permission denied$"):
        read_rows(closed / "docs/deep/rows.jsonl")


@pytest.mark.filterwarnings("ignore::llmattr.errors.LlmattrNote")
def test_a_context_takes_paths_beside_texts(docs):
    assert [document.text for document in read_documents(docs / "a.txt")] == ["Text of a."]
    documents = read_documents(["docs/a.txt", docs / "deep", docs])
    assert [document.text for document in documents[:2]] == ["docs/a.txt", "Text of c."]  # a text stays one
    assert len(documents) == 5


@pytest.mark.filterwarnings("ignore::llmattr.errors.LlmattrNote")
def test_rows_for_training_are_the_documents_of_a_folder(docs):
    rows = [{"text": "Text of a.", "id": "docs/a.txt"}, {"text": "# B\n\nText of b.", "id": "docs/b.md"}]
    assert read_rows(docs)[:2] == rows
    assert read_rows("docs/b.md") == rows[1:]


def test_a_badge_and_what_labels_a_drawing_furnish_a_page_and_entitle_nothing_above_them():
    page = (
        "<p>330 m</p><i class=badge>Verified Purchase</i><p><i class=badge>New</i> It is good.</p><svg><text>2020</text></svg>"
    )
    document = read_bytes(page.encode(), "page", "html")
    assert document.text.split("\n\n") == ["330 m", "Verified Purchase", "New It is good.", "2020"]
    assert [document.text[a:b] for a, b, _ in document.blocks] == ["Verified Purchase", "2020"]
