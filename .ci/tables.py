"""The tables of methods, from METHODS and PAPERS.md, and of what ran against stand-ins alone, from the tests' markers.

`make tables` writes them into the pages of docs/, `--check` compares. A table of methods stands between
`<!-- methods: FAMILY -->` and `<!-- end of methods -->`; `whole` behind the family asks for options and papers, too. That of
stand-ins, from `pytest.mark.stub(what, how, since)`, stands between `<!-- stand-ins -->` and `<!-- end of stand-ins -->`.
"""

import ast
import dataclasses
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DEFAULTS = {"context": "screening", "training": "", "retraining": "datamodel", "components": "verified"}
HEADS = {
    "context": ("what a source's score is", "passes"),
    "training": ("what a row's score is", "needs"),
    "retraining": ("what a row's (or a group's) score is", "models trained"),
    "components": ("what a component's score is", "passes a query"),
}
MARKED = re.compile(r"(<!-- methods: (\w+)( whole)? -->\n).*?(<!-- end of methods -->)", re.DOTALL)
STAND_INS = re.compile(r"(<!-- stand-ins -->\n).*?(<!-- end of stand-ins -->)", re.DOTALL)


def table(family: str, whole: bool) -> str:
    """A family's methods, in the order of METHODS."""
    methods = import_module(f"llmattr.{family}").METHODS
    score, cost = HEADS[family]
    heads = ["method", score, cost, *(["family", "options", "paper"] if whole else [])]
    rows = [cells(family, name, method, whole) for name, method in methods.items()]
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in [" | ".join(heads), " | ".join(["---"] * len(heads)), *lines])


def cells(family: str, name: str, method: Any, whole: bool) -> list[str]:
    """A method's row: its name, the first line of its docstring, and its last, which says what it costs; else `SystemExit`."""
    lines = method.__doc__.strip().splitlines()
    first, last = lines[0], lines[-1].strip()
    if not last.startswith("Cost: "):
        raise SystemExit(f"the docstring of {method.__name__} (`{name}`) does not end with a line 'Cost: ...': add one")
    shown = f"`{name}`" + (" (default)" if name == DEFAULTS[family] else "")
    more = [method.family, options(method), "; ".join(papers(name, method))] if whole else []
    return [shown, first.removesuffix("."), last.removeprefix("Cost: "), *more]


def options(method: Any) -> str:
    """Its options with their defaults, as on the command line."""
    return ", ".join(f"`--{field.name.replace('_', '-')} {field.default}`" for field in dataclasses.fields(method))


def papers(name: str, method: Any) -> list[str]:
    """The papers of the lines in PAPERS.md that name the method and its file; raises `SystemExit` where there is none."""
    file = method.__module__.replace(".", "/") + ".py"
    lines = [line.split(" | ") for line in (ROOT / "PAPERS.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    found = [line[1] for line in lines if f"`{name}`" in line[0] and f"`{file}`" in line[2]]
    if not found:
        raise SystemExit(f"PAPERS.md has no line with `{name}` in its first column and `{file}` in its third: add one")
    return found


def stand_ins() -> str:
    """What no test runs in its real form: what it is, how it is asked for, which test has the stand-in, and since when."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) == "pytest.mark.stub":
                what, how, since = (ast.literal_eval(given) for given in call.args)
                found[what] = f"| {what} | `{how}` | `{path.relative_to(ROOT).as_posix()}` | {since} |\n"
    head = "| never run in its real form | how it is asked for | tried against the stand-in of | since |\n"
    return head + "| --- | --- | --- | --- |\n" + "".join(found[what] for what in sorted(found))


def written(text: str) -> str:
    """The page with its tables as they are now."""
    text = STAND_INS.sub(lambda found: found[1] + stand_ins() + found[2], text)
    return MARKED.sub(lambda found: found[1] + table(found[2], bool(found[3])) + found[4], text)


def main(check: bool) -> None:
    """Write the pages, or stop at the first that is not up to date."""
    for path in PAGES:
        text = path.read_text("utf-8")
        new = written(text)
        if not check:
            path.write_text(new, "utf-8")
        elif new != text:
            raise SystemExit(f"the tables of {path.relative_to(ROOT)} are not up to date: make tables")


if __name__ == "__main__":
    main("--check" in sys.argv)
