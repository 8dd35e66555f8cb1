"""PDF files, written by hand: pages, columns, running heads, hyphens; and those that cannot be read."""

import io
import random
import textwrap

import pytest
from pypdf import PdfWriter

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.text.readers import read_bytes
from llmattr.text.split import cut
from tests.pdfs import pdf_of

BODY = (
    "The lighthouse on the island was built by a company of engineers, who measured the height of all the towers along this "
    "coast and wrote everything down in a book that nobody has read since then. "
)


def column(text, x, width, top=750, size=10):
    """A paragraph as lines of at most `width` characters, from above."""
    return [(x, top - 12 * i, size, line) for i, line in enumerate(textwrap.wrap(text, width))]


def read(pages, info="") -> Document:
    return read_bytes(pdf_of(pages, info), "x.pdf", "pdf")


def test_wrapped_lines_are_one_paragraph_and_every_place_has_its_page():
    document = read([[(72, 790, 16, "Lighthouses"), *column(BODY * 3, 72, 90)], column("It is tall. " * 20, 72, 90)])
    assert document.text == f"Lighthouses\n\n{(BODY * 3).strip()}\n\n{('It is tall. ' * 20).strip()}"
    pages = [document.at(document.text.index(text))["page"] for text in ("Lighthouses", "coast", "It is tall")]
    assert pages == [1, 1, 2]
    assert document.at(len(document.text) - 1)["page"] == 2


def test_a_sentence_that_goes_on_over_the_page_stays_one():
    lines = column(BODY * 3, 72, 90)
    document = read([lines[:4], [(x, y + 48, size, text) for x, y, size, text in lines[4:]]])
    assert document.text == (BODY * 3).strip()
    assert document.places[1] == (len(" ".join(text for *_, text in lines[:4])) + 1, {"page": 2})


@pytest.mark.parametrize("row_by_row", [False, True])
def test_columns_are_read_one_after_the_other(row_by_row):
    left, right = column(f"Left. {BODY * 3}", 72, 45), column(f"Right. {BODY * 3}", 320, 45)
    pieces = [piece for pair in zip(left, right, strict=True) for piece in pair] if row_by_row else [*left, *right]
    document = read([[(72, 790, 16, "A title over both of the columns"), *pieces]])
    parts = ["A title over both of the columns", f"Left. {BODY * 3}".strip(), f"Right. {BODY * 3}".strip()]
    assert document.text == "\n\n".join(parts)


def test_pieces_of_a_line_that_are_written_later_stand_where_they_are_seen():
    lines = column(BODY * 3, 72, 90)
    later = [(60, 600, 10, "*"), (60, 588, 10, "*"), (72, 600, 10, "The first thing."), (72, 588, 10, "The second thing.")]
    assert read([[*lines, *later]]).text.endswith("* The first thing.\n* The second thing.")


def test_running_heads_and_page_numbers_are_left_out_but_headings_are_not():
    texts = [" ".join(random.Random(number).sample(BODY.split() * 3, 90)) + "." for number in range(3)]
    pages = [
        [
            (72, 810, 8, "Annals of Lighthouses, volume 3"),
            (290, 30, 8, f"- {number} -"),
            (72, 780, 16, f"Chapter {number}"),
            *column(text, 72, 90),
        ]
        for number, text in enumerate(texts, 1)
    ]
    document = read(pages)
    assert document.text == "\n\n".join(f"Chapter {number}\n\n{text}" for number, text in enumerate(texts, 1))
    alone = read(pages[:1])  # what stands on one page alone is no running head
    assert "Annals" in alone.text


def test_hyphens_at_the_end_of_lines_are_undone_where_they_are_no_part_of_the_word():
    lines = [
        "Engineers wrote that the light-",
        "house is tall, which is a well-",
        "known fact of the coast and its engi-",
        "neers.",
    ]
    document = read([[(72, 750 - 12 * i, 10, line) for i, line in enumerate(lines)]])
    text = "Engineers wrote that the lighthouse is tall, which is a wellknown fact of the coast and its engineers."
    assert document.text == text
    again = read([[(72, 750 - 12 * i, 10, line) for i, line in enumerate([*lines, "It is a well-known one."])]])
    assert "a well-known fact" in again.text  # as elsewhere in this file


def test_lists_and_short_lines_are_not_joined():
    lines = ["- one thing", "- another thing", "1. first", "2. second"]
    document = read([[(72, 750 - 12 * i, 10, line) for i, line in enumerate(lines)]])
    assert document.text == "\n".join(lines)


def test_what_the_file_says_of_itself():
    info = "/Title(The tower)/Author(Ada Okoro)/CreationDate(D:20240501120000Z)"
    assert read([column(BODY, 72, 90)], info).metadata == {"title": "The tower", "author": "Ada Okoro", "date": "2024-05-01"}
    for title in ("paper.dvi", "Microsoft Word - report.doc", "untitled"):
        assert "title" not in read([column(BODY, 72, 90)], f"/Title({title})").metadata


def test_pages_without_text_are_noted_and_nothing_but_such_is_refused():
    with pytest.warns(LlmattrNote, match=r"1 of 2 pages have no text \(scanned, damaged\?\), the first is page 2"):
        read([column(BODY, 72, 90), []])
    with pytest.raises(
        LlmattrError, match=r"'x.pdf' is a PDF without text \(2 pages, scanned or damaged\): recognise it first"
    ):
        read([[], []])


def test_a_damaged_page_is_noted_and_the_others_are_read():
    whole = pdf_of([column(BODY, 72, 90), [(72, 700, 10, "A page of its own.")]])
    damaged = whole.replace(b"/Contents 7 0 R", b"/Contents 99999")
    with pytest.warns(LlmattrNote, match="1 of 2 pages have no text"):
        assert read_bytes(damaged, "x.pdf", "pdf").text == BODY.strip()


def locked(user_password):
    writer = PdfWriter(io.BytesIO(pdf_of([column(BODY, 72, 90)])))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def test_a_password_is_asked_for_unless_the_file_opens_without():
    with pytest.raises(LlmattrError, match=r"^'x.pdf' is a PDF with a password: save it without one$"):
        read_bytes(locked("secret"), "x.pdf", "pdf")
    assert read_bytes(locked(""), "x.pdf", "pdf").text == BODY.strip()


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj\n",
        b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\n%%EOF\n",
        b"%PDF-1.4\n",
        b"no PDF at all",
        pdf_of([column(BODY, 72, 90)])[:300],
    ],
)
@pytest.mark.parametrize("ending", ["pdf", "txt"])
def test_a_damaged_file_is_refused_as_what_it_is(data, ending):
    if ending == "txt" and not data.startswith(b"%PDF"):
        pytest.skip("text, and called so")
    with pytest.raises(LlmattrError, match=r"^'x' is a PDF (that cannot be read|without text)") as error:
        read_bytes(data, "x", ending)
    assert "\n" not in str(error.value)


def cells(rows, xs, top, step):
    return [(x, top - step * i, 10, cell) for i, row in enumerate(rows) for x, cell in zip(xs, row, strict=True)]


@pytest.mark.parametrize(("left", "step"), [(72, 14), (100, 14), (100, 24)])
def test_rows_of_a_table_stand_apart_from_the_text_and_can_be_quoted(left, step):
    table = [("Tower", "Height", "Year"), ("Eiffel", "330 m", "1889"), ("Berlin", "368 m", "1969")]
    below = column(BODY * 2, 72, 90, top=650 - 3 * step)
    document = read([[*column(BODY * 2, 72, 90), *cells(table, (left, 250, 400), 650, step), *below]])
    rows = ["\t".join(row) for row in table]
    assert document.text == "\n\n".join([(BODY * 2).strip(), "\n".join(rows), (BODY * 2).strip()])
    found = cut(document.text, format=document.format)
    assert [document.text[a:b] for a, b in found.spans][2:-2] == rows
    assert found.quotable.all()


def test_bullets_in_the_codes_of_fonts_are_bullets():
    lines = ["\x7f The first thing.", "\x7f The second thing which", "goes on here."]
    document = read([[(72, 750 - 12 * i, 10, line) for i, line in enumerate(lines)]])
    assert document.text == "• The first thing.\n• The second thing which goes on here."


def test_a_first_line_that_two_pages_have_is_text_where_it_does_not_stand_apart():
    texts = [" ".join(random.Random(number).sample(BODY.split() * 3, 90)) + "." for number in range(2)]
    first = "The lighthouse stands on the island that is the last one of this coast. "
    pages = [[*column(first + text, 72, len(first) + 5)] for text in texts]
    assert read(pages).text.count(first.strip()) == 2


def test_a_head_of_two_pages_is_left_out_where_its_number_counts_them():
    texts = [" ".join(random.Random(number).sample(BODY.split() * 3, 90)) + "." for number in range(9)]
    pages = [column(text, 72, 90) for text in texts]
    for number in (3, 4):
        pages[number] = [(72, 810, 10, f"Chapter 3: Towers {number + 2}"), *pages[number]]
    assert "Chapter" not in read(pages).text
    pages[4][0] = (72, 810, 10, "Chapter 3: Towers 12")
    assert read(pages).text.count("Chapter") == 2
