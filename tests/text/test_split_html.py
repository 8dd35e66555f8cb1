"""HTML and Markdown as people have them: no text that a reader sees is lost, and what no reader would cite is no source."""

import random
import re
import time
import timeit

import pytest
from lxml import html as lxml_html
from markdown_it import MarkdownIt

from llmattr.text.readers.html import from_html
from llmattr.text.split import cut
from llmattr.text.split.formats import looks_like


def units(text, format=None):
    """What is cut, and a # before what cannot be quoted."""
    found = cut(text, format=format)
    return [("" if quotable else "#") + text[a:b] for (a, b), quotable in zip(found.spans, found.quotable, strict=True)]


@pytest.mark.parametrize(
    ("page", "right"),
    [
        ("<p>If n<5 then it is wet. Second sentence.</p>", ["If n<5 then it is wet.", "Second sentence."]),
        ("<p>If a<b then c is wet. More is dry. And c>d.</p>", ["If a<b then c is wet.", "More is dry.", "And c>d."]),
        ("<p>Tom & Jerry. R&D is old. Q > 3. Z.</p>", ["Tom & Jerry.", "R&D is old.", "Q > 3.", "Z."]),
        ("<p>p < 0.05 in one. It was large. It had p > 0.1</p>", ["p < 0.05 in one.", "It was large.", "It had p > 0.1"]),
        ("<p>One <b then two. Three.</p><p>Four.</p>", ["One <b then two.", "Three.", "Four."]),
        ('<p>One <a href="x then. Two.</p><p>Four.</p>', ['One <a href="x then.', "Two.", "Four."]),
        ("<p>The <script> tag runs it. Next.</p><p>Last.</p>", ["The <script> tag runs it.", "Next.", "Last."]),
        ("<p>See <http://a.example/b>. Or <a@b.example>.</p>", ["See <http://a.example/b>.", "Or <a@b.example>."]),
        ("<!-- never closed. Two. <p>One.</p>", ["<!-- never closed.", "Two.", "One."]),
        ("<nav>Menu<p>All of the page.</p>", ["Menu", "All of the page."]),
        ("<ul>Loose.<li>a<li>b</ul>", ["Loose.", "a", "b"]),
        ("<table>Loose.<tr><td>a<td>b<tr>Stray.<td>c</table>", ["Loose.", "<td>a<td>b", "Stray.", "c"]),
        ("<main><header>By A.</header><p>One.</p></main><footer>Us</footer>", ["#By A.", "One."]),
        ("<h1>Title</h1>The tail of it.", ["#Title", "The tail of it."]),
        ("<p>One.</body></html><p>Two.", ["One.", "Two."]),
        ("<div hidden>a<p>b</p></div><p hidden>c</p><p style='display: none'>d</p><p>Seen.</p>", ["Seen."]),
        ("<p>Seen.<script>f('</p>. B.')</script></p><button>Copy</button>", ["Seen."]),
        ("<p>&nbsp;</p><p>&#8212;</p></div> Fourth.", ["Fourth."]),
        ("<p>Press <button>OK</button> to go. Then wait.</p>", ["Press <button>OK</button> to go.", "Then wait."]),
        ('<p>Seen. <a href="#top">Back to top</a></p><p><a href="#x">back to top</a></p>', ["Seen."]),
        ('<li>A note. <a href="#fnref1">↩</a> <a href="#fnref1-2">↩<sup>2</sup></a></li>', ["A note."]),
        ("<p>Tall. <b aria-hidden=true>Built in 1889.</b></p>", ["Tall.", "<b aria-hidden=true>Built in 1889.</b>"]),
        (
            "Tall.<svg><title>A map</title><text>Paris 1889</text><text>The tower of Rome is old.</text></svg>",
            ["Tall.", "#Paris 1889", "The tower of Rome is old."],
        ),
        ("<p>See <svg><title>A link</title><path/></svg> here.", ["See <svg><title>A link</title><path/></svg> here."]),
        (
            "<p>330 m</p><i class=a-badge>Verified Purchase</i><p>It is good.",
            ["330 m", "#<i class=a-badge>Verified Purchase</i>", "It is good."],
        ),
        (
            "<p><i class=badge>New</i> It is good.</p><a class='btn btn-big' href=x>Read more</a>",
            ["<i class=badge>New</i> It is good.", "#<a class='btn btn-big' href=x>Read more</a>"],
        ),
        ("<p>It is good.</p><div role=button>Add to cart</div>", ["It is good."]),
        ("<button>How tall is the tower?</button>", ["<button>How tall is the tower?</button>"]),
        ("<dl><dt>-q<dt>--quiet<dd>Be still. Now.<dt>x<dd><p>a.</dl>", ["-q<dt>--quiet<dd>Be still.", "Now.", "x<dd><p>a."]),
        (
            "<p>The <b>mast</b> was built<br>in <i>1932</i> by<br />the state. Now.",
            ["The <b>mast</b> was built<br>in <i>1932</i> by<br />the state.", "Now."],
        ),
        ("<p>The mast:<br>a foot<br>a hook<br>Of<br>Leeds", ["The mast:", "a foot", "a hook", "Of", "Leeds"]),
        ("<html><aside><p>Recent</aside><form><label>Search</label></form><main><p>One.<aside>Two.", ["One.", "Two."]),
        (
            "<label>Your name</label><input><p>One.<label>I have read all of it.</label>",
            ["#<label>Your name</label>", "One.", "<label>I have read all of it.</label>"],
        ),
        ("<form><h2>Title</h2><p>One.</form><aside>Two.</aside>", ["#Title", "One.", "Two."]),
        ("<b><img>It is old. <i>So</i> it was.</b>", ["<b><img>It is old.", "<i>So</i> it was.</b>"]),
    ],
)
def test_what_is_seen_of_a_page_is_a_source_and_nothing_else(page, right):
    assert units(page, "html") == right


@pytest.mark.parametrize(
    "text",
    [
        "<p align=center>\n<img src=x>\n</p>\n\n# Title\n\n> **Note**\n> Watch out.\n\nAfter text.\n\n- item",
        '<div align="center">\n\n# Title\n\n</div>\n\n> **Note**\n> Watch out.\n\nAfter text.\n\n- item',
        "<p align=center>\n\n# Title\n\n> **Note**\n> Watch out.\n\nAfter text.\n\n- item\n\n</p>",
    ],
)
def test_markdown_that_begins_with_html_is_markdown(text):
    assert looks_like(text) == "markdown"
    assert units(text) == ["## Title", "**Note**", "Watch out.", "After text.", "- item"]


@pytest.mark.parametrize(
    "text", ["<p>One.</p>\n\n<p>Two.</p>", "<div>\n\n    <p>One.</p>\n\n</div> Two.", "<!doctype html>\n\n# x</p>"]
)
def test_a_page_is_html(text):
    assert looks_like(text) == "html"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('<a name="x"></a>\n\n&nbsp;\n\nText.\n\n<br>\n\n[Back to top](#top)\n\n**[⬆ back to top](#a)**', ["Text."]),
        (":::note\nTake care. Now.\n:::\n\n:::tip A title\n- a\n:::", ["Take care.", "Now.", "#:::tip A title", "- a"]),
        ('!!! note\n    Take care.\n\n!!! tip "A title"\n    Go.', ["Take care.", '#!!! tip "A title"', "Go."]),
        ("> [!NOTE]\n> Take care. Now.", ["Take care.", "Now."]),
        ("[^1]: It is old. [↩](#fnref1)\n\nA note. ↩ 1 2 3\n", ["[^1]: It is old.", "A note."]),
        ("- `<p>`\n- `&nbsp;`", ["- `<p>`", "- `&nbsp;`"]),
        ("p <b in one. It had c> d.", ["p <b in one.", "It had c> d."]),
    ],
)
def test_what_is_seen_of_markdown_is_a_source_and_nothing_else(text, right):
    assert units(text, "markdown") == right


@pytest.mark.parametrize("rule", ["|--|--|", "|-|-|", "|:-:|-|", "-- | --"])
def test_a_table_may_have_a_rule_of_any_length(rule):
    assert units(f"Text.\n\n| a | b |\n{rule}\n| 1 | 2 |") == ["Text.", "#| a | b |", "| 1 | 2 |"]


@pytest.mark.parametrize("depth", [10, 60, 300])
def test_no_list_is_too_deep(depth):
    text = "".join(f"{'  ' * i}- item w{i}\n" for i in range(depth))
    found = " ".join(units(text, "markdown"))
    assert all(re.search(rf"w{i}\b", found) for i in range(depth))


def test_words_in_bold_between_paragraphs_are_a_heading():
    text = "It is a dam.\n\n**Setup**\n\nFill it.\n\n**42**"
    assert units(text, "markdown") == ["It is a dam.", "#**Setup**", "Fill it.", "**42**"]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("**Paris**", None),
        ("**Paris**\n\nIt is old.", None),
        ("## Capital\n\n**Paris**\n\nIt is old.", None),
        ("Which?\n\n**Paris**\n\nIt is old.", None),
        ("It is a town.\n\n**Paris**\n\nIt is old.", "answer"),
    ],
)
def test_an_answer_in_bold_is_no_heading(text, how):
    assert "**Paris**" in units(text, how)


def least_seconds(text, format):
    """Of three times, since another process may slow one down."""
    return min(timeit.repeat(lambda: cut(text, format=format), timer=time.process_time, repeat=3, number=1))


@pytest.mark.parametrize("unit", ["<b>", "<b ", "<!--", "<script>", '<a href="#">', "<td><li>", "<td>a</td>", "<td>a"])
def test_time_grows_with_the_length_of_a_page(unit):
    def seconds(n):
        return least_seconds("<table><tr><td><p>a" + unit * n, "html")

    assert seconds(8_000) < 24 * seconds(1_000) + 0.3  # 8 times in linear time, 64 in quadratic


@pytest.mark.parametrize("format", ["markdown", "html", "plain", "code", None])
@pytest.mark.parametrize("parts", ["|a", "a|b", "`a|b`", "- a|b\n- c", "f()|b;"])
def test_time_grows_with_the_length_of_a_run_of_spaces(parts, format):
    def seconds(n):
        return least_seconds(parts.replace("|", " " * n), format)

    assert seconds(16_000) < 8 * seconds(4_000) + 0.3  # 4 times in linear time, 16 in quadratic


TAGS = ("p", "div", "b", "i", "em", "a", "li", "ul", "ol", "td", "tr", "table", "h2", "span", "blockquote", "code", "sup", "dt")
SOUP = [
    *(f"<{tag}>" for tag in TAGS),
    *(f"</{tag}>" for tag in TAGS),
    *('<p class="a">', "<a href='#x'>", "<br/>", "<img alt=x>", "<td colspan=2>", "<foo>", "</foo>", "<b", '<a href="', "</"),
    *("<", ">", "&", "&amp;", "&nbsp;", "&lt;b&gt;", "<5", "< ", " - ", "\n\n", "\n", "\n- ", "\n1. ", "\n> ", "**", "`"),
    *(
        "<script>var x = '</p>';</script>",
        "<style>p {}</style>",
        "<!doctype html>",
        "<!-- c -->",
        "|",
        ". ",
        "? ",
        "    ",
        "\n\n# ",
    ),
]


def soup(seed):
    """Pieces of pages in any order, and between them words of which each stands once."""
    draw = random.Random(seed)
    pieces = [draw.choice(SOUP) if draw.random() < 0.6 else f" Wo{k}rd. " for k in range(draw.randint(3, 30))]
    return "".join(pieces)


def words(text):
    return re.findall(r"Wo\d+rd", text)


def seen_by_lxml(page):
    """The words that another reader of HTML sees."""
    if not page.strip():
        return []
    root = lxml_html.document_fromstring(f"<div>x{page}</div>")
    for silent in list(root.iter("script", "style")):
        silent.drop_tree()
    return words(root.text_content())


def test_every_word_that_is_seen_of_any_page_stands_in_one_source():
    for seed in range(1000):
        page = soup(seed)
        for how in ("html", None):
            found = words(" ".join(units(page, how)))
            assert len(found) == len(set(found))
            assert set(seen_by_lxml(page)) <= set(found), page
        read = words(from_html(page, "x").text)
        assert len(read) == len(set(read))
        assert set(seen_by_lxml(page)) <= set(read), page


def test_every_word_that_is_seen_of_any_markdown_stands_in_one_source():
    reader = MarkdownIt("commonmark").enable("table")
    for seed in range(1000):
        text = soup(seed)
        found = words(" ".join(units(text, "markdown")))
        assert len(found) == len(set(found))
        assert set(seen_by_lxml(reader.render(text))) <= set(found), text


@pytest.mark.parametrize("front", ["title: It. Is\ntags:\n  - a\n# b\nc: d", "a: 1", "a: 1\r"])
def test_front_matter_is_no_source_and_a_text_between_rules_is(front):
    assert units(f"---\n{front}\n---\n\nText.", "markdown") == ["Text."]
    assert units("+++\na = 1\n+++\nText.", "markdown") == ["Text."]
    assert units("---\n\nOne. Two.\n\n---\n\nText.", "markdown") == ["One.", "Two.", "Text."]
    assert units("---> One.\n\n---\n\nText.", "markdown") == ["---> One.", "Text."]


def test_no_quotation_is_too_deep():
    assert units(">" * 500 + " One. Two.", "markdown")[-1].endswith("Two.")


@pytest.mark.parametrize("text", [">```", ">~~~", ">[^1]:```", "> It is.\n>\n> ```", "- ```", "1. > ~~~\n"])
def test_a_fence_that_a_text_breaks_off_in_is_no_source(text):
    for how in ("markdown", "answer"):
        assert units(text, how) == ["It is."] * ("It is." in text)


@pytest.mark.parametrize(
    "sentences",
    [
        ["<div> is a tag that groups things.", "The </div> ends it."],
        ["<p> stands for price here.", "Cost is <p> plus tax.", "End </p> of story."],
        ["<table> opens what </table> ends.", "Both are tags, and so is </p> there."],
    ],
)
def test_a_tag_that_a_sentence_names_makes_no_page(sentences):
    assert units(" ".join(sentences)) == sentences


@pytest.mark.parametrize("page", ["<p> the tower.</p>\n<p> is tall.</p>", "<div> the tower. <p>is tall.</p></div>"])
def test_a_page_may_be_set_with_spaces_and_in_lower_case(page):
    assert units(page) == ["the tower.", "is tall."]


@pytest.mark.parametrize(
    ("text", "how", "right"),
    [
        ("The tower was built in 1889.\n----------\nIt is tall.", "markdown", ["The tower was built in 1889.", "It is tall."]),
        ("One. It is **two.**\n=====\nThree.", "markdown", ["One.", "It is **two.**", "Three."]),
        ("Why is it tall?\n-----\nIt is.", "markdown", ["#Why is it tall?", "It is."]),
        ("Intro.\n\n**Height: 330 m**\n\nNext text.", "markdown", ["Intro.", "**Height: 330 m**", "Next text."]),
        ("Intro.\n\n**Step 1: Go**\n\nNext text.", "markdown", ["Intro.", "#**Step 1: Go**", "Next text."]),
        ("# Paris", "answer", ["# Paris"]),
        ("1889\n====", "answer", ["1889"]),
        ("<think>\n# Plan\n\nHm.\n</think>\n\nParis\n---", "answer", ["## Plan", "#Hm.", "Paris"]),
        ("# Paris\n\nIt is old.", "answer", ["## Paris", "It is old."]),
        ("<think>\n# Plan\n\nHm.", "answer", ["## Plan", "#Hm."]),
    ],
)
def test_what_states_a_fact_is_no_heading(text, how, right):
    assert units(text, how) == right
