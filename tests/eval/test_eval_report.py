"""`python -m eval report` on made-up results: tables, plots, the page; and that the project's own are up to date."""

import json
import re
import shutil
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner

from eval.report.panels import panels
from eval.report.report import command, filled
from eval.report.tables import markdown, ordered, parts, short

HOW = {
    "about": "Made up.",
    "command": "python -m eval facts --tiny",
    "date": "2026-11-22T07:35:26+00:00",
    "machine": {"cpu": "AMD EPYC", "cores": 2, "system": "Linux", "load": 0.1},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "notes": ["The noise between seeds allows an LDS of 0.63."],
}
ODD = "<script>alert('|')</script> $x^2$"
ROWS = [
    {"method": "random", "family": None, "MRR": 0.01, "LDS": -0.001, "CPU s": 0.0},
    {"method": "trak", "family": "predictive", "MRR": 0.5, "LDS": 0.2, "LDS 95 %": "0.10 to 0.30", "CPU s": 12.3},
    {"method": "ekfac", "family": "predictive", "MRR": 0.6, "LDS": 0.3, "LDS 95 %": "0.20 to 0.40", "CPU s": 4567.8},
    {"method": ODD, "family": "predictive", "failed": f"Error: {ODD}"},
    {"method": "bm25", "family": "corroborative", "MRR": 0.999, "LDS": 0.1, "CPU s": 0.0},
    {"method": "datamodel", "family": "datamodel", "MRR": 0.8, "LDS": "not run", "CPU s": 99},
]
RANKED = [{**row, "recall": [[1, 0.2], [10, 0.5], [100, 0.9]]} for row in ROWS if "LDS 95 %" in row or row["method"] == "bm25"]
NAMES = ["trak", "ekfac", "bm25", ODD]
AGREED = [{"method": one, **{other: 1.0 if one == other else 0.25 for other in NAMES}} for one in NAMES]
FACTS = {"facts": {**HOW, "figures": ROWS}, "agreement": {**HOW, "figures": AGREED, "notes": []}}
FAMILIES = {"training": {**HOW, "figures": ROWS}, "context": {**HOW, "figures": [{"method": "alone", "LDS": 0.5}], "notes": []}}
JUDGED = {"LDS": 0.7, "LDS, chosen on": 0.8, "LDS minus context-cite": "-0.10 (-0.20 to -0.01, p 0.04)", "AP": 0.6}
SCORED = [
    {
        "method": "context-cite",
        "family": "datamodel",
        "LDS": 0.8,
        "LDS n": 4,
        "LDS, chosen on": 0.9,
        "AP": 0.5,
        "R@1": 0.2,
        "R@3": 0.6,
        "tokens": 90,
    },
    {
        "method": "alone",
        "family": "game-theoretic",
        **JUDGED,
        "LDS n": 3,
        "R@1": 0.3,
        "R@3": 0.4,
        "R@10": 1.0,
        "tokens": 20,
        "P@1": 0.5,
    },
]
SCORED = [{**row, "scatter": [[0.1 * i, 0.2 * i] for i in range(5)]} for row in SCORED]
BUDGETS = [{"budget": n, **SCORED[0], "LDS": n / 20, "tokens": n} for n in (16, 8)]
SAID = [
    "LDS beside context-cite (4 questions, Holm's correction at 5%): below it: alone.",
    "AP: there is nothing to compare with context-cite.",
    "AP: a mean.",
]
CONTEXT = {
    "prediction": {**HOW, "figures": ROWS},  # of an older run
    "table": {**HOW, "figures": SCORED, "notes": SAID, "tiny": True, "seconds": 360},
    "curve": {**HOW, "figures": BUDGETS, "notes": []},
    "table, qed": {**HOW, "figures": SCORED[1:], "notes": []},
}
RECORDS = {"context": CONTEXT, "facts": FACTS, "families": FAMILIES, "citations": {"support": {**HOW, "figures": RANKED}}}
README = "# Mine\n\nBefore.\n\n{}\n\nAfter <!-- a comment -->.\n"
PLACES = "\n\n".join(
    f"<!-- results: {name} -->\n<!-- end of results -->" for name in ("context", "facts", "families", "lds", "plots")
)


def fill(folder):
    (folder / "results").mkdir()
    for name, record in RECORDS.items():
        (folder / "results" / f"{name}.json").write_text(json.dumps(record))
    (folder / "README.md").write_text(README.format(PLACES))
    return folder


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a report, which tests only read."""
    folder = fill(tmp_path_factory.mktemp("made"))
    assert report(folder).exit_code == 0
    return folder / "results"


def report(folder, *options):
    return CliRunner().invoke(command, ["--results", str(folder / "results"), "--readme", str(folder / "README.md"), *options])


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_rows_are_sorted_by_family_then_lds():
    names = [row["method"] for row in ordered(ROWS)]
    assert names == ["bm25", "ekfac", "trak", ODD, "datamodel", "random"]


def test_a_family_that_is_not_said_is_the_methods():
    names = ["random", "context-cite, alpha 0.01", "trak, 5 checkpoints", "bm25"]
    figures = [{"method": name, "LDS": 0.5} for name in names]
    (part,) = parts("context", {"prediction": {**HOW, "figures": figures, "notes": []}})
    found = ["corroborative", "predictive", "datamodel", "reference"]
    assert [row.family for row in part.tables[0].rows] == found
    assert [row.cells[0].text for row in part.tables[0].rows] == found


def test_a_table_says_what_is_known_and_what_failed():
    text = markdown(parts("facts", FACTS)[0])
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert {len(line) for line in lines} == {5}  # an odd name makes no cells
    rows = {line[1].strip(): [cell.strip() for cell in line] for line in lines}
    assert rows["method"] == ["family", "method", "MRR", "LDS", "CPU s"]  # no column that no row has
    assert rows["ekfac"] == ["predictive", "ekfac", "0.60", "0.30 (0.20 to 0.40)", "4,600"]
    assert rows["datamodel"][3] == "not run"
    assert rows["ceiling"] == ["reference", "ceiling", "", "0.63", ""]
    (failed,) = [row for row in rows.values() if "script" in row[1]]
    assert failed[2:] == ["failed"] * 3
    assert "Error: &lt;script>" in text
    assert "<script" not in text
    assert text.splitlines()[-1].startswith("`python -m eval facts --tiny`, 2026-11-22; AMD EPYC, 2 cores; python 3.11.7")


def test_a_wide_table_is_cut_and_says_so():
    wide = {**HOW, "figures": [{"method": "a", "P@1": 1.0, **{f"m{i}": 1.0 for i in range(12)}}], "notes": []}
    (part,) = parts("lds", {"lds": wide, "lds, other rows": wide})
    (table,) = part.tables
    assert table.columns == ["method", "P@1", *[f"m{i}" for i in range(7)]]
    assert part.left_out == [f"m{i}" for i in range(7, 12)]


def test_a_part_gives_several_tables_and_says_which_differences_are_real():
    (part,) = parts("context", CONTEXT)  # nothing of the older run
    prediction, support = part.tables
    assert (prediction.title, support.title) == ("prediction", "support")
    assert prediction.heads[2:5] == ["LDS, judged on, n 4", "LDS, chosen on", "LDS minus context-cite"]
    assert [cell.number for cell in prediction.rows[0].cells[2:5]] == [0.7, 0.8, -0.1]
    assert [row.cells[2].text for row in prediction.rows] == ["0.70 (n 3)", "0.80"]
    assert support.columns[2:] == ["AP", "P@1", "R@3"]
    assert [prediction.real, support.real, part.notes] == [[line] for line in SAID]
    assert part.left_out == ["R@1", "R@10"]
    text = markdown(part, titled=True)
    assert text.startswith("**TINY")
    assert text.index("**prediction**") < text.index(SAID[0]) < text.index("**support**") < text.index(SAID[1])
    assert "2026-11-22; 6 minutes; AMD EPYC" in text


def test_a_result_of_ones_own_is_shown_as_its_benchmarks():
    own = {**CONTEXT["table"], "command": "python -m eval context --data mine.jsonl"}
    assert [table.title for part in parts("mine", {"table": own}) for table in part.tables] == ["prediction", "support"]
    without = {**own, "figures": [{key: value for key, value in row.items() if key in ("method", "LDS")} for row in SCORED]}
    assert [table.title for part in parts("mine", {"table": without}) for table in part.tables] == ["prediction"]


def test_another_world_stands_after_the_usual_one_with_its_own_curve():
    other = {name.replace("table", "pararel with gpt2"): {**part, "date": "2026-12-01"} for name, part in CONTEXT.items()}
    other["pararel with gpt2, curve"] = other.pop("curve")
    record = {name: part for name, part in {**other, **CONTEXT}.items() if name != "prediction"}
    first, second = parts("context", record)
    assert [table.title for table in first.tables] == ["prediction", "support"]
    assert [table.title for table in second.tables] == ["pararel with gpt2, prediction", "pararel with gpt2, support"]
    whole = parts("context", record, whole=True)
    assert [part.of for part in whole] == ["", "", "qed", "", "", "qed"]
    assert len(panels({"context": record})["lds_cost"]) == 2


def test_the_whole_has_curves_and_single_sets():
    together, curve, of_set = parts("context", CONTEXT, whole=True)
    assert [row.budget for row in together.tables[0].rows] == [None, 16]  # the first of the curve
    assert [row.budget for row in curve.tables[0].rows] == [16, 8]
    assert [part.of for part in (together, curve, of_set)] == ["", "", "qed"]
    assert [table.title for table in of_set.tables] == ["prediction, qed", "support, qed"]


@pytest.mark.parametrize(
    "record",
    [FAMILIES, {"families": {**HOW, "figures": [{**row, "of": of} for of in ("context", "training") for row in ROWS]}}],
)
def test_contexts_and_training_are_never_in_one_table(record):
    shown = [table for part in parts("families", record) for table in part.tables]
    assert [table.title for table in shown] == ["context", "training"]
    assert all("of" not in table.columns for table in shown)


def test_what_the_pictures_show():
    found = panels({"context": CONTEXT})
    assert list(found) == ["lds_cost", "recall_rank", "context_scatter"]
    (cost,) = found["lds_cost"]
    assert cost.curves == {"context-cite": [(8, 0.4), (16, 0.8)]}
    assert [panel.title for panel in found["context_scatter"]] == ["TINY: alone\nLDS 0.70", "TINY: context-cite\nLDS 0.80"]
    assert panels({"context": {**CONTEXT, "curve": {**CONTEXT["curve"], "date": "2026-11-01"}}})["lds_cost"][0].curves == {}
    many = {**CONTEXT["table"], "figures": [{**SCORED[0], "LDS": i / 30} for i in range(30)]}
    assert len(panels({"context": {"table": many}})["context_scatter"]) == 24


def test_numbers_have_two_digits():
    numbers = (64, 19617, 1234.5, 45.67, 3.94, 1.537, 0.8807, -0.0001, 0.004, 1.7e-05, 0.0, 0)
    shown = "64 20,000 1,200 46 3.9 1.54 0.88 -1e-4 0.004 2e-5 0.00 0"
    assert " ".join(map(short, numbers)) == shown


@pytest.mark.slow
def test_check_tells_stale_from_fresh_and_again_changes_nothing(folder):
    assert report(folder, "--check").exit_code == 1
    assert [path.name for path in contents(folder)] == [
        "README.md",
        *[f"{name}.json" for name in sorted(RECORDS)],
    ]  # it writes nothing
    assert report(folder).exit_code == 0
    made = contents(folder)
    done = report(folder, "--check")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "lds.json is not there" in done.stderr
    assert report(folder).exit_code == 0
    assert contents(folder) == made
    text = (folder / "README.md").read_text()
    assert re.sub(r"(<!-- results: \w+ -->\n).*?(<!-- end)", r"\1\2", text, flags=re.DOTALL) == README.format(PLACES)
    assert "(results/lds_cost.svg)" in text
    (folder / "README.md").write_text(text.replace("0.60", "0.99"))
    assert report(folder, "--check").exit_code == 1


def test_the_summary_has_what_is_recorded_beside_what_it_must_beat():
    cited = {"cited precision": 0.6875, "cited precision 95 %": "0.56 to 0.81", "cited precision n": 48}
    scores = {"cited precision": 0.86, "cited precision 95 %": "0.77 to 0.93", "cited precision n": 40}
    figures = [{"method": "context-cite", **scores}, {"method": "cite", **cited}]
    made = filled(
        "<!-- results: summary -->\n<!-- end of results -->", {"citations": {"table": {**HOW, "figures": figures}}}, None
    )
    _, _, _, line, end = made.splitlines()
    assert end == "<!-- end of results -->"
    assert line.endswith(
        " | precision, n 48 | 0.69 (0.56 to 0.81) | its scores without the verdict: 0.86 (0.77 to 0.93; n 40) |"
    )
    assert filled("<!-- results: summary -->\n<!-- end of results -->", {}, None).count("\n") == 1
    alone = {"citations": {"table": {**HOW, "figures": figures[1:]}}}  # nothing to hold it against
    assert filled("<!-- results: summary -->\n<!-- end of results -->", alone, None).count("\n") == 1


def test_a_page_of_the_site_links_nothing_outside_of_it():
    place = "<!-- results: facts -->\n<!-- end of results -->"
    assert "[facts.md](results/facts.md)" in filled(place, RECORDS, "results")
    made = filled(place, RECORDS, None)
    assert made.endswith("All of it: `eval/results/facts.md`.\n<!-- end of results -->")
    assert "](" not in made


@pytest.mark.parametrize("name", ["lds_cost", "recall_rank", "agreement"])
def test_plots_name_the_methods(made, name):
    texts = list(ET.parse(made / f"{name}.svg").getroot().itertext())
    assert {"trak", "ekfac", "bm25"} <= {text.strip() for text in texts}
    assert (ODD in texts) == (name == "agreement")  # elsewhere it has no numbers


def test_the_page_escapes_what_it_shows(made):
    page = (made / "report.html").read_text()
    assert page.count("<script") == 1
    assert "alert(" not in re.sub(r"&lt;script&gt;alert\(", "", page)
    assert page.index('id="families"') < page.index('id="plots"') < page.index('id="facts"')
    assert page.count("<svg") == 4
    assert len(re.findall(">TINY<", page)) == 1
    assert page.count("TINY: context") == 3  # each picture says it as well
    assert page.index("<svg", page.index('id="context"')) < page.index('id="citations"')  # its scatter stands with it
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_what_is_wrong_is_one_line(folder):
    (folder / "README.md").write_text("<!-- results: facts -->\nMy text.\n\n<!-- results: lds -->\n<!-- end of results -->\n")
    done = report(folder)
    assert (done.exit_code, "My text." in (folder / "README.md").read_text()) == (1, True)
    assert "no <!-- end of results -->" in done.stderr
    (folder / "results" / "facts.json").write_text('{"facts": ')
    done = report(folder)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "facts.json" in done.stderr


@pytest.mark.parametrize(
    "foreign",
    [
        [1, 2],
        "x",
        {"table": {"figures": 3}},
        {"table": {**HOW, "figures": [1, 2]}},
        {"table": {**HOW, "notes": None, "figures": ROWS}},
        {"table": {**HOW, "machine": "mine", "figures": ROWS}},
        {"agreement": {**HOW, "figures": [{"a": 1}, {"b": 2}]}},
    ],
)
def test_foreign_files_are_named_and_what_is_ones_own_has_a_section(tmp_path, foreign):
    (tmp_path / "foreign.json").write_text(json.dumps(foreign))
    (tmp_path / "mine.json").write_text(json.dumps({"table": {**HOW, "figures": ROWS}}))
    done = CliRunner().invoke(command, ["--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() in ([], ["foreign.json is left out: it is not a benchmark's JSON"])
    page = (tmp_path / "report.html").read_text()
    assert 'id="mine"' in page
    assert 'id="foreign"' not in page


def test_labels_of_one_place_do_not_cover_each_other():
    plt = pytest.importorskip("matplotlib.pyplot")
    from eval.report.labels import label

    figure, axes = plt.subplots(figsize=(9, 5), dpi=72)
    axes.plot([0, 1], [0, 1], ".")
    figure.draw_without_rendering()
    label(axes, [(0.9, 0.9)] * 10, [f"a method's name {i}" for i in range(10)], ["k"] * 10)
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    plt.close(figure)
    assert len(boxes) == 10
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_the_projects_own_are_up_to_date():
    done = CliRunner().invoke(command, ["--check"])
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_a_click_sorts(made):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (group dev)")
    chromium = shutil.which("chromium") or pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto((made / "report.html").as_uri())

        def column():
            return page.locator("#facts tbody tr td.method").all_inner_texts()

        page.locator("#facts th button", has_text="MRR").click()
        assert column()[:3] == ["bm25", "datamodel", "ekfac"]
        page.locator("#facts th button", has_text="MRR").click()
        assert column()[:2] == ["random", "trak"]
        assert column()[-2:] == [ODD, "ceiling"]  # what has no number stays at the end
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert said == []
        browser.close()


@pytest.mark.slow
def test_controls_filter_and_without_scripts_everything_is_shown(made):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (group dev)")
    chromium = shutil.which("chromium") or pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        plain = browser.new_page(java_script_enabled=False)
        plain.goto((made / "report.html").as_uri())
        assert plain.locator("tbody tr:visible").count() == plain.locator("tbody tr").count()
        assert not plain.locator("#controls").is_visible()
        page = browser.new_page()
        page.goto((made / "report.html").as_uri())

        def methods():
            return page.locator("#context tbody tr:visible td.method").all_inner_texts()

        assert methods() == ["alone", "context-cite"] * 2 + ["context-cite"] * 2
        page.select_option("[name=budget]", "8")
        assert methods() == ["alone"] * 2 + ["context-cite"]
        page.select_option("[name=budget]", "")
        page.select_option("[name=family]", "datamodel")
        assert methods() == ["context-cite"] * 4
        page.select_option("[name=family]", "")
        page.select_option("[name='data set']", "qed")
        assert methods() == ["alone"] * 2
        assert not page.locator("#facts").is_visible()
        browser.close()
