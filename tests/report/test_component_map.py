"""The page of components: each in its place on the map, coloured and named by its score, with a section that it leads to."""

import dataclasses
import re

import numpy as np

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Sources, Targets
from llmattr.report.component_map import map_view
from llmattr.report.html import page
from tests.report.test_html import EVIL, Page

HEADS, LAYERS = 3, 2
QUERIES = [{"prompt": "The canal is", "completion": " long."}, {"prompt": "It opened", "completion": " in 1914"}]


def make(**changes) -> Attribution:
    """Three heads and an MLP in each of two layers; head 1 of layer 1 is the strongest, and the MLP there is against it."""
    places = [("heads", layer, i) if i < HEADS else ("mlps", layer, 0) for layer in range(LAYERS) for i in range(HEADS + 1)]
    ids = [f"{layer}.{i}" if part == "heads" else f"{layer}.mlp" for part, layer, i in places]
    texts = [f"{part} {i} of layer {layer}" for part, layer, i in places]
    columns = [{"part": part, "layer": layer, "number": i} for part, layer, i in places]
    values = np.array([[0.25, 0.0, 0.5, 0.0, 0.0, 4.0, 0.0, -1.0], [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    attention = {"1.1": [[2, " is", 0.75], [0, "The", 0.125]]}
    fields = {
        "values": values,
        "sources": Sources("components", ids, texts, columns=columns),
        "targets": Targets([query["completion"] for query in QUERIES], measure="logprob"),
        "unit": "nats",
        "method": {"name": "verified", "n_ablations": 4},
        "run": {"model": "a/model", "way": "zero"},
        "stderr": np.where(values == 4.0, 0.0, 0.5),
        "asked": QUERIES,
        "traced": True,
        "details": {"verified": [["1.1"]] * 2, "agreement": [0.5, 0.25], "attention": [attention, {}]},
    }
    return Attribution(**fields | changes)


def cells(html: str, target: int = 0) -> list[list[dict]]:
    """The rows of a target's map, each cell by its attributes."""
    table = re.findall(r"<tbody>(.*?)</tbody>", html, re.DOTALL)[target]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [
        [dict(re.findall(r'([\w-]+)="(.*?)"', cell)) for cell in re.findall("<td>(.*?)</td>", row, re.DOTALL)] for row in rows
    ]


def test_every_component_has_its_place_and_is_named_with_its_error():
    html = page(make())
    assert re.findall(r"<th scope=\"col\".*?>(.*?)</th>", html)[:5] == ["layer", "0", "1", "2", "MLP"]
    for layer, row in enumerate(cells(html)):
        assert [cell["title"].split(":")[0] for cell in row] == [
            f"{p} of layer {layer}" for p in ("heads 0", "heads 1", "heads 2", "mlps 0")
        ]
    best = cells(html)[1][1]
    assert best["title"] == best["aria-label"] == "heads 1 of layer 1: +4.00 ± 0.00"
    assert (cells(html)[0][0]["title"], cells(html)[1][3]["title"]) == (
        "heads 0 of layer 0: +0.25 ± 0.50",
        "mlps 0 of layer 1: −1.00 ± 0.50",
    )
    assert "−4.00 to +4.00 nats, 0 in the middle" in Page(html).text


def test_colours_go_both_ways_from_0_and_are_each_targets_own():
    first, second = (cells(page(make()), target) for target in (0, 1))
    shades = [[(cell["class"], cell["style"]) for cell in row] for row in first]
    assert shades[1][1] == ("for", "--fill: 100.0%")
    assert shades[1][3] == ("against", "--fill: 50.0%")  # the square root of a quarter
    assert shades[0][1] == ("for", "--fill: 0.0%")
    assert second[0][2]["style"] == "--fill: 100.0%"


def test_a_cell_leads_to_its_section():
    html = page(make())
    parsed = Page(html)
    links = [link["href"][1:] for link in parsed.of("a")]
    assert len(set(links)) == 2 * 8 + 2  # and past each map
    assert set(links) <= set(parsed.ids)
    said = " ".join(parsed.ids[cells(html)[1][1]["href"][1:]].split())
    for part in (
        "Heads 1 of layer 1",
        "+4.00 ± 0.00 nats",
        "rank 1 of 8",
        "69.6% of all scores",
        "truly removed",
        "75% is",
        "token 3",
    ):
        assert part in said, said
    other = parsed.ids[cells(html)[1][3]["href"][1:]]
    assert "foretold by gradients" in other
    assert "attends" not in other


def test_the_strongest_of_both_signs_are_listed_and_no_zeros():
    first, second = map_view(make())["targets"]
    assert [component.score.id for component in first.sides["for"]] == ["1.1", "0.2", "0.0"]
    assert [component.score.id for component in first.sides["against"]] == ["1.mlp"]
    assert [component.score.id for component in second.sides["for"]] == ["0.2"]
    assert "No component has a negative score." in Page(page(make())).text


def test_how_far_gradients_agree_is_said_of_each_target():
    text = Page(page(make())).text
    assert "0.25 to 0.50 of 1" in text
    assert "alike by 0.25 of 1." in text
    assert "removals rank what" not in Page(page(make()[0])).text  # of a single one it is said above


def test_what_the_strongest_do_alone_is_a_curve():
    """Each point where its value lies between the lowest, or 0, at 100 % of the height and the highest, or 1, at 0."""
    rising, wild = [i / 9 for i in range(10)], [0.0] * 8 + [-1.0, 3.0]
    a = make(details={"faithfulness": [rising, wild]})
    first, second = (target.curve for target in map_view(a)["targets"])
    assert [(point.x, point.y) for point in (first[0], first[3], first[-1])] == [(0, 100), (100 / 3, 66.67), (100, 0)]
    assert [(point.share, point.value, point.y) for point in second[-2:]] == [("50%", -1.0, 100), ("100%", 3.0, 0)]
    assert page(a).count("<polyline") == 2
    assert "alone, of what all do beyond none: 0.17 by 1%, 0.33 by 10%, -0.06 by 50%." in page(a)
    assert "<polyline" not in page(make(details={"faithfulness": [[float("nan")] * 10] * 2}))


def test_of_neurons_the_strongest_of_each_layer_is_on_the_map():
    columns = [{"part": "neurons", "layer": i // 4, "number": i % 4} for i in range(8)]
    attribution = make(
        sources=Sources("components", [f"{i // 4}.mlp.{i % 4}" for i in range(8)], list("abcdefgh"), columns=columns)
    )
    assert [[cell["title"][0] for cell in row] for row in cells(page(attribution))] == [["c"], ["f"]]


def test_of_many_components_the_strongest_have_sections_and_the_others_are_named(monkeypatch):
    monkeypatch.setattr("llmattr.report.component_map.SECTIONS", 0)
    monkeypatch.setattr("llmattr.report.component_map.LISTED", 1)
    html = page(make())
    linked = [[("href" in cell) for cell in row] for row in cells(html)]
    assert linked == [[False, False, False, False], [False, True, False, True]]
    assert all("title" in cell for row in cells(html) for cell in row)


def test_it_is_the_same_after_it_was_saved(tmp_path):
    loaded = Attribution.load(make().save(tmp_path / "saved.json"))
    assert loaded.save(tmp_path / "page.html").read_text("utf-8") == page(make())


def test_sources_without_places_are_ranked():
    sources = make().sources
    assert "<table" not in page(make(sources=dataclasses.replace(sources, columns=None)))


def test_what_the_user_gives_is_text_and_nothing_else():
    queries = [{"prompt": EVIL, "completion": EVIL, "rather_than": EVIL}] * 2
    attention = [{"1.1": [[0, EVIL, 1.0]]}] * 2
    evil = make(
        asked=queries,
        targets=Targets([EVIL] * 2),
        run={"model": EVIL},
        details={"attention": attention},
        unit=EVIL,
        meaning=EVIL,
    )
    html = page(evil)
    parsed = Page(html)
    assert not re.search("<(script|img)", html, re.IGNORECASE)
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not re.search(r"https?:|url\(", html)


def test_no_rule_asks_every_element_what_it_has():
    """With a few hundred components a browser would take half a minute for it."""
    assert re.search(r"[^\w)\]*]:has\(", page(make())) is None
