"""The page in a real browser (Debian's chromium): what is lit, phone width, dark mode, and that nothing runs."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from llmattr.components.features.looking import Example, Looked
from llmattr.core.sources import Document
from llmattr.curation.curate import curate
from llmattr.model.lm import LM
from llmattr.report.curation_page import page as curation_page
from llmattr.report.feature import page as feature_page
from llmattr.report.html import frame, page
from tests.components.features.worlds import autoencoder
from tests.report.test_component_map import make as make_components
from tests.report.test_html import DOCUMENTS, QUERY, ROWS, make, make_tokens, make_trace
from tests.tiny_models import llama, tokenizer

pytestmark = pytest.mark.slow

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (group dev)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open an HTML text as a file; `scripts=False` switches the page's own scripts off (`evaluate` still works)."""
    contexts = []

    def show(html: str, scripts: bool = False, width: int = 1280, scheme: str = "light"):
        path = Path(tmp_path, "page.html")
        path.write_text(html, encoding="utf-8")
        viewport = {"width": width, "height": 800}
        contexts.append(browser.new_context(java_script_enabled=scripts, viewport=viewport, color_scheme=scheme))
        opened = contexts[-1].new_page()
        opened.goto(path.as_uri())
        return opened

    yield show
    for context in contexts:
        context.close()


def style(opened, selector: str, name: str) -> str:
    return opened.eval_on_selector(selector, f"e => getComputedStyle(e)['{name}']")


def colour(css: str) -> list[float]:
    """Red, green, blue (0-255) and alpha of a computed colour."""
    numbers = [float(number) for number in re.findall(r"[\d.]+", css.removeprefix("color(srgb"))]
    if css.startswith("color("):
        numbers = [255 * number for number in numbers[:3]] + numbers[3:]
    return numbers if len(numbers) == 4 else [*numbers, 1.0]


def choose(opened, target: int):
    opened.locator(f"a#t{target}, label:has(#t{target})").first.click()


def fills(opened) -> list[float]:
    """How strongly each of the four sources is lit."""
    return [colour(style(opened, f"#s{i}", "backgroundColor"))[3] for i in range(4)]


def test_choosing_a_sentence_lights_its_sources_and_no_others(show):
    opened = show(page(make()))
    first = fills(opened)
    assert first[2] == 0
    assert first[0] > first[3] > first[1] > 0  # scores 4, -2, and 1 that is not clear of its error
    red, _, blue, _ = colour(style(opened, "#s0", "backgroundColor"))
    assert blue > red
    red, _, blue, _ = colour(style(opened, "#s3", "backgroundColor"))
    assert red > blue

    choose(opened, 2)
    second = fills(opened)
    assert second[0] == second[3] == 0
    assert second[2] > second[1] > 0
    assert style(opened, "#s1", "textDecorationStyle") == "dotted"

    choose(opened, 0)
    whole = fills(opened)
    assert whole[0] > whole[2] > whole[3] > 0 == whole[1]


def test_only_the_chosen_sentence_has_its_list(show):
    opened = show(page(make()))
    visible = [opened.locator(f"#p{t}").is_visible() for t in range(4)]
    assert visible == [False, True, False, False]
    choose(opened, 3)
    visible = [opened.locator(f"#p{t}").is_visible() for t in range(4)]
    assert visible == [False, False, False, True]
    assert "No source is cited." in opened.locator("#p3").inner_text()


def test_the_keyboard_chooses_with_a_visible_focus(show):
    opened = show(page(make()))
    while not opened.evaluate("document.activeElement.id == 't2'"):
        opened.keyboard.press("Tab")
    assert style(opened, "#t2", "outlineStyle") == "solid"
    opened.keyboard.press("Enter")
    assert opened.locator("#p2").is_visible()
    assert fills(opened)[2] > 0


def long_documents():
    parts = [f"Line {i}.\n" for i in range(300)]
    documents = (Document("Cats purr. Cats sleep.", "short"), Document("".join(["Far", *parts]), "long"))
    values = np.zeros((4, 302))
    values[1, 300] = values[2, 5] = 3.0
    return make(documents=documents, values=values, stderr=None)


def long_parts():
    """A document of few sources, none folded, that is longer than the screen."""
    parts = [f"Line {i} of {'many words ' * 30}.\n" for i in range(30)]
    documents = (Document("Cats purr. Cats sleep.", "short"), Document("".join(parts), "long"))
    values = np.zeros((4, 32))
    values[1, 30] = values[2, 5] = 3.0
    return make(documents=documents, values=values, stderr=None)


@pytest.mark.parametrize("width", [390, 1280])
def test_choosing_a_sentence_brings_its_best_source_into_view_and_leaves_the_answer_there(show, width):
    opened = show(page(long_parts()), width=width)
    assert not in_view(opened, opened.locator("#s30"))
    choose(opened, 1)
    assert in_view(opened, opened.locator("#s30"))
    assert in_view(opened, opened.locator("#t1"))
    assert in_view(opened, opened.locator("#p1"))
    choose(opened, 2)
    assert in_view(opened, opened.locator("#s5"))


def test_the_mark_of_another_sentence_chooses_it(show):
    opened = show(page(make()))
    opened.locator("a.mark", has_text="[2]").first.click()
    assert opened.locator("#p2").is_visible()
    assert fills(opened)[2] > 0


def test_a_source_leads_back_to_its_sentence(show):
    opened = show(page(make()))
    opened.locator("article a.mark").last.click()
    assert opened.locator("#p2").is_visible()


def test_a_folded_document_opens(show):
    opened = show(page(long_documents()))
    assert not opened.locator("#s100").is_visible()
    opened.locator("label.all").click()
    assert opened.locator("#s100").is_visible()


def test_a_keyboard_needs_few_stops(show):
    opened = show(page(long_documents()), scripts=True)
    stops = "a[href], input, summary, [tabindex='0']"
    every = opened.eval_on_selector_all(stops, "all => all.filter(e => e.tabIndex >= 0 && e.checkVisibility()).length")
    assert every < 30


def in_view(opened, locator) -> bool:
    box = locator.bounding_box()
    return 0 <= box["y"] <= opened.viewport_size["height"]


def test_a_mark_leads_to_its_source_in_a_notebook(show):
    opened = show("<!doctype html><p>notebook</p>" + frame(make()), scripts=True)
    inner = opened.frames[1]
    inner.locator("#p1 .ranked a").first.click()
    inner.wait_for_url("about:srcdoc#c1s0")
    assert inner.locator("#s0:has(:target)").count() == 1


@pytest.mark.parametrize("width", [320, 390, 760, 1024])
def test_nothing_is_wider_than_the_screen(show, width):
    documents = (Document(f"Cats{'purr' * 90}. Cats sleep.", "c" * 90, "d" * 90), Document("Dogs bark. Rain.", "dogs"))
    opened = show(page(make(documents=documents, run={"model": "/very/long/path" * 20})), width=width)
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    answer, documents = (opened.locator("section").nth(i).bounding_box() for i in (0, 1))
    side_by_side = documents["x"] > answer["x"] + answer["width"]
    assert side_by_side == (width >= 760)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(show, scheme):
    opened = show(page(make()), scheme=scheme)
    ground = luminance(colour(style(opened, "body", "backgroundColor")))
    ink = luminance(colour(style(opened, "body", "color")))
    assert (ground < 0.05 and ink > 0.6) if scheme == "dark" else (ground > 0.8 and ink < 0.05)
    card = colour(style(opened, ".column", "backgroundColor"))
    for selector in (".reading", "dt", "#p1 a", "#p1 .scores", "#s0", "#s1", "#s2", "#s3", "#t1", "sup", "sup a"):
        *fill, alpha = colour(style(opened, selector, "backgroundColor"))
        behind = [alpha * over + (1 - alpha) * under for over, under in zip(fill, card, strict=False)]
        assert contrast(colour(style(opened, selector, "color")), behind) >= 4.5, selector


def luminance(colour: list[float]) -> float:
    """WCAG 2 relative luminance."""
    linear = [(c / 255 / 12.92) if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2 contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_script_in_the_context_does_not_run(show):
    evil = "<script>hacked=1</script><img src=x onerror='hacked=1'>"  # without a full stop: make() cuts there
    documents = (Document(f"Cats {evil} purr. Cats sleep.", evil, evil), Document("Dogs bark. Rain falls.", "dogs"))
    attribution = make(documents=documents, run={"model": evil})
    opened = show(page(attribution), scripts=True)
    assert opened.evaluate("window.hacked") is None
    assert opened.locator("script, img").count() == 0
    assert evil in opened.locator("article").first.inner_text()
    framed = show(frame(attribution), scripts=True).frames[1]
    assert framed.locator("script, img").count() == 0


def test_the_page_asks_for_nothing_and_reports_no_error(show):
    opened = show("", scripts=True)
    asked, said = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    Path(opened.url.removeprefix("file://")).write_text(page(make()), encoding="utf-8")
    opened.reload()
    assert asked == [opened.url]
    assert said == []


def test_print_shows_every_list(show):
    opened = show(page(make()))
    opened.emulate_media(media="print")
    assert all(opened.locator(f"#p{t}").is_visible() for t in range(4))


FILLER = "Lorem ipsum dolor sit amet. " * 100
LONG_ROW = f"{FILLER}\nThe capital of France is Paris.\n{FILLER}{'x' * 400}"


def many_queries(**changes):
    """Fifty queries with long prompts, long rows and long ids."""
    queries = [{"prompt": f"{'Long ' * 99}capital of land {i} is ", "completion": "Paris."} for i in range(50)]
    trace = make_trace([QUERY, *queries[1:]], [LONG_ROW, *ROWS], **changes)
    sources = dataclasses.replace(trace.sources, ids=["0123456789abcdef" * 8] * len(trace.sources))
    return dataclasses.replace(trace, sources=sources)


@pytest.mark.parametrize("width", [320, 390, 760, 1280])
def test_a_trace_is_never_wider_than_the_screen(show, width):
    for trace in (many_queries(), make_tokens("Trees are" * 50), make_tokens(tokens=("x" * 300, " y"))):
        opened = show(page(trace), width=width)
        assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        queries, rows = (opened.locator("section").nth(i).bounding_box() for i in (0, 1))
        assert (rows["x"] > queries["x"] + queries["width"]) == (width >= 760)
        assert queries["height"] < 700  # the list scrolls by itself


def test_choosing_a_query_shows_its_rows_and_stays_in_place(show):
    opened = show(page(many_queries()), width=390)
    assert [t for t in range(50) if opened.locator(f"#p{t}").is_visible()] == [0]
    before = opened.evaluate("window.scrollY")
    opened.locator("label:has(#t40)").scroll_into_view_if_needed()
    choose(opened, 40)
    assert [t for t in range(50) if opened.locator(f"#p{t}").is_visible()] == [40]
    assert opened.evaluate("window.scrollY") == before
    opened.keyboard.press("ArrowDown")
    assert opened.is_checked("#t41")
    assert style(opened, "label:has(#t41)", "outlineStyle") == "solid"


def test_one_query_needs_no_choice(show):
    opened = show(page(make_trace()))
    assert not opened.locator("section").first.is_visible()
    assert opened.locator("#p0").is_visible()
    assert opened.locator("section").nth(1).bounding_box()["width"] > 1100


@pytest.mark.parametrize("width", [390, 1280])
def test_choosing_a_token_shows_its_rows(show, width):
    opened = show(page(make_tokens()), width=width)
    for target in range(5):
        choose(opened, target)
        assert [t for t in range(5) if opened.locator(f"#p{t}").is_visible()] == [target]
    assert opened.locator("label:has(#t0)").bounding_box()["y"] < opened.locator("label:has(#t3)").bounding_box()["y"]


def test_a_long_row_opens_and_closes(show):
    opened = show(page(make_trace(rows=[LONG_ROW, "b"])))
    excerpt, whole = (opened.locator(".excerpt").nth(i) for i in (0, 1))
    assert excerpt.is_visible()
    assert not whole.is_visible()
    assert excerpt.bounding_box()["height"] <= 240
    opened.locator("summary").click()
    assert whole.is_visible()
    assert not excerpt.is_visible()
    assert whole.bounding_box()["height"] <= 420
    opened.locator("summary").click()
    assert excerpt.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_are_readable_and_differ(show, scheme):
    opened = show(page(make_trace([QUERY, QUERY])), scheme=scheme)
    card = colour(style(opened, ".column", "backgroundColor"))
    for selector in ("#p0 mark.strong", "#p0 mark.weak", ".legend", ".before", "#p0 .said", ".rank", ".scores", "label"):
        *fill, alpha = colour(style(opened, selector, "backgroundColor"))
        behind = [alpha * over + (1 - alpha) * under for over, under in zip(fill, card, strict=False)]
        assert contrast(colour(style(opened, selector, "color")), behind) >= 4.5, selector
    assert colour(style(opened, "mark.strong", "backgroundColor"))[3] == 1
    assert colour(style(opened, "mark.weak", "backgroundColor"))[3] == 0
    assert style(opened, "mark.weak", "textDecorationLine") == "underline"


def test_a_script_in_a_trace_does_not_run_and_nothing_is_asked_for(show):
    evil = "</mark></style><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    trace = make_trace([{"prompt": evil, "completion": evil}] * 2, [evil, evil + FILLER], run={"model": evil})
    opened = show("", scripts=True)
    asked, said = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    Path(opened.url.removeprefix("file://")).write_text(page(trace), encoding="utf-8")
    opened.reload()
    assert opened.evaluate("window.hacked") is None
    assert opened.locator("script, img").count() == 0
    assert (asked, said) == ([opened.url], [])


def test_a_title_is_a_link_to_the_web_alone_and_nothing_is_asked_for(show):
    cats, dogs = DOCUMENTS
    evil = {"title": "<script>window.hacked=1</script>", "url": "javascript:window.hacked=1", "page": "<img src=x>"}
    good = {"title": "On cats", "url": "https://example.org/cats?a=1&b=2", "page": 3}
    known = (dataclasses.replace(cats, metadata=good), dataclasses.replace(dogs, title=None, metadata=evil))
    opened = show("", scripts=True)
    asked = []
    opened.on("request", lambda request: asked.append(request.url))
    Path(opened.url.removeprefix("file://")).write_text(page(make(documents=known)), encoding="utf-8")
    opened.reload()
    choose(opened, 1)
    link = opened.locator("#p1 .ranked a[target]").first
    assert (link.inner_text(), link.get_attribute("href")) == ("On cats", good["url"])
    assert "On cats, p. 3" in opened.locator("#p1 .ranked li").first.inner_text()
    assert "<script>window.hacked=1</script>" in opened.locator("h3").last.inner_text()
    assert opened.eval_on_selector_all("a", "all => all.map(a => a.protocol)").count("javascript:") == 0
    assert opened.locator("script, img").count() == 0
    assert opened.evaluate("window.hacked") is None
    assert asked == [opened.url.partition("#")[0]]


def test_a_printed_trace_has_every_query_and_no_choices(show):
    opened = show(page(many_queries()))
    opened.emulate_media(media="print")
    assert all(opened.locator(f"#p{t} .asked").first.is_visible() for t in range(50))
    assert not opened.locator("section").first.is_visible()
    assert not opened.locator("summary").first.is_visible()


@pytest.mark.parametrize("width", [360, 760, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cell_of_the_map_shows_its_component_alone(show, width, scheme):
    opened = show(page(make_components()), width=width, scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.locator(".component:visible").count() == 0
    assert opened.locator("#p0 .hint").is_visible()
    cell = opened.locator("#p0 .map a").nth(5)
    cell.click()
    assert opened.locator(".component:visible").count() == 1
    assert in_view(opened, opened.locator("#c0-5"))
    assert style(opened, "#p0 .map a[href='#c0-5']", "outlineStyle") == "solid"
    assert style(opened, "#p0 .map a[href='#c0-4']", "outlineStyle") == "none"
    assert not opened.locator("#p0 .hint").is_visible()
    choose(opened, 1)
    assert [opened.locator(f"#p{t}").is_visible() for t in (0, 1)] == [False, True]
    card = colour(style(opened, ".column", "backgroundColor"))
    for selector in (".reading", "dt", ".legend", ".map th", ".score", ".ranked a", ".before", "#p1 .said"):
        assert contrast(colour(style(opened, selector, "color")), card) >= 4.5, selector


def test_colours_of_the_map_go_both_ways(show):
    opened = show(page(make_components()))
    red, _, blue, _ = colour(style(opened, "#p0 .map a[href='#c0-5']", "backgroundColor"))
    assert blue > red
    red, _, blue, _ = colour(style(opened, "#p0 .map a[href='#c0-7']", "backgroundColor"))
    assert red > blue
    nothing, page_ = (colour(style(opened, selector, "backgroundColor")) for selector in ("#p0 .map a[href='#c0-1']", "body"))
    assert nothing == pytest.approx(page_, abs=1)  # of 255


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_feature_is_read_on_a_phone_and_in_the_dark(show, width, scheme):
    words = ["The", " canal", " is", " 82", " kilometres", " long", "."] * 6
    codes = [0.0, 1.5, 0.0, 3.0, 0.0, 0.5, 0.0] * 6
    looked = Looked(7, 18, 420, [Example(0, words, codes)], [(3, 0.9), (1012, -0.2)])
    opened = show(feature_page(looked, autoencoder(1), LM.load((llama(), tokenizer()))), width=width, scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    colours = [
        opened.evaluate("i => getComputedStyle(document.querySelectorAll('.tokens span')[i]).backgroundColor", i)
        for i in (0, 1, 3)
    ]
    assert len(set(colours)) == 3  # nothing, half of the highest, the highest
    assert opened.locator(".near li").count() == 2


@pytest.mark.parametrize("width", [1280, 390])
def test_rows_of_a_training_set_stand_in_the_order_chosen_and_are_filtered(show, width):
    """Row 3 says what row 2 says and is contaminated; of the copies of 0 and 2 the second is the longer."""
    short, long = {"text": "The toll is blue."}, {"text": "The lamp of the old lighthouse burns oil and nothing else."}
    opened = show(curation_page(curate([short, short, long, long], [long])), width=width)
    opened.locator("label", has_text="says exactly what another row says").click()

    def rows() -> list[str]:
        seen = [row for row in opened.locator(".row").all() if row.is_visible()]
        return [row.inner_text() for row in sorted(seen, key=lambda row: row.bounding_box()["y"])]

    assert ["toll" in said for said in rows()] == [True, False]
    opened.get_by_label("longest first").check(force=True)
    assert ["toll" in said for said in rows()] == [False, True]
    opened.get_by_label("by place").check(force=True)
    opened.get_by_label("those of other kinds too").check(force=True)
    (one,) = rows()
    assert "also contaminated" in one
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
