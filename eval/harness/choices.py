"""What was chosen before anything is judged: thresholds, defaults, and what they were chosen on. `python -m eval choices`.

They stand in eval/choices.json. What judges (questions, masks) is drawn by a seed made of the choices of its kind in that file,
so that whoever changes a choice is judged by other questions, and a clone of the same file by the same. A table says where the
code differs from it.
"""

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

import click

from eval import ROOT
from llmattr.context import relevance, worded
from llmattr.core import citing, evidence
from llmattr.core.files import write
from llmattr.core.method import describe
from llmattr.core.plain_json import json_text
from llmattr.text import apart

FILE = ROOT / "eval" / "choices.json"
Kind = Literal[
    "context", "training", "components"
]  # thresholds are of citations, so that no choice of the one touches what judges the other
FAMILIES = {"context": ("context",), "training": ("training", "retraining"), "components": ("components",)}
THRESHOLDS = {
    citing: ("CLEAR", "LEAST", "LEAST_SHARE", "SHARE", "LEAST_RELEVANCE"),
    relevance: ("COMPLETING",),
    worded: ("WORDED",),
    evidence: ("LEAST_SUPPORT", "LEAST_PER_TOKEN", "CARRIED", "MISSING", "APART", "EXPLAINED", "LIKELY", "ENOUGH", "RIVAL"),
    apart: ("NEAR",),
}


def current() -> dict[str, Any]:
    """The thresholds and defaults of the code."""
    from llmattr.components import METHODS as COMPONENTS
    from llmattr.context import METHODS as CONTEXT
    from llmattr.retraining import METHODS as RETRAINING
    from llmattr.training import METHODS as TRAINING

    families = {"context": CONTEXT, "training": TRAINING, "retraining": RETRAINING, "components": COMPONENTS}
    defaults = {family: [describe(method()) for method in methods.values()] for family, methods in families.items()}
    thresholds = {name: vars(module)[name] for module, names in THRESHOLDS.items() for name in names}
    return json.loads(json_text({"thresholds": thresholds, "defaults": defaults}))


def committed(file: Path = FILE) -> dict[str, Any]:
    """What the file says: the choices, and `chosen_on`, what they were chosen on."""
    return json.loads(file.read_text(encoding="utf-8"))


def seed(kind: Kind, file: Path = FILE) -> int:
    """What judges choices of this kind is drawn by it; 1 to 2^32 - 1, since methods draw theirs by 0."""
    said = committed(file)
    choices: dict[str, Any] = {family: said["defaults"][family] for family in FAMILIES[kind]}
    choices |= {"thresholds": said["thresholds"]} if kind == "context" else {}
    return 1 + int(hashlib.sha256(json_text(choices).encode()).hexdigest()[:8], 16) % (2**32 - 1)


def differences(file: Path = FILE) -> list[str]:
    """Where the code chooses otherwise than the file says, one line each."""
    said, now = committed(file), current()
    found = [
        f"{name} is {value} (committed: {said['thresholds'].get(name)})"
        for name, value in now["thresholds"].items()
        if said["thresholds"].get(name) != value
    ]
    found += [f"{name} is no threshold" for name in said["thresholds"] if name not in now["thresholds"]]
    for family, methods in now["defaults"].items():
        known = {method["name"]: method for method in said["defaults"].get(family, ())}
        found += [f"{family} {name} is no method" for name in known if name not in [method["name"] for method in methods]]
        for method in methods:
            old = known.get(method["name"])
            if old is None:
                found.append(f"{family} {method['name']} is new")
                continue
            fields = {**old, **method}
            found += [
                f"{family} {method['name']}: {field} is {method.get(field)} (committed: {old.get(field)})"
                for field in fields
                if method.get(field) != old.get(field)
            ]
    return found


def notes() -> list[str]:
    """What a table says of the choices behind it."""
    said, other = committed()["chosen_on"], differences()
    lines = [f"Choices (eval/choices.json) were committed on {said['date']}; chosen on: {said['data']}, by `{said['run']}`."]
    return lines + ([f"NOT as committed, so nothing below judges them fairly: {'; '.join(other[:5])}."] if other else [])


@click.command("choices", help=__doc__)
@click.option("--commit", is_flag=True, help="Write the code's choices to the file.")
@click.option("--add", is_flag=True, help="With --commit: for a new method; what the file says of all others stays.")
@click.option("--data", help="With --commit: what they were chosen on.")
@click.option("--run", help="With --commit: the command of the run that chose them.")
def command(commit: bool, add: bool, data: str | None, run: str | None) -> None:
    """Say where the code differs from the file, or write the file."""
    if commit:
        if not data or not run:
            raise click.UsageError("--commit needs --data and --run: what the choices were made on, and by which command")
        before = committed()["chosen_on"]
        data, run = (f"{before['data']}; {data}", f"{before['run']}; {run}") if add else (data, run)
        chosen_on = {"data": data, "run": run, "date": datetime.date.today().isoformat()}
        write(FILE, json_text({"chosen_on": chosen_on, **current()}) + "\n")
    for line in differences():
        click.echo(line)
    seeds = ", ".join(f"{seed(kind)} ({kind})" for kind in get_args(Kind))
    click.echo(f"what judges is drawn by the seeds {seeds}")
