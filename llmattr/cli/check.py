"""`llmattr check`."""

import json as jsons
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.answerer import Answerer, answering
from llmattr.cli.batch import Row, answered, check_batch, optional, told, write_batch_page
from llmattr.cli.files import check_folder, check_outputs, documents, quiet, read, shown, write_json
from llmattr.cli.given import Input, refuse, taken, typed
from llmattr.core.files import write
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.chats import Given, chat_of

if TYPE_CHECKING:
    from llmattr.context.checked import Check

FAILED = 1  # the exit code where --fail-on finds what it names
MODEL = ("model", "served_model", "tokenizer", "concurrency", "timeout", "dtype", "device", "cache")
UNSUPPORTED = ("keep", "mark", "drop")
SHAPES = ("markdown", "anthropic", "openai", "gemini", "cohere", "bedrock", "langchain")


@click.command(options_metavar="--documents FILE [OPTIONS]", context_settings={"allow_extra_args": True})
@click.argument("answer", metavar="ANSWER", type=Input(), required=False)
@click.option(
    "--documents",
    "given",
    multiple=True,
    type=Input(),
    help="what the answer could cite, in the order of its numbers",
)
@click.option(
    "--messages",
    type=Input(),
    metavar="JSON",
    help="a chat that ends with the answer (OpenAI's or Anthropic's form); without documents, what tools returned is cited",
)
@click.option("--query", help="what was asked; without it the model is asked for a fact from the documents")
@click.option(
    "--questions",
    type=Input(),
    metavar="JSONL",
    help="many: rows {answer, documents, query, messages, id}; --json gets a line for each",
)
@click.option("--shape", type=click.Choice(SHAPES), help="how the citations are written; found out where it is not given")
@click.option("--names", type=Input(), help='a JSON file that says which document a name is: {"Doe 2020": 2}')
@click.option("--quick", is_flag=True, help="without a model: by words, names and numbers alone, under a second")
@click.option("--judge", metavar="HUB_ID", help="also go by this entailment model (hub id or folder)")
@click.option("--repair", is_flag=True, help="also write the answer with the citations that hold, and what was changed")
@click.option(
    "--unsupported",
    type=click.Choice(UNSUPPORTED),
    default="keep",
    show_default=True,
    help="of --repair: what is done with sentences that no document supports; mark: [citation needed]",
)
@click.option(
    "--fail-on",
    default="",
    metavar="WORDS",
    help="exit code 1 where any of these is, or a row could not be checked: wrong,unsupported,missing",
)
@answering
@click.option("--language", help="of the documents and the answer (de, ja ...), for where sentences end")
@click.option("--cache", type=click.Path(path_type=Path), help="folder for what was scored, from which a run goes on")
@click.option("--no-cache", is_flag=True, help="keep nothing, and start anew")
@click.option("--html", type=click.Path(path_type=Path), help="write a page to read in a browser")
@click.option("--junit", type=click.Path(path_type=Path), help="write JUnit XML, as continuous integration shows it")
@click.option("--json", type=click.Path(path_type=Path), help="write the result as JSON")
@click.pass_context
def check(
    context: click.Context,
    answer: str | None,
    *,
    given: tuple[str, ...],
    messages: str | None,
    query: str | None,
    questions: str | None,
    shape: str | None,
    names: str | None,
    quick: bool,
    judge: str | None,
    repair: bool,
    unsupported: str,
    fail_on: str,
    language: str | None,
    cache: Path | None,
    no_cache: bool,
    html: Path | None,
    junit: Path | None,
    json: Path | None,
    **options: Any,
) -> None:
    """Check the citations of ANSWER, a file or - : does each marker hold, does a sentence lack one?

    ANSWER is text with marks ([1], [2,3], [1-3], [^1], (Doe 2020) ...), or the JSON of a vendor's response. Numbers name the
    documents in their order, or by the list of references at the answer's end. With --messages the answer is the chat's last
    turn, where there is no ANSWER.
    """
    answerer = taken(Answerer, options)
    words = [word.strip() for word in fail_on.split(",") if word.strip()]
    _check_given(answer, questions, messages, context.args)
    said_in = [name for name in (questions or answer, messages) if name is not None]
    check_outputs((*said_in, *given), [out for out in (html, json, junit) if out])
    for name in said_in:
        _check_apart(name, given)
    if quick:
        refuse("--quick asks no model", *MODEL)
    if typed("no_cache"):
        refuse("--no-cache keeps nothing", "cache")
    if not repair:
        refuse("without --repair the answer stays as it is", "unsupported")
    answerer.check()
    if cache:
        check_folder(cache)
    from llmattr.context.checked import refuse_words

    refuse_words(words)
    known = [document for name in given for document in documents(name)]
    chat = Given(None) if messages is None else chat_of(read(messages), shown(messages))
    mended = unsupported if repair else None
    how = {"shape": shape, "names": None if names is None else _names(names), "language": language, "judge": judge}
    from llmattr.context.check import check

    lm = kept = None
    if not quick:
        from llmattr.context.removal.cache import place

        quiet()
        lm, kept = answerer.load(), None if no_cache else cache or place()
    if questions is not None:
        settings = [how, mended, lm and [lm.record(), lm.fingerprint()], [vars(document) for document in known]]
        ask = partial(check, lm, cache=kept, **how)
        results = _many(ask, questions, known, check_batch(json), settings, mended=mended)
        write_batch_page(html, results)
        failed = {word for one in results for word in (words if "error" in one else one["failures"])}  # unchecked is not passed
        context.exit(FAILED if failed.intersection(words) else 0)
    said = None if answer is None else _read(answer)
    found = check(lm, said, known or None, query, cache=kept, **chat._asdict(), **how)
    models = [] if lm is None or answerer.server else [lm.record() | lm.fingerprint()]
    _show(found, mended, models, html=html, junit=junit, json=json)
    context.exit(FAILED if words and found.fails(words) else 0)


def _check_given(answer: str | None, questions: str | None, messages: str | None, more: list[str]) -> None:
    """Raise for an answer and a file of them, or nothing that has one, and for `more` words than an answer."""
    if more:
        named = " ".join(f"--documents {one}" for one in more)
        raise LlmattrError(f"check takes one answer, and each document behind a --documents of its own: {named}")
    if questions is None and answer is None and messages is None:
        raise click.MissingParameter(param_hint="'ANSWER' (or --messages, --questions)", param_type="argument")
    if messages is not None:
        refuse("what was asked is in --messages", "query")
    if questions is not None:
        refuse("--questions has a row for each", "query", "messages", "junit")
        if answer is not None:
            raise LlmattrError(f"--questions has the answers: leave {answer!r} out")


def _many(
    ask: Callable[..., "Check"],
    questions: str,
    known: list[Document],
    out: Path,
    settings: object,
    *,
    mended: str | None,
) -> list[dict[str, Any]]:
    """A check of each row of a file, and how many sentences there are of each verdict."""
    from llmattr.core.evidence import VERDICTS

    def one(row: Row) -> dict[str, Any]:
        answer, chat = row.get("answer", row.get("response")), Given(row.get("messages"), row.get("tools") or ())
        if answer is None and chat.messages is None:
            raise LlmattrError("the row has no 'answer', and no 'messages' that end with one")
        context, query = row.get("documents", known or None), optional(row, "query", "question")
        return _result(ask(answer, context, query, **chat._asdict()), mended)

    results = answered(questions, out, settings, one)
    click.echo(told(results, VERDICTS, lambda result: [sentence["verdict"] for sentence in result["sentences"]]))
    click.echo(f"JSON lines: {out}")
    return results


def _result(found: "Check", mended: str | None) -> dict[str, Any]:
    """The check in plain lists, with the answer repaired."""
    from llmattr.report.check import with_repair

    return found.to_dict() if mended is None else with_repair(found, mended)


def _read(name: str) -> Any:
    """The answer: JSON where the file is that, else its text."""
    text = read(name)
    with suppress(ValueError):
        if isinstance(found := jsons.loads(text), (dict, list)):
            return found
    return text


def _check_apart(answer: str, given: tuple[str, ...]) -> None:
    """Refuse an answer that is one of the documents: each of its sentences would be supported."""
    from llmattr.text.readers.finding import find_files, matches

    files = {path.resolve() for name in given if name != "-" and matches(name) for path in find_files(name)}
    if answer != "-" and Path(answer).resolve() in files:
        raise LlmattrError(f"{answer!r} is the answer and among the documents: it would support itself")


def _names(name: str) -> dict[str, Any]:
    try:
        found = jsons.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LlmattrError(f"--names {name!r} is no JSON file: {error}") from None
    if not isinstance(found, dict):
        raise LlmattrError(f'--names {name!r} must hold an object: {{"Doe 2020": 2}}')
    return found


def _show(
    found: "Check",
    mended: str | None,
    models: list[dict[str, str]],
    *,
    html: Path | None,
    junit: Path | None,
    json: Path | None,
) -> None:
    from llmattr.report.lines import plain

    text, result = found.to_text(), _result(found, mended)
    if mended is not None:
        again = found.repaired(mended)
        changes = [plain(f"  {one.done} {one.mark}: {one.why}") for one in again.changes] or ["  nothing"]
        text += "\n\nRepaired:\n\n" + plain(again.text.rstrip()) + "\n\nChanged:\n" + "\n".join(changes)
    lines = [f"HTML page: {write(html, found.html(mended or 'keep'))}"] if html else []
    lines += [f"JUnit XML: {write(junit, found.junit())}"] if junit else []
    lines += [write_json(json, result, models)] if json else []
    click.echo("\n".join([text, *lines]), color=False if os.environ.get("NO_COLOR") else None)
