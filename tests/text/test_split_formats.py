"""Structure first: what the blocks of each format are, which of them can be quoted, and that nothing is lost."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt
from llmattr.text.prompt import cut as sources_of
from llmattr.text.split import FORMATS, SPLITTERS, cut
from llmattr.text.split.formats import looks_like
from tests import tiny_models

MARKS = [
    *(
        "a",
        "B",
        " ",
        "\n",
        "\r\n",
        "\t",
        ".",
        "?",
        "。",
        "」",
        "「",
        "“",
        "”",
        '"',
        "(",
        ")",
        "[1]",
        "**",
        "`",
        "\n```py\n",
        "# ",
        "- ",
        "1. ",
    ),
    *(
        "> ",
        "|",
        "\n|---|---|\n",
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        "<br>",
        "<tr><td>",
        "</td></tr>",
        "<pre>",
        "&amp;",
        "<!--",
        "<think>",
    ),
    *(
        "</think>",
        "def f():\n    return 1\n",
        "class A:\n",
        '{"a": 1}\n',
        ",",
        "From: a\n",
        "\n-- \n",
        "00:00:01,000 --> 00:00:02,000\n",
    ),
    *("\u00a0", "\u2028", "\f", "\x00", "e\u0301", "។", "।", "؟", "😀", "Dr. ", "…", "---\n", "\n\n", "    ", "²", "\x1c"),
]
TEXT = st.text() | st.lists(st.sampled_from(MARKS), max_size=25).map("".join)


@pytest.mark.parametrize("format", [None, *FORMATS])
@settings(max_examples=100, deadline=None)
@given(text=TEXT, kind=st.sampled_from(list(SPLITTERS)))
def test_spans_are_apart_in_order_and_each_says_something(format, text, kind):
    found = cut(text, kind, format)
    assert len(found.spans) == len(found.blocks) == len(found.quotable)
    assert (found.spans[1:, 0] >= found.spans[:-1, 1]).all()
    for start, end in found.spans:
        part = text[start:end]
        assert part == part.strip()
        assert any(character.isalnum() for character in part)


def units(text, format=None):
    """What is cut, what it is, and a # behind what cannot be quoted."""
    found = cut(text, format=format)
    columns = zip(found.spans, found.blocks, found.quotable, strict=True)
    return [(text[a:b], kind if quotable else kind + "#") for (a, b), kind, quotable in columns]


MARKDOWN = """# Prices

See **the [list](http://a.example/x. y).** It is
short.[^1]

- Never use water.
- Keep the cover
  for later. Always!

> A quote. Of two
> sentences.

| item | price |
|---|---|
| tea | 3 EUR |
| *Total* | **3 EUR.** |

***

```python
def area(r):
    return 3 * r ** 2


print(area(1))
```

[^1]: A note.

[list]: http://a.example
"""


def test_markdown():
    assert looks_like(MARKDOWN) == "markdown"
    assert units(MARKDOWN) == [
        ("# Prices", "heading#"),
        ("See **the [list](http://a.example/x. y).**", "paragraph"),
        ("It is\nshort.[^1]", "paragraph"),
        ("- Never use water.", "item"),
        ("- Keep the cover\n  for later.", "item"),
        ("Always!", "item"),
        ("A quote.", "quote"),
        ("Of two\n> sentences.", "quote"),
        ("| item | price |", "row#"),
        ("| tea | 3 EUR |", "row"),
        ("| *Total* | **3 EUR.** |", "row"),
        ("def area(r):\n    return 3 * r ** 2", "code"),
        ("print(area(1))", "code"),
        ("[^1]: A note.", "paragraph"),
    ]


HTML = """<!DOCTYPE html><html><head><title>Prices</title><script>var x = 1; // a. B.</script></head>
<body><nav><a href="/">Home</a></nav>
<p>See <em>the list.</em> <b>It</b> is &lt; short<sup><a href="#1">[1]</a></sup>.</p><p>An open one<p>Another. <br>A line
<ul><li>Never use water.</li><li>Keep it.</ul>
<table><tr><th>item</th><th>price</th></tr><tr><td>tea</td><td>3 EUR. Each.</td></tr></table>
<footer>Page 1</footer></body></html>"""


def test_html():
    assert looks_like(HTML) == "html"
    assert units(HTML) == [
        ("Prices", "heading#"),
        ("See <em>the list.</em>", "paragraph"),
        ('<b>It</b> is &lt; short<sup><a href="#1">[1]</a></sup>.', "paragraph"),
        ("An open one", "paragraph"),
        ("Another.", "paragraph"),
        ("A line", "paragraph"),
        ("Never use water.", "item"),
        ("Keep it.", "item"),
        ("<th>item</th><th>price</th>", "row#"),
        ("<td>tea</td><td>3 EUR. Each.</td>", "row"),
    ]


def test_code_by_its_own_syntax_and_a_long_class_by_its_methods():
    text = 'import os\n\nX = 1\nY = 2\n\n# The area.\n@cache\ndef area(r):\n    """Of a circle. Or so."""\n\n    return r\n'
    assert looks_like(text) == "code"
    assert [part for part, _ in units(text)] == ["import os", "X = 1\nY = 2", text[text.index("# The") :].rstrip()]
    method = "    def m(self):\n" + "        x = 1\n" * 15
    long = f"class A:\n    y = 1\n\n{method}\n    # Once more.\n{method}"
    assert [part.splitlines()[0].strip() for part, _ in units(long, "py")] == ["class A:", "def m(self):", "# Once more."]
    braces = "function a() {\n  x = 1;\n\n  return x;\n}\n\nconst b = 2;\nconst c = 3;\n"
    assert [part for part, _ in units(braces, "js")] == [braces[: braces.index("\n\nconst")], "const b = 2;\nconst c = 3;"]


def test_statements_without_a_blank_line_between_them_are_parted_where_they_are_many():
    text = "\n".join(f"ERROR_{k}: int = {k}" for k in range(100))
    found = [said.count("\n") + 1 for said, _ in units(text, "py")]
    assert found == [30, 30, 30, 10]
    assert len(units("x = [\n" + "    1,\n" * 100 + "]", "py")) == 1  # one statement


def test_rows_records_and_cues():
    table = 'name,city\nAda,"London,\nEngland"\nAlan,Maida Vale\n'
    assert looks_like(table) == "table"
    assert units(table) == [("name,city", "row#"), ('Ada,"London,\nEngland"', "row"), ("Alan,Maida Vale", "row")]
    records = '{"a": "One. Two."}\n\n{"a": 2}\n'
    assert looks_like(records) == "records"
    assert [part for part, _ in units(records)] == ['{"a": "One. Two."}', '{"a": 2}']
    cues = "1\n00:00:01,000 --> 00:00:03,200\nIt was high.\nEvery night.\n\n2\n00:00:03,400 --> 00:00:06,900\n3\n"
    assert looks_like(cues) == "subtitles"
    assert [part for part, _ in units(cues)] == ["It was high.\nEvery night.", "3"]


def test_mail():
    text = "From: a@b.example\nSubject: Tea. Again.\n\nDear Ms. Okoro,\n\nno tea. Sorry!\n\nOn 3 May, Okoro wrote:\n"
    text += "> Is there\n> tea?\n\n-- \nA. B.\n"
    assert looks_like(text) == "mail"
    assert units(text) == [
        ("From: a@b.example", "furniture#"),
        ("Subject: Tea. Again.", "furniture#"),
        ("Dear Ms. Okoro,", "paragraph"),
        ("no tea.", "paragraph"),
        ("Sorry!", "paragraph"),
        ("On 3 May, Okoro wrote:", "furniture#"),
        ("Is there\n> tea?", "quote"),
        ("A. B.", "furniture#"),
    ]


def test_a_running_head_is_no_source_and_a_sentence_goes_on_over_it():
    page = "The Report        {}\n\nThe dam is old and the wall\nis {}, so that it\n\n"
    text = page.format(1, "wet") + "The Report        2\n\nleaks. It is red.\n\nThe Report        3\n"
    assert [part for part, _ in units(text)] == [text[21 : text.index(" It is red")], "It is red."]


@pytest.mark.parametrize(
    "text", ["It costs 3 * 4 EUR. # is a sign.", "Tea, cake and more\nAda, Alan", "a < b. c > d.", "import is hard. So?"]
)
def test_plain_text_stays_plain(text):
    assert looks_like(text) == "plain"


def test_an_unknown_format_is_named_with_the_nearest_known_one():
    with pytest.raises(LlmattrError, match="unknown format 'markdwn'; did you mean 'markdown'"):
        cut("a", format="markdwn")


def prompt(context, response, **how):
    chat = conversation(context, "What?")
    return Prompt(tiny_models.tokenizer(), chat, sources_of(chat, "sentences", **how)).with_response(response)


def test_an_answer_is_cut_by_the_same_code():
    answer = "<think>\nSo. Hm.\n</think>\n\nThe facts:\n\n1. It is **old.**\n2. It is tall.\n\n"
    answer += "| year | m |\n|---|---|\n| 1889 | 330 |\n\n```py\nx = 1\n\nprint(x)\n```"
    targets = prompt("It is old.", answer).targets()
    right = ["The facts:", "1. It is **old.**", "2. It is tall.", "| 1889 | 330 |", "x = 1\n\nprint(x)"]
    assert list(targets.texts) == [answer.partition("</think>")[2].strip(), *right]  # what was thought is no answer


@pytest.mark.parametrize("label", ["**Founders**", "**Founders:**", "__Who founded it__:"])
def test_words_in_bold_before_a_list_are_its_heading_in_an_answer(label):
    items = [("- Ana Petrov did.", "item"), ("- Karl Lund paid.", "item")]
    assert units(f"{label}\n\n- Ana Petrov did.\n- Karl Lund paid.", "answer") == [(label, "heading#"), *items]
    assert units(f"{label}\n\nAna Petrov did.", "answer") == [(label, "paragraph"), ("Ana Petrov did.", "paragraph")]
    assert units("**It is old.**\n\n- Karl Lund paid.", "answer")[0] == ("**It is old.**", "paragraph")


def test_documents_say_their_format_and_the_language_is_handed_on():
    documents = [{"text": "# A title\n\nIt is old."}, {"text": "Am 3. Mai."}]
    sources = prompt(documents, "Yes.", language="de").sources
    assert list(sources.texts) == ["# A title", "It is old.", "Am 3. Mai."]
    assert list(sources.blocks) == ["heading", "paragraph", "paragraph"]
    assert sources.quotable.tolist() == [False, True, True]
    assert [document.language for document in sources.documents] == ["de", "de"]


def test_what_is_not_quotable_is_never_cited_and_keeps_its_score():
    sources = Sources("sentences", ["a", "b"], ["# A", "B."], quotable=np.array([False, True]))
    found = Attribution(np.array([[3.0, 2.0]]), sources, Targets(["T."]), "nats of log-odds", {"name": "leave-one-out"}, {})
    assert found.cited.tolist() == [[False, True]]
    assert [(score.id, score.score, score.cited) for score in found.top(2)] == [("a", 3.0, False), ("b", 2.0, True)]


@pytest.mark.parametrize("indent", [None, 1])
def test_json_is_cut_into_records_and_members_with_their_keys(indent):
    place = {"city": "Paris, {France}", "at": [48.9, 2.3], "more": {}, "tags": [], "note": ""}
    visits = [{"year": 2019, "n": [1, 2]}, {"year": 2020, "n": []}]
    text = json.dumps({"name": 'A "tower" ]', "built": 1889, "place": place, "visits": visits}, indent=indent)
    assert looks_like(text) == "json"
    found = [said for said, kind in units(text, "json")]
    assert [json.loads(f"{{{said}}}") for said in found[:4]] == [
        {"name": "A \"tower\" ]"}, {"built": 1889}, {"city": "Paris, {France}"}, {"at": [48.9, 2.3]}
    ]  # fmt: skip
    assert [json.loads(said) for said in found[4:]] == visits
    records = json.dumps([{"a": {"b": 1}}, {"a": {"b": 2}}], indent=indent)
    assert [json.loads(said) for said, kind in units(records)] == json.loads(records)


def test_what_is_no_json_is_no_json():
    for text in ('{"a": 1,}', "[1] A. Okoro. The tower.", "{a} and {b}", "[link](http://a.example)"):
        assert looks_like(text) != "json"
    assert units('"a": b c,\n\n"d": 2,', "json") == [('"a": b c,', "code"), ('"d": 2,', "code")]  # by blank lines
    deep = '{"a":' * 900 + "1" + "}" * 900
    assert len(units(deep, "json")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "<think>Hm. So.</think>It is 42.",
        "<thinking>\nHm. So.\n</thinking>\n<answer>\nIt is 42.\n</answer>",
        "[THINK]Hm. So.[/THINK] It is 42.",
        "◁think▷Hm. So.◁/think▷It is 42.",
        "<|channel|>analysis<|message|>Hm. So.<|end|><|start|>assistant<|channel|>final<|message|>It is 42.<|return|>",
        "<think>\nHm. So:\n```py\nx = 1\n</think>\nIt is 42.",  # code that was never closed
        "Hm. So.\n</think>\n\nIt is 42.",  # the template opened it
        "Hm. So.</think> It is 42.",
        "analysisHm. So.assistantfinalIt is 42.",
    ],
)
@pytest.mark.parametrize("format", ["answer", None])
def test_reasoning_before_an_answer_cannot_be_quoted_and_its_marks_are_no_source(answer, format):
    found = units(answer, format)
    assert [(text, kind) for text, kind in found if not kind.endswith("#")] == [("It is 42.", "paragraph")]
    assert "So" in " ".join(text for text, _ in found)


@pytest.mark.parametrize(
    "right",
    [
        ["Use the `<think>` tag.", "It is nice.", "So."],
        ["Some models write <think> before they think.", "The rest follows it.", "So."],
        ["It ends with </think> and not before.", "So."],
        ["It is so:", "<think>\nhm\n</think>", "So."],
    ],
)
def test_a_mark_of_reasoning_that_is_named_in_passing_is_text(right):
    text = " ".join(right).replace(" <think>\n", "\n\n```\n<think>\n").replace("</think> S", "</think>\n```\n\nS")
    assert units(text, "answer") == [(part, "code" if part.startswith("<think>") else "paragraph") for part in right]


def test_a_reasoning_that_an_answer_begins_with_may_have_no_end():
    assert units("<think>\nHm. It was", "answer") == [("Hm.", "paragraph#"), ("It was", "paragraph#")]
    assert units("So.\n\n<think>\nHm.", "answer")[-1] == ("Hm.", "paragraph")  # which an answer that has begun may name


@pytest.mark.parametrize(
    "right",
    [
        ["Does it hold water?", "Yes, it does."] * 3,
        ["Q1. When was it begun?", "1873", "Q2. When was it built?", "1889", "Q3. By whom?", "Eiffel", "Q4. Why?", "1900"],
        ["How many are there?", "1", "And of those?", "2", "And of these?", "3", "So."],
        ["On which page?", "Page 12", "And then?", "Page 40"],
        ["Towers of iron:", "Total     1250"],
        ["The tower stands in Paris", "It weighs 10,100 tons", "It opened in the spring"],
        ["Facts.", "The tower is tall", "It is old."],
        ["塔は高い", "1889年に建てられた", "パリにある"],
    ],
)
def test_short_answers_and_facts_without_a_stop_are_sources_however_often_they_stand(right):
    assert units("\n\n".join(right)) == [(part, "paragraph") for part in right]


def test_lines_of_facts_are_not_joined_where_they_are_short():
    assert units("塔は高い\n1889年に建てられた\nパリにある") == [
        (part, "paragraph") for part in ("塔は高い", "1889年に建てられた", "パリにある")
    ]


def test_lines_that_are_set_in_are_not_joined_with_what_stands_around_them():
    parts = ["Its water feeds three rivers", "The Upper Arn", "The Lower Arn", "The Brook", "and a canal."]
    assert [said for said, _ in units("\n".join([parts[0], *(f"  {one}" for one in parts[1:4]), parts[4]]))] == parts


@pytest.mark.parametrize(
    "lines",
    [
        [f"https://a.example/a/long/address/that/goes/deep/{k}" for k in range(3)],
        ["a/b/c/Main.java,sha256=47DEQpj8HBSa,0", "Zed/b/c/Other.java,sha256=kQx1FwnIPaam,12", "lib/q.java,sha256=x,1"],
        [f"{k}.0000000e+00   1.2e-01   -3" for k in range(1, 4)],
        ["52 34 59", "43 74 11"],
    ],
)
def test_addresses_paths_and_numbers_stand_on_lines_of_their_own(lines):
    assert [said for said, _ in units("\n".join(lines))] == lines


def test_a_wrapped_address_and_a_word_alone_are_part_of_their_sentence():
    right = ["See the pages of the archive that are kept at\nhttps://a.example/a/long/address/that/goes/deep/1.", "It is old."]
    assert [said for said, _ in units("\n".join(right))] == right


def test_tags_on_lines_of_their_own_are_no_source():
    prompt = '<documents>\n<document index="1">\n<text>\nIt is old. It is tall.\n</text>\n</document>\n</documents>'
    assert units(prompt) == [("It is old.", "paragraph"), ("It is tall.", "paragraph")]
    assert units("<context>\nIt is **old**.\n</context>\n\nSo.") == [("It is **old**.", "paragraph"), ("So.", "paragraph")]
    assert units("Write to:\n<a@b.example>") == [("Write to:", "paragraph"), ("<a@b.example>", "paragraph")]


def test_a_number_that_begins_no_list_is_part_of_its_sentence():
    right = "Without arguments it prints the label and ends with\n0.  With more it compares them, and ends with 0\nas well."
    assert units(right)[0] == (right.split("  ")[0], "paragraph")
    assert [kind for _, kind in units("We need:\n1. salt\n2. oil")] == ["paragraph", "item", "item"]


def test_a_wrapped_paragraph_of_names_is_no_list():
    right = (
        'This Agreement (the "Lease") is made as of March 2, 2026, by and between Harlow\n'
        'Holdings, Inc., a Delaware corporation ("Landlord"), and Quill & Co. Ltd.\n("Tenant").'
    )
    assert [said for said, _ in units(right)] == [right]


def test_a_line_or_two_above_text_are_headings():
    assert units("The tower of Paris\n\nA short guide\n\nIt is old.")[:2] == [
        ("The tower of Paris", "heading#"),
        ("A short guide", "heading#"),
    ]


@pytest.mark.parametrize(
    "page",
    [
        "THE DAM\n\nThe wall is very\n\n{}\n\n\f",  # pages end with form feeds
        "The wall is very\n\n{}\n\nTHE DAM\n\n",
        "The wall is very\n\n- {} -\n\n",
        "The wall is very\n\nPage {} of 2\n\n",
    ],
)
def test_pages_end_at_form_feeds_and_numbers_that_count_up(page):
    text = page.format(1) + page.replace("The wall is very", "wet. It leaks").format(2) + "a lot."
    found = [part for part, _ in units(text)]
    assert [(part.split()[0], part.split()[-1]) for part in found] == [("The", "wet."), ("It", "lot.")]


def test_a_page_that_says_of_how_many_it_is_needs_no_other():
    assert [said for said, _ in units("The lease is void.\n\n      Page 1 of 12\n")] == ["The lease is void."]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("name,city\nAda,London. It is big.\n", True),  # of two rows
        ('"Name";"Wert"\n"Ada";"1,5. Ja."\n', True),
        (",year,2019\n0,a. B.,3\n1,b,4\n", True),  # as pandas writes it
        ('"1","It is old. It is tall."\n"2","So. Yes."\n', False),
        ("name,city\nAda,London. It is big.\nAlan,Maida,Vale\nBob,Rome\n", True),  # ragged
    ],
)
def test_a_row_is_a_source_whether_there_are_many_a_header_or_one_that_is_ragged(text, header):
    rows = text.splitlines()
    assert units(text) == [(rows[0], "row#" if header else "row"), *((row, "row") for row in rows[1:])]


@pytest.mark.parametrize("name", [None, "csv"])
def test_a_line_that_says_what_parts_cells_is_no_row(name):
    assert units("sep=;\na;b\n1, x;2\n", name) == [("a;b", "row#"), ("1, x;2", "row")]


def test_a_mailbox_is_several_messages():
    mail = "From a@b.c Mon Mar  2 08:00:00 2026\nFrom: a@b.c\nSubject: one\n\nIt is old. Yes.\n\n"
    assert [said for said, kind in units(mail * 2, "mbox") if not kind.endswith("#")] == ["It is old.", "Yes."] * 2


def test_a_quotation_in_mail_is_not_cut_where_it_is_wrapped():
    text = "On 3 May 2024, A wrote:\n> How tall is the tower? I read it was\n> 300 m tall.\n>> It stands in\n>> Paris.\n"
    assert [part for part, _ in units(text)][1:] == [
        "How tall is the tower?",
        "I read it was\n> 300 m tall.",
        "It stands in\n>> Paris.",
    ]


def test_who_says_a_cue_is_no_part_of_it():
    cues = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Bob>It was <i>high</i>.</v>\n\n00:03.000 --> 00:04.000\n- Was it?\n- Yes.\n"
    assert units(cues) == [("It was <i>high</i>.", "row"), ("- Was it?\n- Yes.", "row")]


def test_an_entry_of_a_list_of_references_is_one_source_and_a_numbered_passage_is_cut():
    entries = ["[1] A. Okoro. The tower of\n    Paris. 1999.", "[2] Smith, B. C. Iron. In: Towers, pp. 3-9. 2001."]
    assert units("\n".join(["As in [1]. So.", "", *entries]))[2:] == [(entry, "row") for entry in entries]
    passages = "[1] The tower was built in 1889. It is tall.\n[2] It is old."
    assert [part for part, _ in units(passages)] == ["[1] The tower was built in 1889.", "It is tall.", "[2] It is old."]


@pytest.mark.parametrize(
    "right",
    [
        [
            "const help = `\nUsage:\n\nCall it.\n`;",
            "function a() {\n  b();\n}",
            "function c() {\n  d();\n}",
            "let x = 1;\nlet y = 2;",
        ],
        [
            "package main",
            'import (\n\t"fmt"\n\n\t"os"\n)',
            "// A.\ntype A struct {\n\tX int\n}",
            "func main() {\n\tf()\n\n\tg()\n}",
        ],
        ["#!/bin/sh\nset -e", '# Says it.\nsay() {\n  echo "$1"\n\n  echo\n}', "if [ -f x ]; then\n  say x\nelse\n  say y\nfi"],
        ["CREATE TABLE a (\n  x INT,\n\n  y TEXT\n);", "SELECT *\nFROM a\nWHERE x = 1;"],
        ["def twice(x)\n  2 * x\nend", "def thrice(x)\n  3 * x\n\nend"],
        ["#include <a.h>", "/* One.\n\nTwo. */\nint main(void)\n{\n  f();\n\n  return 0;\n}"],
    ],
)
@pytest.mark.parametrize("format", ["code", None])
def test_code_of_other_languages_by_what_stands_together(right, format):
    assert units("\n\n".join(right), format) == [(part, "code") for part in right]


def test_functions_and_methods_that_no_blank_line_parts():
    two = ["function a() {\n  b();\n}", "function c() {\n  d();\n}", "const x = 1;\nconst y = 2;"]
    assert [part for part, _ in units("\n".join(two), "js")] == two
    methods = [f"  add{k}(x) {{\n" + "    x += 1;\n" * 12 + "  }" for k in range(3)]
    long = "\n".join(["class A {", *methods, "}"])
    assert [part for part, _ in units(long, "js")] == ["class A {", *(method.strip() for method in methods)]


def test_what_is_quoted_below_a_signature_is_text():
    text = (
        "Hi Bob,\n\nno.\n\nBest,\nAda\n-- \nAda Lovelace\n\nOn Sun, May 2, 2024 at 9:00 AM Bob Brown\n<bob@b.example> wrote:\n"
    )
    text += "> Is it far? It is\n> Eve's.\n> -- \n> Bob\n\nFrom: Eve\nSent: Monday\n\nNo, it is near.\n\nThanks,\nit works.\n"
    found = units(text, "mail")
    assert [part for part, kind in found if not kind.endswith("#")] == [
        *("Hi Bob,", "no.", "Is it far?", "It is\n> Eve's.", "No, it is near.", "it works.")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "- [aduh95](https://a.example) -\n  **Antoine du Hamel** `a@a.example` (he/him)",
        "Each value is a probability between\n0.0 and 1.0 as `p`.",
        "This is still\n*not* a pattern for them.",
        "Please visit the wiki page about\n[Common Build Problems](https://a.example)",
    ],
)
def test_a_line_break_in_markdown_is_a_space(text):
    assert [said for said, _ in units(text, "markdown")] == [text]


def test_a_rule_right_above_a_paragraph_is_no_part_of_it():
    assert units("========\nIt is `old`.\n\n====\n", "markdown") == [("It is `old`.", "paragraph")]
    assert units("a\n===\n\n$$\nx = 1\n$$", "markdown")[1] == ("$$\nx = 1\n$$", "paragraph")


def test_but_lines_of_a_list_are_its_items():
    tips = ["Sort the samples by place", "Show them as a tree", "Compare two files", "Ask `perf` for the rest of them"]
    assert [said for said, _ in units("\n".join(tips), "markdown")] == tips
    names = "The following have helped\nAda Lovelace, who wrote most of the engine and its tables\nin many years"
    assert len(units(names, "markdown")) == 1


@pytest.mark.parametrize("hard", ["  \n", "\\\n", "<br>\n"])
def test_but_a_hard_break_parts(hard):
    assert [said for said, _ in units(f"> The tower{hard}> Paris", "markdown")] == ["The tower", "Paris"]
    text = f"The tower was built in{hard}1889 by a{hard}company."
    assert [said for said, _ in units(text, "markdown")] == [text]  # it goes on


def test_a_line_that_a_decimal_begins_is_no_item():
    text = "It can work for about\n5.5 h in each tide, i.e. some eleven hours. It is old."
    assert [said for said, _ in units(text)] == [text[: text.index(" It is old")], "It is old."]


@pytest.mark.parametrize(
    "text",
    [
        "It was built in 1889.\n\fIt was built in 1889.\n",  # all that its page says
        "Yes\n\fYes\n\fYes\n",
        "built\n\n1889\n\nopened\n\n1890\n\npainted every seven years\n",
        "He was born in\n\n1889\n\nin the city.\n\n1890\n\nthen moved on.",
        "Page 4\n\nPage 5",
        "1 of 5\n\n2 of 5",
        "On which page?\n\nPage 4\n\nAnd then:\n\nPage 5\n\nWell.",
        "A receipt\n\nTea 2.80\n\nCake 4.20\n\nThank you.\n\nTotal    7",
        "Apples    3\n\nTea 2.80.\n\nCake 4.20.\n\nThank you.\n\nBye.",
        "One is.\n\nTwo is.\n\nThree is.\n\nFour is.\n\n[1]",
    ],
)
def test_a_number_or_a_line_again_that_may_be_text_is_text(text):
    assert [part for part, kind in units(text, "plain") if not kind.endswith("#")] == text.replace("\f", "\n").strip().split(
        "\n\n"
    )


@pytest.mark.parametrize(
    ("fact", "below"),
    [
        ("4/5 stars", "Cons: It is heavy."),
        ("Pros: light, cheap", "It is heavy."),
        ("Flight BA 123 departs at 9\n\nGate B12", "Please be on time."),
        ("The winner is\n\nGustave Eiffel", "He built the tower."),
        ("Total 10.50\n***", "Thank you for your visit."),
        ("The tower was built in 1889.\n----------", "It is tall."),
    ],
)
def test_a_fact_above_text_is_no_heading(fact, below):
    facts = fact.rstrip("*-\n").split("\n\n")
    assert units(f"{fact}\n\n{below}", "plain")[: len(facts)] == [(one, "paragraph") for one in facts]


@pytest.mark.parametrize(
    "title", ["2.1 Towers", "Chapter 3", "Part 2: The tower", "The siege of 1870", "THE TOWER", "Towers\n======"]
)
def test_a_title_above_text_is_a_heading(title):
    assert units(f"{title}\n\nIt is old.", "plain")[0] == (title.split("\n")[0], "heading#")


@pytest.mark.parametrize(
    "lines",
    [
        ["I came,", "I saw,", "I conquered,", "I left."],
        ["Dear John,", "thank you, and goodbye.", "Yours, Ann"],
        ["In May,it rained", "In June,it snowed", "In July,it hailed"],
        ["Opening hours;", "Monday to Friday 9-5;", "Saturday 10-2;", "Sunday closed;"],
        ["Left |", "Right |", "Up |"],
    ],
)
def test_lines_with_a_comma_are_no_table(lines):
    assert looks_like("\n".join(lines)) == "plain"
    assert not [kind for _, kind in units("\n".join(lines)) if kind.startswith("row")]


@pytest.mark.parametrize("header", ["id,Total price", "First name,Last name", "name,born,", "name;born"])
def test_names_above_cells_are_a_table(header):
    row = header.replace("Total price", "3").replace("name", "Ada").replace("born", "1815")
    assert units(f"{header}\n{row}\n{row}") == [(header, "row#"), (row, "row"), (row, "row")]


@pytest.mark.parametrize(
    "text",
    [
        "Date: 1889\nFrom: Paris\nHeight: 330 m\nThe tower is tall.",
        "De: la tour on voit Paris.\nÀ: gauche, la Seine.\nElle est belle.",
        "Place: Leeds\nDate: 3 May 2020\nTo: be confirmed\nFrom: 10 a.m.",
        "In 1889 Eiffel wrote:\n\n> It is done.\n\nCheers\nThe tower opened in May",
    ],
)
def test_words_of_mail_are_no_mail(text):
    assert looks_like(text) == "plain"
    assert all(not kind.endswith("#") for _, kind in units(text))


def test_what_follows_a_closing_and_is_no_name_is_text():
    text = "From: Eve\nSubject: Tea\n\nIt is old.\n\nCheers\nEve de Lay\n+44 113\nThe tower opened in May\nIt cost 8 million"
    assert looks_like(text) == "mail"
    assert [part for part, kind in units(text) if not kind.endswith("#")] == [
        "It is old.",
        "The tower opened in May",
        "It cost 8 million",
    ]


@pytest.mark.parametrize(
    "right",
    [
        ["We like cats; they sleep;", "We like dogs; they bark;", "We like birds; they sing;"],
        ["Let x = 3; y = 4;", "Then z = x + y;", "So z = 7;"],
        ["* The tower was built in 1889.", "* It is tall.", "* It is red."],
        ["SELECT the best wine.", "WHERE the sun shines.", "FROM France with love."],
        ["echo the answer", "set the table", "export the goods"],
    ],
)
def test_prose_with_words_or_marks_of_code_is_no_code(right):
    assert [part for part, kind in units("\n".join(right)) if kind != "code"] == right


@pytest.mark.parametrize(
    "lines",
    [
        ["2024-01-02 10:00:01 INFO a server started on port 8080", "2024-01-02 10:00:05 ERROR the disk is full"],
        ["Jan  2 10:00:01 host sshd[12]: session opened for user root", "Jan 12 10:00:05 host cron[3]: job started by root"],
        ["12/03/2024, 14:23 - Tom: <Media omitted>", "12/03/2024, 14:25 - Tom: Nope"],
        ["drwxr-xr-x  21 root root   4096 Nov 29 11:25 docs", "-rw-r--r--   1 root root  37486 Nov 29 00:29 README_old.md"],
        ["f(x) = 2x + 1", "g(x) = f(x) - 1"],
        ["$ ls -la", "$ git status"],
        [
            "2024-01-02T10:00:01.1Z INFO a - Started. Ready",
            "2024-01-02T10:00:05.2Z ERROR a - It failed.\nio.Error: timeout\n\tat a.B.run(B.java:28)\n\t... 14 more",
            "Jan  2 10:00:01 host sshd[12]: Opened for root. Closed",
            '10.1.2.3 - - [02/Mar/2026:08:11:02 +0000] "GET /a. B HTTP/1.1" 200 12 "-" "curl/8.1 (X11. Linux)"',
            "[WARN] 10:00:07 The disk is full. Stop",
        ],
        ["anna  8:11 AM\nDid it finish?", "I see it on my screen.", "ben  8:13 AM\nrolled back v2.3.1", "Eva Maria 9:02\nThx!"],
    ],
)
def test_an_entry_of_a_log_or_a_chat_is_a_source(lines):
    assert [part for part, kind in units("\n".join(lines), "plain") if not kind.endswith("#")] == lines


@pytest.mark.parametrize(
    "text",
    [
        "The closing tag is </think>\nand the tower is 330 m tall.",
        "Models write <think>\nand </think>\naround it.",
        "It is written </think>",
    ],
)
def test_a_mark_of_reasoning_that_ends_a_line_in_passing_is_text(text):
    assert units(text, "answer") == [(text, "paragraph")]


def test_a_reasoning_inside_a_reasoning_is_part_of_it():
    found = units("<think>outer <think>inner</think> still. </think>It is 42.", "answer")
    assert [part for part, kind in found if not kind.endswith("#")] == ["It is 42."]


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("#include <a.h>\n\n/* Prose of a remark.\n * More of it.\n * And more. */\n#define A 1\n\nint f(int a);\n", "code"),
        ("const a = require('a')\n\nmodule.exports = {\n  run: async () => {\n    await a.go()\n  },\n}\n", "code"),
        ("body {\n  color: #fff;\n  margin: 0;\n}\n", "code"),
        ("import os\n\nX = 1\n\n\ndef f(a):\n    x = a\n    return os.path.join(a,\n", "code"),
        ("Traceback (most recent call last):\n  File 'a.py', line 3\n    f()\nValueError: no. Not so.\n", "code"),
        ("Error: no. Not so.\n    at f (a.js:3:1)\n    at g (a.js:4:1)\n", "code"),
        ("Usage of `f`:\n\n```js\nconst a = 1;\nf(a);\nf(a);\n```\n\nAnd so on.\n", "markdown"),
        ("foo (1.2) unstable; urgency=low\n\n  * Fix f() in a.c.\n  * Close != bug.\n  * Drop a->b.\n\n -- A. B.\n", "plain"),
        ("f(x) = 2x + 1\ng(x) = f(x) - 1\nh(x) = g(x)\n", "plain"),
        ("@ann hello there\n@bob how are you (fine)?\n@ann good => bye\n", "plain"),
        ("We like cats; they sleep;\nWe like dogs; they bark;\nWe like birds; they sing;", "plain"),
        ("M. Dupont est là.", "plain"),
    ],
)
def test_code_is_known_by_most_of_its_lines(text, format):
    assert looks_like(text) == format


def test_a_shell_s_commands_are_code_each_with_what_it_prints():
    assert units("$ ls -a\ntotal 4. So.\n$ cat a\nIt is. Yes.") == [
        ("$ ls -a\ntotal 4. So.", "code"),
        ("$ cat a\nIt is. Yes.", "code"),
    ]


def test_names_with_initials_are_no_items():
    assert units("M. Dupont est là.") == [("M. Dupont est là.", "paragraph")]
    assert [kind for _, kind in units("A. Smith, B. Jones and C. Hale wrote it.")] == ["paragraph"]
    assert [kind for _, kind in units("A. It is old.\nB. It is red.")] == ["item", "item"]


@pytest.mark.parametrize("format", ["answer", "markdown", None])
def test_a_tag_that_a_sentence_names_is_part_of_it(format):
    text = "<p> stands for price here. Cost is <p> plus tax. End </p> of story."
    right = ["<p> stands for price here.", "Cost is <p> plus tax.", "End </p> of story."]
    assert [part for part, _ in units(text, format)] == right


def test_marks_of_reasoning_in_any_case_and_of_an_answer_alone():
    right = [("I think.", "paragraph#"), ("It is 42.", "paragraph")]
    assert units("<THINK>I think.</Think>It is 42.") == units("<Think>\nI think.\n</Think>\nIt is 42.") == right
    assert units("<answer>It is 42.</answer>", "answer") == right[1:]


def test_what_takes_no_room_is_at_no_end_of_a_source():
    assert [part for part, _ in units("\ufeff\ufeffIt is.\u200b")] == ["It is."]


def test_thai_and_lao_are_cut_at_spaces_that_part_clauses():
    text = "สะพานเก่าสร้างขึ้นในปี 1889 โดยวิศวกรชาวฝรั่งเศส สะพานนี้ยาว 300 เมตร และกว้าง 12 เมตร"
    assert [part for part, _ in units(text)] == [text[: text.index(" สะพานนี้")], text[text.index("สะพานนี้") :]]
    assert len(units("ผมไปตลาด ผมซื้อปลา แล้วผมก็กลับบ้าน")) == 1


RST = """|Logo| |Build|

====
Lib
====

.. contents:: Table
   :backlinks: top

.. |Logo| image:: a.png
   :alt: Logo

.. note:: Read this first. It is
   short.

   And more.

.. figure:: a.png
   :width: 3

   A caption of it.

:Author: Ann

Call ./it so::

    x = 1

    y = 2

Then go on [1]_.

>>> f(1)
'One. Two.'

.. code-block:: python
   :linenos:

   def f(x):
       return x

.. [1] A note.

.. _here: http://a.example
.. A comment. Long.
   More of it.

The end.
"""


def test_restructured_text():
    assert looks_like(RST) == "rst"
    assert units(RST) == [
        ("Lib", "heading#"),
        ("Read this first.", "paragraph"),
        ("It is\n   short.", "paragraph"),
        ("And more.", "paragraph"),
        ("A caption of it.", "paragraph"),
        (":Author: Ann", "row"),
        ("Call ./it so::", "paragraph"),
        ("x = 1", "code"),
        ("y = 2", "code"),
        ("Then go on [1]_.", "paragraph"),
        (">>> f(1)\n'One. Two.'", "code"),
        ("def f(x):\n       return x", "code"),
        ("[1] A note.", "item"),
        ("The end.", "paragraph"),
    ]
    assert units(".. code::", "rst") == units("..", "rst") == units("\n\n", "rst") == units(":orphan:\n", "rst") == []
    assert units("#. Salt\n#. Oil", "rst") == [("#. Salt", "item"), ("#. Oil", "item")]
    assert units("Call::\n\n   x. Y.", "rst") == [("Call::", "paragraph"), ("x. Y.", "code")]


def test_a_list_of_links_alone_is_contents():
    page = "# Arn\n\n- [History](#history)\n- [The mast](#mast)\n  * [Its height](#height)\n\nThe mast was built in 1932.\n"
    found = cut(page, "sentences", "markdown")
    assert [page[a:b] for (a, b), q in zip(found.spans, found.quotable, strict=True) if q] == ["The mast was built in 1932."]
    assert found.blocks.count("furniture") == 3
    told = page.replace("- [The mast](#mast)", "- [The mast](#mast) stands on a hill")
    assert cut(told, "sentences", "markdown").blocks.count("item") == 3
    alone = "- [History](a)\n- [Mast](b)\n- [Hill](c)\n"
    assert cut(alone, "sentences", "markdown").quotable.all()


MANUAL = """LS(1)                            User Commands                           LS(1)

NAME
       ls - list directory contents

DESCRIPTION
       List  information  about  the FILEs (the current directory by default).
       Sort them.

       -l     use a long listing format

       -a     all

SEE ALSO
       dircolors(1)

GNU coreutils 9.1               September 2022                           LS(1)
"""


def test_a_manual_s_heads_and_feet_are_none_of_it_and_its_options_no_headings():
    assert units(MANUAL) == [
        ("NAME", "heading#"),
        ("ls - list directory contents", "paragraph"),
        ("DESCRIPTION", "heading#"),
        ("List  information  about  the FILEs (the current directory by default).", "paragraph"),
        ("Sort them.", "paragraph"),
        ("-l     use a long listing format", "paragraph"),
        ("-a     all", "paragraph"),
        ("SEE ALSO", "heading#"),
        ("dircolors(1)", "paragraph"),
    ]
    assert units(MANUAL * 2) == units(MANUAL) * 2
    long = "       --long\n           Give the output in a long form, which says more.  Implies\n           --dry-run.\n"
    assert [said for said, _ in units(long)][-1] == "Implies\n           --dry-run."


LATEX = r"""% A comment
\documentclass[11pt]{article}
\usepackage{amsmath} % more
\newcommand{\R}{\mathbb{R}}
\title{On Towers: \emph{A} Study}
\author{Ann Okoro \and Ben}
\begin{document}
\maketitle
\begin{abstract}
The tower is tall. It was built
in 1889~\cite{eiffel}.
\end{abstract}

\section{Introduction}\label{sec:intro}
\noindent We show that $x = 1. y$ holds (see Fig.~3). Then
50\% of it is wet. % a remark
\label{p:a}
In the end we have
\begin{equation}\label{eq:a}
  E = mc^2.
\end{equation}
where $m$ is the mass.

``Is it true?'' he asked. ``No.''

\begin{itemize}
  \item First one. Second.
  \item[b)] Another one.
\end{itemize}
\begin{figure}[ht]
  \centering
  \includegraphics[width=\textwidth]{a.png}
  \caption{The tower. It is \textbf{tall}.}
  \label{fig:a}
\end{figure}
\begin{table}
\begin{tabular}{l|r}
\hline
Item & Price \\
\hline
Tea & 3 \\[2pt]
Cake & 4 \\ \hline
\end{tabular}
\end{table}
\begin{verbatim}
def f(): return 1
\end{verbatim}
\begin{comment}
Not seen.
\end{comment}
\vspace{1em}
\bibliographystyle{plain}
\begin{thebibliography}{9}
\bibitem{a} Ann Okoro. \emph{Towers}. 1999.
\end{thebibliography}
\end{document}
Nothing here.
"""

ORG = """#+TITLE: On towers
#+AUTHOR: Ann
* TODO Introduction :tag:
  SCHEDULED: <2024-01-01>
  :PROPERTIES:
  :ID: 12
  :END:
The tower is tall. It was built
in 1889.
# A comment. Two.
- First one. Two.
- [ ] Second
#+CAPTION: A table of it.
| Item | Price |
|------+-------|
| Tea  | 3     |
| Cake | 4     |
#+BEGIN_SRC python :results output
def f():
    return 1
#+END_SRC
#+begin_quote
It is so. Yes.
#+end_quote
: literal text
-----
[fn:1] A note.
"""

ASCIIDOC = """= On towers
Ann Okoro <a@b.example>
:toc: left
:icons: font

== Introduction

The tower is tall. It was built
in 1889.

NOTE: Take care. It is high.

.A listing
[source,python]
----
def f():
    return 1
----

* One. Two.
** Deeper
. Numbered

image::a.png[A tower]

[cols="1,2", options="header"]
|===
|Item |Price

|Tea |3
|Cake
|4
|===

// comment. two
====
Example here. Two.
====
"""

PATCH = r"""From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Ann Okoro <ann@a.example>
Date: Mon, 6 May 2024 10:00:00 +0000
Subject: [PATCH] Fix the tower

The tower was wrong. It is
right now.

Signed-off-by: Ann <a@a.example>
---
 a.py | 3 ++-
 b.py | 1 +
 2 files changed, 3 insertions(+), 1 deletion(-)
 create mode 100644 b.py

diff --git a/a.py b/a.py
index 83db48f..bf269f4 100644
--- a/a.py
+++ b/a.py
@@ -1,4 +1,5 @@ def f():
 import os
-x = 1
+x = 2
+-- y
 w
 z
diff --git a/b.py b/b.py
new file mode 100644
--- /dev/null
+++ b/b.py
@@ -0,0 +1 @@
+b = 1
\ No newline at end of file
"""
PATCH += "-- \n2.39.2\n"

TABLES = """Title
=====

+-------+-------+
| Item  | Price |
+=======+=======+
| Tea   | 3     |
| green |       |
+-------+-------+
| Cake  | 4     |
+-------+-------+

The end. Yes.

=====  =====
Item   Price
=====  =====
Tea    3
       more
Cake   4
=====  =====

.. note:: It is so. Yes.

====  ====
a     b
c     d
====  ====
"""


def cited(text, format=None):
    """What can be quoted."""
    return [part for part, kind in units(text, format) if not kind.endswith("#")]


def test_of_latex_what_is_printed():
    assert looks_like(LATEX) == "latex"
    assert cited(LATEX) == [
        "The tower is tall.",
        "It was built\nin 1889~\\cite{eiffel}.",
        "We show that $x = 1. y$ holds (see Fig.~3).",
        "Then\n50\\% of it is wet.",
        "In the end we have",
        "E = mc^2.",
        "where $m$ is the mass.",
        "``Is it true?'' he asked.",
        "``No.''",
        "First one.",
        "Second.",
        "[b)] Another one.",
        "The tower.",
        "It is \\textbf{tall}.",
        "Tea & 3",
        "Cake & 4",
        "def f(): return 1",
        "Ann Okoro. \\emph{Towers}. 1999.",
    ]
    assert [part for part, kind in units(LATEX) if kind == "heading#"] == ["On Towers: \\emph{A} Study", "Introduction"]
    assert cited("A tower. \\begin{table} It is \\emph{tall. And} old.", "tex") == ["A tower.", "It is \\emph{tall. And} old."]


def test_of_org_mode_what_is_said():
    assert looks_like(ORG) == "org"
    assert cited(ORG) == [
        "The tower is tall.",
        "It was built\nin 1889.",
        "- First one.",
        "Two.",
        "- [ ] Second",
        "A table of it.",
        "| Tea  | 3     |",
        "| Cake | 4     |",
        "def f():\n    return 1",
        "It is so.",
        "Yes.",
        ": literal text",
        "[fn:1] A note.",
    ]
    assert cited("#+BEGIN_SRC\nf(1)\n\n: a\n", "org") == ["f(1)", ": a"]


def test_of_asciidoc_what_is_said():
    assert cited(ASCIIDOC, "adoc") == [
        "Ann Okoro <a@b.example>",
        "The tower is tall.",
        "It was built\nin 1889.",
        "NOTE: Take care.",
        "It is high.",
        "def f():\n    return 1",
        "* One.",
        "Two.",
        "Deeper",
        "Numbered",
        "|Tea |3",
        "|Cake",
        "|4",
        "Example here.",
        "Two.",
    ]


def test_of_a_patch_its_hunks_and_what_is_said_of_it():
    assert looks_like(PATCH) == looks_like(PATCH[PATCH.index("diff") :]) == "diff"
    assert cited(PATCH) == [
        "The tower was wrong.",
        "It is\nright now.",
        "Signed-off-by: Ann <a@a.example>",
        "import os\n-x = 1\n+x = 2\n+-- y\n w\n z",
        "+b = 1",
    ]
    long = "@@ -1,2 +1,42 @@\n a\n" + "+b\n" * 20 + "+\n" + "+c\n" * 19 + " d\n"
    assert cited(long, "patch") == ["a", ("+b\n" * 20).strip(), ("+c\n" * 19).strip(), "d"]


def test_tables_of_restructured_text_are_rows():
    assert units(TABLES, "rst") == [
        ("Title", "heading#"),
        ("| Item  | Price |", "row#"),
        ("| Tea   | 3     |\n| green |       |", "row"),
        ("| Cake  | 4     |", "row"),
        ("The end.", "paragraph"),
        ("Yes.", "paragraph"),
        ("Item   Price", "row#"),
        ("Tea    3\n       more", "row"),
        ("Cake   4", "row"),
        ("It is so.", "paragraph"),
        ("Yes.", "paragraph"),
        ("a     b", "row"),
        ("c     d", "row"),
    ]


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("\\title{", "latex"), ("\\begin{tabular}{", "latex"), ("$$ a", "latex"), ("{{a}", "latex"),
        ("#+BEGIN_SRC\n", "org"), (":a:\n", "org"), ("== ==\na b\n", "rst"), ("|===\n", "asciidoc"), ("@@ -1 +1 @@\n", "diff"),
    ],
)  # fmt: skip
def test_time_of_marks_that_never_close_does_not_grow_with_the_square_of_the_length(text, format):
    started = time.process_time()
    cut(text * (100_000 // len(text)), format=format)
    assert time.process_time() - started < 6


def test_a_long_class_is_its_docstring_its_values_and_its_methods():
    docs = '    """' + "What it is.\n" * 30 + '    """'
    methods = [
        '    def f(self):\n        """It is f."""\n        return 1',
        "    @property\n    def g(self):\n        return 2",
    ]
    text = "\n\n".join(["class A:\n" + docs, "    a = 1\n    b = 2", *methods])
    assert [part for part, _ in units(text, "py")] == ["class A:\n" + docs, "a = 1\n    b = 2", *map(str.strip, methods)]
    values = "\n\n".join(["class A:\n    a = 1", *(f"    b{k} = {k}" for k in range(40))])
    assert len(units(values, "py")) == 41


@pytest.mark.parametrize(
    "said",
    [
        *(
            "Sure!",
            "Great question!",
            "I hope this helps 😊",
            "Let me know if you'd like more details.",
            "Natürlich!",
            "¡Claro!",
        ),
        *("If you have any other questions, feel free to ask!", "Would you like to know more?", "希望对您有所帮助！"),
    ],
)
def test_what_an_assistant_says_around_its_answer_is_no_claim(said):
    text = f"{said}\n\nThe canal opened in 1914."
    found = cut(text, "sentences", "answer")
    assert [text[a:b] for a, b in found.spans[found.quotable]] == ["The canal opened in 1914."]


@pytest.mark.parametrize(
    "said",
    ["Sure, it opened in 1914.", "Great Britain ruled it.", "Hope is a town.", "OK Computer is an album.", "He asked: “Why?”"],
)
def test_what_begins_as_talk_may_claim(said):
    assert cut(said, "sentences", "answer").quotable.all()
