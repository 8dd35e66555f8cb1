"""Counts of the house: `python .ci/house.py [FOLDER]` of the package llmattr in this checkout, or in another one.

rooms      what stands directly in llmattr/: folders and loose files
arrows     pairs of rooms of which one imports the other
circles    groups of files that import one another, on the first or on a later line, directly or by way of others
upwards    imports of a room that stands above, by the layers of pyproject.toml (where they are listed)
cite       files whose functions run in a default `cite` on a loaded model, their lines, and the lines of those functions
"""

import ast
import statistics
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def modules_of(package: Path) -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.Module, names: set[str]) -> set[str]:
    """The package's modules that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= parts & names or {node.module}
            found |= {node.module} if parts - names else set()
    return found & names


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups that reach one another, two or more each."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for name in arrows.get(ahead.pop(), set()) - seen:
                seen.add(name)
                ahead.append(name)
        return seen

    reach = {name: reached(name) for name in arrows}
    groups = {tuple(sorted(other for other in reach[name] if name in reach.get(other, ()))) for name in arrows}
    return [list(group) for group in sorted(groups) if len(group) > 1]


def room(name: str) -> str:
    """The room that a module stands in."""
    return [*name.split("."), "__init__"][1]


def upwards(arrows: dict[str, set[str]], pyproject: Path) -> list[str]:
    """Imports of a higher room."""
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"].get("importlinter")
    if settings is None:
        return []
    layers = next(contract["layers"] for contract in settings["contracts"] if contract["name"] == "Rooms")
    level = {name.strip(): number for number, layer in enumerate(layers) for name in layer.replace("|", ":").split(":")}
    return [
        f"{one} -> {other}"
        for one, others in arrows.items()
        for other in others
        if level.get(room(one), -1) > level.get(room(other), -1) >= 0
    ]


def parameters(tree: ast.Module) -> Iterator[ast.arg]:
    """Every parameter but self."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            a = node.args
            given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
            yield from (one for one in given if one.arg not in ("self", "cls"))


def by_place(node: ast.FunctionDef) -> int:
    """How many arguments a function takes by place, without self."""
    return len([one for one in (*node.args.posonlyargs, *node.args.args) if one.arg not in ("self", "cls")])


def counts(package: Path) -> dict[str, Any]:
    """All counts but those of `cite`."""
    trees = modules_of(package)
    names = set(trees)
    arrows = {name: imports(tree, names) - {name} for name, tree in trees.items()}
    rooms = {(room(one), room(other)) for one, others in arrows.items() for other in others}
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    lengths = sorted((node.end_lineno or 0) - node.lineno + 1 for node in functions)
    every = [one for tree in trees.values() for one in parameters(tree)]
    calls = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        "files": len(sources),
        "lines": sum(text.count("\n") for text in sources),
        "rooms": len({room(name) for name in names}),
        "arrows": len({pair for pair in rooms if pair[0] != pair[1]}),
        "circles": len(circles(arrows)),
        "upwards": len(upwards(arrows, package.parent / "pyproject.toml")),
        "parameters": len(every),
        "bare Any": sum(ast.unparse(one.annotation) == "Any" for one in every if one.annotation),
        "getattr, hasattr": sum(isinstance(c.func, ast.Name) and c.func.id in ("getattr", "hasattr") for c in calls),
        "functions": len(functions),
        "median function": statistics.median(lengths),
        "p90 function": lengths[int(0.9 * len(lengths))],
        "longest function": lengths[-1],
        "more than 5 arguments by place": sum(by_place(node) > 5 for node in functions),
    }


def cite_counts(package: Path) -> dict[str, Any]:
    """What a reader of the default `cite` follows."""
    from llmattr import LM, cite
    from tests import tiny_models

    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    asked = {"context": "It opened in 1914. It is long. It has locks.", "query": "When?", "response": "In 1914. It is long."}
    cite(lm, **asked)  # what is tried once for a model is not on the way
    ran: dict[str, set[tuple[int, int]]] = defaultdict(set)

    def follow(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(package)) and not code.co_name.startswith("<"):
            last = max(line for *_, line in code.co_lines() if line)
            ran[code.co_filename].add((code.co_firstlineno, last))

    sys.setprofile(follow)
    try:
        cite(lm, **asked)
    finally:
        sys.setprofile(None)
    return {
        "files to follow cite": len(ran),
        "their lines": sum(Path(name).read_text(encoding="utf-8").count("\n") for name in ran),
        "lines of its functions": sum(last - first + 1 for spans in ran.values() for first, last in spans),
        "which": ", ".join(sorted(str(Path(name).relative_to(package)) for name in ran)),
    }


def main(root: Path) -> None:
    """Print all counts of the checkout in this folder."""
    sys.path.insert(0, str(root))
    for name, value in (counts(root / "llmattr") | cite_counts(root / "llmattr")).items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve())
