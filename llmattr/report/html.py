"""The page of an attribution: one HTML file, without scripts, in which choosing what was said shows its sources."""

import tempfile
import webbrowser
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from llmattr.core.attribution import Attribution
from llmattr.report.citation import citation_view
from llmattr.report.component_map import is_map, map_view
from llmattr.report.quality import certain
from llmattr.report.trace import trace_view

FRAMED = "about:srcdoc"  # the base of a page's links in a frame, or they would lead to the notebook


def page(attribution: Attribution) -> str:
    """The whole HTML document: self-contained, every text escaped."""
    return _render(attribution)


def open_page(attribution: Attribution) -> Path:
    """Write the page to a temporary file, show it in the browser, and return its place."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="llmattr-", suffix=".html", delete=False) as file:
        file.write(page(attribution))
    webbrowser.open(Path(file.name).as_uri())
    return Path(file.name)


def frame(attribution: Attribution) -> str:
    """The page as notebooks show it."""
    return framed(_render(attribution, base=FRAMED))


def framed(html: str) -> str:
    """A page, its links based on `FRAMED`, in an `<iframe>`."""
    style = "width: 100%; height: 40rem; border: 1px solid #8884; border-radius: 6px"
    return f'<iframe title="llmattr" sandbox style="{style}" srcdoc="{escape(html)}"></iframe>'


def _render(a: Attribution, base: str | None = None) -> str:
    """The page of components is a map; of a trace a ranking of both ends for each query; a context is shown whole."""
    name, view = ("trace", trace_view) if a.traced else ("citation", citation_view)
    name, view = ("component_map", map_view) if is_map(a) else (name, view)
    options = [f"{key} = {value}" for key, value in a.method.items() if key != "name"]
    return environment().get_template(f"{name}.html.j2").render(view(a), options=options, base=base)


@cache
def environment() -> Environment:
    """The templates of the pages, which escape every text."""
    loader = PackageLoader("llmattr.report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(number=_number, shorten=_shorten, upper_first=_upper_first, certain=certain)
    return made


def _number(value: float, sign: str = "") -> str:
    if np.isnan(value):
        return "?"  # an error that is not known
    precise = f"{value:{sign}.2f}" if 0.01 <= abs(value) < 1e6 or not value else f"{value:{sign}.1e}"
    return precise.replace("-", "\N{MINUS SIGN}")


def _shorten(text: str, length: int = 180) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]
