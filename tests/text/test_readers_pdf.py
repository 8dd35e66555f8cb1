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
    assert told(document, True)[2:-2] == rows[1:]
    assert told(document, False) == rows[:1]


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


def told(document, quotable):
    found = cut(document.text, "sentences", document.format, document.language, document.blocks)
    return [document.text[a:b] for (a, b), may in zip(found.spans, found.quotable, strict=True) if may == quotable]


def page_of(*parts, left=72, width=90):
    """Paragraphs of a page from above: texts, or lines (size, text, font) as they stand."""
    pieces, y = [], 780
    for part in parts:
        lines = [(10, line) for line in textwrap.wrap(part, width)] if isinstance(part, str) else part
        for size, text, *font in lines:
            y -= 1.2 * size
            pieces.append((left, y, size, text, *font))
        y -= 14
    return pieces


@pytest.mark.parametrize("page", [{"left": 72, "width": 90}, {"left": 200, "width": 50}])
@pytest.mark.parametrize("letters", [(18,), (12,), (10, "bold"), (14, "bold")])
def test_what_stands_out_above_text_is_a_heading_whatever_its_number(letters, page):
    titles = ["2. Results", "1.1 Sources and methods", "1 Section number", "A.1 Tables", "What is a mill?", "Appendix 2: Maps"]
    size, *font = letters
    document = read([page_of(*(part for title in titles for part in ([(size, title, *font)], BODY)), **page)])
    assert told(document, False) == titles
    assert told(document, True) == [BODY.strip()] * len(titles)


def test_a_title_over_several_lines_is_one_heading_and_the_next_one_another():
    title = ["Tidal mills of the northern coast and the", "people who built them"]
    document = read([page_of([(18, line) for line in title], [(18, "Contents")], BODY * 3)])
    assert told(document, False) == [" ".join(title), "Contents"]


def test_what_is_stated_in_bold_is_no_heading():
    stated = ["Height: 330 m", "It is tall.", "Stones: 12"]
    document = read([page_of(*(part for text in stated for part in ([(10, text, "bold")], BODY * 2)))])
    assert told(document, False) == []


@pytest.mark.parametrize("font", [["bold"], []])
@pytest.mark.parametrize("xs", [(72, 130, 164, 226), (200, 270, 300, 400)])
def test_the_header_of_a_table_stands_above_its_rows_and_is_not_quoted_alone(font, xs):
    rows = [("Mill", "Built", "Height (m)", "Stones"), ("North", "1712", "12", "3"), ("Port Ellan", "1740", "9", "2")]
    header, *values = [cells([row], xs, 650 - 18 * i, 0) for i, row in enumerate(rows)]
    table = [*((*piece, *font) for piece in header), *(piece for row in values for piece in row)]
    document = read([[*column(BODY * 2, 72, 90), *table, *column(BODY, 72, 90, top=560)]])
    lines = ["\t".join(row) for row in rows]
    assert "\n".join(lines) in document.text
    assert told(document, False) == lines[:1]
    assert told(document, True)[2:-1] == lines[1:]


@pytest.mark.parametrize("shifted", [False, True])
def test_code_keeps_its_lines_and_how_they_are_set_in(shifted):
    listing = "def f(x):\n    if x > 3:\n        return x ** 2\n    return 0"
    lines = [(len(line) - len(line.lstrip()), line.lstrip()) for line in listing.split("\n")]
    said = [(100 + 4.8 * set_in * shifted, " " * set_in * (not shifted) + line) for set_in, line in lines]
    code = [(x, 650 - 10 * i, 8, line, "mono") for i, (x, line) in enumerate(said)]
    document = read([[*column(BODY * 2, 72, 90), *code, *column(BODY * 2, 72, 90, top=560)]])
    assert told(document, True)[2:-2] == [listing]


def test_a_word_of_code_in_a_line_of_text_is_text():
    line = [(72, 750, 10, "It calls"), (110, 750, 10, " open()", "mono"), (150, 750, 10, " then.")]
    assert read([[*line, *column(BODY * 2, 72, 90, top=700)]]).text.startswith("It calls open() then.")


def test_lines_of_the_contents_and_marks_alone_are_furniture():
    contents = [(10, f"1 Introduction {'. ' * 30}1"), (10, f"1.1 ASN.1 syntax{'.' * 50} xii")]
    document = read([page_of(contents, BODY * 2, [(7, "12")], BODY, [(10, "B")], BODY)])
    assert told(document, True) == [BODY.strip()] * 4


def test_numbers_of_pages_and_heads_that_alternate_are_left_out():
    texts = [" ".join(random.Random(number).sample(BODY.split() * 3, 90)) + "." for number in range(4)]
    heads = [[(72, 8, "A. Okoro"), (500, 8, "411")], [(72, 8, "412"), (200, 8, "Tidal mills")]]
    for over in (heads, [heads[0][:1], heads[1][1:]], [[(290, 10, number)] for number in ("i", "ii", "1", "2")]):
        pages = [[(x, 810, *rest) for x, *rest in head] for head in over]
        below = [column(text, 72, 90) for text in texts]
        document = read([[*head, *lines] for head, lines in zip(pages, below[: len(pages)], strict=True)])
        assert document.text == "\n\n".join(texts[: len(pages)])
    of_all = [[(72, 810, 8, "3 May 2024"), (300, 810, 8, "The canal"), (500, 20, 8, "1/1"), *column(texts[0], 72, 90)]]
    assert read(of_all).text == texts[0]
    year = [[(290, 30, 10, "1889"), *column(texts[0], 72, 90)]]
    assert read(year).text == f"{texts[0]}\n\n1889"  # what stands on one page alone may be text


def test_a_line_that_a_number_begins_goes_on_where_the_one_before_is_full():
    lines = [
        "A tidal mill stores water and lets it out over a wheel. It can work for about",
        "5.5 h in each tide, which is much more than a mill of the wind could do, and",
        "the water is enough.",
    ]
    document = read([[(72, 750 - 12 * i, 10, line) for i, line in enumerate(lines)]])
    assert document.text == " ".join(lines)
