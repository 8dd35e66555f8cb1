"""Commands that take a method: its hyper-parameters become options."""

import dataclasses
from typing import Any

import click

from llmattr import context
from llmattr.core.method import accepted, types_of


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
        return [*super().get_params(ctx), *options_of(self.methods[ctx.meta.get("method", self.default)])]

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
            formatter.write_dl([(name, _first_line(method)) for name, method in self.methods.items()])


def options_of(method: Any) -> list[click.Parameter]:
    """A method's hyper-parameters as command-line options."""
    types = types_of(method)
    return [
        click.Option(
            [f"--{field.name.replace('_', '-')}", field.name],
            type=_option_type(types[field.name]),
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
