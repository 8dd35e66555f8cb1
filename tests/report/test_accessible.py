"""The pages as axe-core judges them, on a wide screen and a phone, light and dark; where AXE names its axe.min.js."""

import os
from pathlib import Path

import numpy as np
import pytest

from llmattr.certainty.stability import stability
from llmattr.components.features.looking import Example, Looked
from llmattr.curation.curate import curate
from llmattr.model.lm import LM
from llmattr.report.curation_page import page as curation_page
from llmattr.report.feature import page as feature_page
from llmattr.report.html import page
from llmattr.report.stability import stability_page
from tests.components.features.worlds import autoencoder
from tests.report.test_browser import browser, show  # noqa: F401  (fixtures)
from tests.report.test_component_map import make as make_components
from tests.report.test_html import make, make_tokens, make_trace
from tests.report.test_origins import made
from tests.tiny_models import llama, tokenizer

pytestmark = pytest.mark.slow
ROWS = [{"text": "The toll is blue."}] * 2 + [{"text": "The lamp of the old lighthouse burns oil and nothing else."}] * 2
RUNS = [np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]]), np.array([[3.0, 0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0]])]
EXAMPLE = Example(0, ["The", " canal", " is", " long"], [0.0, 1.5, 0.0, 3.0])
PAGES = {
    "citation": lambda: page(make()),
    "components": lambda: page(make_components()),
    "curation": lambda: curation_page(curate(ROWS, ROWS[2:3])),
    "feature": lambda: feature_page(Looked(7, 2, 4, [EXAMPLE], [(3, 0.9)]), autoencoder(1), LM.load((llama(), tokenizer()))),
    "origins": lambda: made().html(),
    "stability": lambda: stability_page(stability(RUNS, k=2)),
    "trace": lambda: page(make_trace()),
    "trace of tokens": lambda: page(make_tokens()),
}


@pytest.fixture(scope="module")
def axe() -> str:
    if "AXE" not in os.environ:
        pytest.skip("AXE names no axe.min.js: npm install --prefix DIR axe-core")
    return Path(os.environ["AXE"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(show, axe, name, width, scheme):  # noqa: F811
    opened = show(PAGES[name](), scripts=True, width=width, scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.evaluate(axe)
    found = opened.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
