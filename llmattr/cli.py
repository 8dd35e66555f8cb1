"""The `llmattr` command. Nothing heavy is imported before the arguments are parsed."""

import dataclasses
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from llmattr import __version__, context, training
from llmattr.errors import LlmattrError, LlmattrNote, did_you_mean
from llmattr.method import accepted, find_method
from llmattr.processes import device, is_main
from llmattr.split import SPLITTERS
from llmattr.training.index import DTYPES, Projection


class MethodCommand(click.Command):
    """A command with a family's methods as sub-commands, each with its own options, anywhere among the arguments."""

    methods: dict[str, Any] = context.METHODS
    default = "context-cite"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the method's name out of the arguments and put the method, with its options, into `method`."""
        name, args = self._take_method(args)
        ctx.meta["method"] = name
        rest = super().parse_args(ctx, args)
        fields = [field.name for field in dataclasses.fields(self.methods[name])]
        ctx.params["method"] = self.methods[name](**{field: ctx.params.pop(field) for field in fields})
        return rest

    def _take_method(self, args: list[str]) -> tuple[str, list[str]]:
        """The first argument that is a method's name and not the value of an option, and the other arguments."""
        options = {
            name for param in self.params if isinstance(param, click.Option) and not param.is_flag for name in param.opts
        }
        for i, arg in enumerate(args):
            is_value = i > 0 and args[i - 1] in options
            if arg in self.methods and not is_value:
                return arg, [*args[:i], *args[i + 1 :]]
        return self.default, args

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own options and those of the method that was named."""
        return [*super().get_params(ctx), *_options(self.methods[ctx.meta.get("method", self.default)])]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's sections: options, the method's options, and all methods."""
        method = ctx.meta.get("method", self.default)
        own, of_method = super().get_params(ctx), _options(self.methods[method])
        for title, params in (("Options", own), (f"Options of {method}", of_method)):
            rows = [row for row in (param.get_help_record(ctx) for param in params) if row]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        with formatter.section("Methods"):
            formatter.write_dl([(name, _first_line(method)) for name, method in self.methods.items()])


def _options(method: Any) -> list[click.Parameter]:
    """A method's hyper-parameters as command-line options."""
    return [
        click.Option(
            [f"--{field.name.replace('_', '-')}", field.name],
            type=_option_type(field.type),
            default=field.default,
            help=field.metadata["help"],
            show_default=True,
        )
        for field in dataclasses.fields(method)
    ]


def _option_type(kind: Any) -> Any:
    other, words = accepted(kind)
    return other if not words else click.Choice(words) if other is None else NumberOr(other, words)


class NumberOr(click.ParamType):
    """A number or one of a few words, such as `auto`."""

    def __init__(self, number: type, words: tuple[str, ...]) -> None:
        self.number, self.words = click.types.convert_type(number), words
        self.name = "|".join([self.number.name, *words])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What the help shows for the value."""
        return "|".join([self.number.name.upper(), *self.words])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word, or the number."""
        if value in self.words:
            return value
        try:
            return self.number.convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.rstrip('.')} and not {' or '.join(self.words)}", param, ctx)


def _first_line(method: Any) -> str:
    return (method.__doc__ or "").splitlines()[0]


class IndexCommand(MethodCommand):
    """The same with the methods of training attribution."""

    methods: dict[str, Any] = training.METHODS
    default = "logra"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Where did this come from? Attribute what a language model says, with evidence."""


@cli.command(cls=MethodCommand, options_metavar="--query Q [OPTIONS]")
@click.argument("files", metavar="FILE... [METHOD]", nargs=-1, required=True)
@click.option("--query", required=True, help="the question to answer about the files")
@click.option("--model", default="smollm2", show_default=True, help="hub id, folder, or smollm2 (embedded, needs no hub)")
@click.option("--response", help="the answer to attribute; generated by the model when it is not given")
@click.option("--rather-than", help="another answer: say what made the model give its own and not this one")
@click.option("--sources", type=click.Choice(list(SPLITTERS)), default="sentences", show_default=True, help="what is removed")
@click.option("--template", help="the prompt, with {context} and {query} in it")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="longest answer")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="seed of everything random")
@click.option("--measure", type=click.Choice(["logit", "logprob"]), default="logit", show_default=True, help="of what was said")
@click.option(
    "--dtype",
    type=click.Choice(["fast", "float32", "bfloat16", "float16"]),
    default="fast",
    show_default=True,
    help="fast: bfloat16 where a short trial finds that it pays",
)
@click.option("--device", help="cpu, cuda, cuda:1 ...; the GPU where there is one")
@click.option("--verify/--no-verify", default=True, help="ask the model about what is cited: verdicts, what suffices")
@click.option("--zoom", is_flag=True, help="also say which words of the best source matter (more ablations)")
@click.option("--cache", type=click.Path(path_type=Path), help="folder for scored ablations, from which a run goes on")
@click.option("--no-cache", is_flag=True, help="keep nothing, and start anew")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="most sources shown for a sentence")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def cite(
    files: tuple[str, ...],
    query: str,
    model: str,
    method: Any,
    top: int,
    html: Path | None,
    json: Path | None,
    zoom: bool,
    cache: Path | None,
    no_cache: bool,
    **how: Any,
) -> None:
    """Answer a question about FILEs (- = standard input) and say which sentences made the model say so."""
    _check_outputs(files, [out for out in (html, json) if out])
    documents = [{"text": _read(name), "id": _shown(name)} for name in files]
    result = _cite(documents, query, model, method, {**how, "cache": None if no_cache else cache or _cache()})
    from llmattr.report.text import terminal, zoomed

    words = zoomed(result, top) if zoom else ""
    if is_main():  # of several processes the first speaks
        _report(result, terminal(result, top) + words, html, json)


def _cache() -> Path:
    """Where scored ablations are kept when no place is named."""
    import platformdirs

    return platformdirs.user_cache_path("llmattr") / "ablations"


def _report(result: Any, text: str, html: Path | None, json: Path | None) -> None:
    from llmattr.saved import to_json, write

    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)
    if html:
        click.echo(f"HTML page: {write(html, result.html())}")
    if json:
        click.echo(f"JSON: {write(json, to_json(result))}")


@cli.group()
def trace() -> None:
    """Say which training examples made a model say something: make an index once, ask it often."""


@trace.command(cls=IndexCommand, options_metavar="--data D --out IDX [OPTIONS]")
@click.option("--data", required=True, help="JSON lines, CSV, parquet, a folder saved by datasets, or a hub id")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="the folder of the index; the same command resumes it"
)
@click.option("--model", default="smollm2", show_default=True, help="hub id, folder, or smollm2: the model that was trained")
@click.option(
    "--checkpoints",
    multiple=True,
    help="instead of --model several (repeat it), or a Trainer's folder of them; scores are added",
)
@click.option("--learning-rates", help="TracIn's weights of the checkpoints, with commas between: 1e-3,5e-4")
@click.option("--modules", default="", help="regular expression for the linear layers to track; all but the head")
@click.option(
    "--rows", "row_type", type=click.Choice(list(DTYPES)), default="int8", show_default=True, help="how rows are stored"
)
@click.option("--strict", is_flag=True, help="refuse rows longer than the model's window instead of cutting them")
@click.option("--append", is_flag=True, help="add the data to a finished index")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="float32 on a CPU, else the model's own")
@click.option("--device", help="cpu, cuda, cuda:1 ...; auto spreads a big model over all; the GPU where there is one")
@click.argument("unknown", nargs=-1, metavar="[METHOD]")
def index(
    data: str, out: Path, model: str, method: Any, unknown: tuple[str, ...], learning_rates: str | None, **how: Any
) -> None:
    """Write what a method needs of every training example, such as one row of projected gradient."""
    if unknown:
        find_method(unknown[0], training.METHODS)
        raise LlmattrError(f"{unknown[0]!r} is one method too many")
    options = {field.name: how.pop(field.name) for field in dataclasses.fields(Projection)}
    _quiet()
    from llmattr.training.trace import build_index

    rates = _numbers(learning_rates)
    made = build_index(model, data, out, method, projection=Projection(**options), learning_rates=rates, **how)
    if not is_main():
        return  # one of several processes: the first speaks
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 2**20
    run = made.index.run
    numbers = f" of {run['dim']} numbers" if run["dim"] else ""
    click.echo(f"{len(made)} rows{numbers} in {out} ({size:.1f} MB); the loss counts {run['loss']}")


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise LlmattrError(f"numbers with commas between are wanted, like 1e-3,5e-4, not {text!r}") from None


index.params += _options(Projection)


@trace.command()
@click.argument("index", metavar="IDX")
@click.option("--prompt", default="", help="what the model was given")
@click.option("--completion", help="what it said, to be traced")
@click.option("--queries", help="instead of these, a file of rows like the training data")
@click.option("--model", help="the model, where it is not at the place that the index names")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="rows shown for and against")
@click.option("--tokens", is_flag=True, help="trace each token of the completion by itself")
@click.option(
    "--rerank", type=click.IntRange(min=0), default=0, help="score so many rows again with whole gradients (grad-dot, grad-cos)"
)
@click.option("--approximate", is_flag=True, help="score only the rows that faiss proposes, for indexes of many millions")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def query(
    index: str,
    prompt: str,
    completion: str | None,
    queries: str | None,
    top: int,
    model: str | None,
    tokens: bool,
    rerank: int,
    approximate: bool,
    **outputs: Path | None,
) -> None:
    """Rank the training rows of the index IDX by how much they support or oppose a completion."""
    if (completion is None) == (queries is None):
        raise LlmattrError("give --completion (with its --prompt), or --queries with a file, and not both")
    if completion == "":
        raise LlmattrError("the completion is empty: there is nothing to trace")
    _check_outputs((), [out for out in outputs.values() if out])
    _quiet()
    from llmattr.report.text import ranking
    from llmattr.training.trace import open_index

    asked: Any = {"prompt": prompt, "completion": completion} if queries is None else queries
    result = open_index(index, model).query(asked, top, tokens=tokens, rerank=rerank, approximate=approximate)
    _report(result, ranking(result, top), **outputs)


@trace.command("self")
@click.argument("index", metavar="IDX")
@click.option("--model", help="the model, where it is not at the place that the index names")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="rows shown")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
def self_influence(index: str, model: str | None, top: int, json: Path | None) -> None:
    """Rank the training rows by their score for themselves: unusual, hard or mislabelled ones come first."""
    _check_outputs((), [out for out in (json,) if out])
    _quiet()
    from llmattr.report.text import ranking
    from llmattr.training.trace import open_index

    result = open_index(index, model).self_influence(top)
    _report(result, ranking(result, top), None, json)


def _quiet() -> None:
    """No log lines and, where no one watches, no progress bars of transformers and datasets."""
    import datasets
    from transformers.utils import logging

    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def _cite(documents: list[dict[str, str]], query: str, model: str, method: Any, how: dict[str, Any]) -> Any:
    from llmattr.messages import TEMPLATE, conversation

    conversation(documents, query, template=how["template"] or TEMPLATE)  # mistakes show before torch is imported
    _quiet()
    from llmattr.context.cite import cite
    from llmattr.lm import LM

    lm = LM.load(model, how.pop("dtype"), how.pop("device") or device())
    return cite(lm, documents, query, method=method, **how)


def _read(name: str) -> str:
    """The text of a file or of standard input; raises `LlmattrError` for what is not UTF-8 text."""
    shown = _shown(name)
    if name != "-" and not Path(name).exists():
        raise LlmattrError(f"{shown!r} does not exist{did_you_mean(shown, context.METHODS)}")
    if Path(name).is_dir():
        raise LlmattrError(f"{shown!r} is a folder, not a file")
    data = Path(name).read_bytes() if name != "-" else sys.stdin.buffer.read() if sys.stdin else b""
    if b"\0" in data:
        raise LlmattrError(f"{shown!r} is binary: give plain text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LlmattrError(f"{shown!r} is not UTF-8 text (byte {error.start}): convert it, for example with iconv") from None
    if not text.strip():
        raise LlmattrError(f"{shown!r} is empty: there is nothing to attribute the answer to")
    return text


def _shown(name: str) -> str:
    return "standard input" if name == "-" else os.fsencode(name).decode("utf-8", "replace")


def _check_outputs(files: tuple[str, ...], outputs: list[Path]) -> None:
    """Refuse what would be lost: an output that is an input or another output, or that cannot be written."""
    if files.count("-") > 1:
        raise LlmattrError("standard input (-) is given twice")
    taken = {Path(name).resolve() for name in files if name != "-"}
    for path in outputs:
        reason = "it is a folder" if path.is_dir() else "its folder does not exist or is closed to you"
        if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
            raise LlmattrError(f"cannot write {str(path)!r}: {reason}")
        if path.resolve() in taken:
            raise LlmattrError(f"cannot write {str(path)!r}: it is an input or another output")
        taken.add(path.resolve())


def _show_note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, LlmattrNote):
        click.echo(f"llmattr: note: {message}", err=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 bad input, 130 stopped by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    warnings.showwarning = _show_note
    warnings.simplefilter("always", LlmattrNote)
    try:
        return cli.main(args=argv, prog_name="llmattr", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _fail(error.format_message())
    except (LlmattrError, OSError) as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("llmattr: stopped", err=True)
        return 130


def _fail(message: str) -> int:
    click.echo(f"llmattr: error: {' '.join(message.split())}", err=True)
    return 2
