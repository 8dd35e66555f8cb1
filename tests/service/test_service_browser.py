"""The service's page in a real browser: light, dark and on a phone, and that a form can be sent."""

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")

from tests.report.test_browser import browser, colour, contrast, style
from tests.service.serving import serving

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.slow


@pytest.fixture
def visit(browser, tiny):
    with serving(tiny) as served:
        contexts = []

        def visit(width=1280, scheme="light"):
            viewport = {"width": width, "height": 800}
            contexts.append(browser.new_context(java_script_enabled=False, viewport=viewport, color_scheme=scheme))
            opened = contexts[-1].new_page()
            opened.goto(f"http://127.0.0.1:{served.port}/")
            return opened

        yield visit
        for context in contexts:
            context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_can_be_read(visit, width, scheme):
    opened = visit(width, scheme)
    opened.locator("summary").click()
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    card = colour(style(opened, ".column", "backgroundColor"))
    for selector in ("label", "textarea", "summary", "button.first", "button:not(.first)", ".reading", "small"):
        *fill, alpha = colour(style(opened, selector, "backgroundColor"))
        behind = [alpha * over + (1 - alpha) * under for over, under in zip(fill, card, strict=False)]
        assert contrast(colour(style(opened, selector, "color")), behind) >= 4.5, selector


def test_a_form_is_filled_by_its_labels_sent_and_answered(visit):
    opened = visit()
    opened.get_by_label("Document 1", exact=True).fill("The canal is long. It has locks.")
    opened.get_by_label("Document 2", exact=True).fill("It opened in 1914.")
    opened.get_by_label("Question", exact=True).fill("When?")
    opened.get_by_label("Answer", exact=True).fill("It opened in 1914 [2].")
    opened.get_by_label("Quick: a first look").check()
    opened.get_by_role("button", name="Check the answer's marks").click()
    assert "1 of 1 markers hold" in opened.inner_text("body")
    opened.go_back()
    assert opened.get_by_label("Question", exact=True).input_value() == "When?"
    opened.get_by_role("button", name="Where does it come from?").click()
    assert opened.locator("#s2").inner_text() == "It opened in 1914."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_was_wrong_is_said_and_nothing_is_lost(visit, scheme):
    opened = visit(scheme=scheme)
    opened.get_by_label("Document 1", exact=True).fill("The canal is long.")
    opened.get_by_role("button", name="Where does it come from?").click()
    alert = opened.get_by_role("alert")
    assert alert.inner_text().startswith("The query is empty")
    ground = colour(style(opened, "body", "backgroundColor"))[:3]
    assert contrast(colour(style(opened, "[role=alert]", "color")), ground) >= 4.5
    assert opened.get_by_label("Document 1", exact=True).input_value() == "The canal is long."
