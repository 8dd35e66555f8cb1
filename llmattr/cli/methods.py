"""Commands that take a method: its hyper-parameters become options."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import click

from llmattr import context
from llmattr.cli.given import Input, pieces, taken
from llmattr.core.fields import accepted, types_of
from llmattr.core.method import check_described, check_listed
from llmattr.errors import LlmattrError


class MethodCommand(click.Command):
    """A command with a family's methods as sub-commands, each with its own options, anywhere among the arguments."""

    methods: Mapping[str, type] = context.METHODS
    default = "screening"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the method's name out of the arguments and put the method, with its options, into `method`."""
        check_listed(self.methods)
        name, args = self._take_method(args)
        ctx.meta["method"] = name
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise self._refused(name, error) or self._of_another(name, error) or error from None
        ctx.params["method"] = taken(self.methods[name], ctx.params)
        return rest

    def _take_method(self, args: list[str]) -> tuple[str, list[str]]:
        """The first argument that is a method's name and not the value of an option, and the other arguments."""
        cut = pieces(args, self.params)
        found = next((piece for piece in cut if piece[0] in self.methods), [self.default])
        return found[0], [word for piece in cut if piece is not found for word in piece]

    def _refused(self, name: str, error: click.NoSuchOption) -> click.UsageError | None:
        """The method's own words for an option that it no longer has."""
        try:
            self.methods[name](**{error.option_name.removeprefix("--").replace("-", "_"): 0})
        except LlmattrError as refused:
            return click.UsageError(str(refused), error.ctx)
        except TypeError:
            return None
        return None

    def _of_another(self, name: str, error: click.NoSuchOption) -> click.UsageError | None:
        """The error for an option that other methods have."""
        flags = {other: [_flag(field) for field in dataclasses.fields(method)] for other, method in self.methods.items()}
        having = [other for other in flags if error.option_name in flags[other]]
        said = f"No such option {error.option_name!r} of {name}; name a method that has it: {', '.join(having)}"
        return click.UsageError(said, error.ctx) if having else None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own options and those of the method that was named."""
        return with_options_of(self.methods[ctx.meta.get("method", self.default)], super().get_params(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's sections: options, the method's options, and all methods."""
        method = ctx.meta.get("method", self.default)
        own, of_method = super().get_params(ctx), options_of(self.methods[method])
        for title, params in (("Options", own), (f"Options of {method}", of_method)):
            rows = [row for row in (param.get_help_record(ctx) for param in params) if row]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        with formatter.section("Methods"):
            formatter.write_dl([(name, first_line(method)) for name, method in self.methods.items()])


def with_options_of(method: type, own: Sequence[click.Parameter]) -> list[click.Parameter]:
    """A command's own options and a method's; raises `LlmattrError` where the method has one of the same name."""
    of_method, known = options_of(method), set().union(*map(names_of, own))
    if both := [param.opts[0] for param in of_method if names_of(param) & known]:
        raise LlmattrError(f"the method {method.__name__} has an option {both[0]}, as the command has: give it another name")
    return [*own, *of_method]


def names_of(param: click.Parameter) -> set[str]:
    """What no other parameter may be called: its name, and those of its flags as a field is spelt (`--no-cache`: no_cache)."""
    flags = [flag.removeprefix("--").replace("-", "_") for flag in (*param.opts, *param.secondary_opts)]
    return {name for name in (param.name, *flags) if name and name[0].isalpha()}


def options_of(method: type) -> list[click.Parameter]:
    """A method's hyper-parameters as command-line options."""
    check_described(method)
    types = types_of(method)
    return [
        click.Option(
            [_flag(field), field.name],
            type=_option_type(types[field.name]),
            default=field.default,
            help=field.metadata["help"],
            show_default=True,
        )
        for field in dataclasses.fields(method)
    ]


def _flag(field: "dataclasses.Field[Any]") -> str:
    """A field's option; `for_` is --for, which is no name in Python."""
    return f"--{field.name.strip('_').replace('_', '-')}"


def _option_type(kind: object) -> Any:
    """The click type of a field: a text of a method's is the name of a file or a model, which it reads."""
    other, words = accepted(kind)
    if other is str:
        return Input()
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


def first_line(method: type) -> str:
    """What the help says of a method."""
    return (inspect.getdoc(method) or "").split("\n", 1)[0]
