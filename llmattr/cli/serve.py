"""`llmattr serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmattr.cli.answerer import Answerer, answering
from llmattr.cli.files import check_folder, quiet
from llmattr.cli.given import Amount, refuse, taken, typed
from llmattr.errors import LlmattrError, note

if TYPE_CHECKING:
    import socket

    from llmattr.service.app import Service


@click.command()
@answering
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="address to serve on; this machine alone reaches 127.0.0.1"
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free")
@click.option("--allow-host", multiple=True, metavar="NAME", help="a further name by which browsers reach it (behind a proxy)")
@click.option("--waiting", type=click.IntRange(min=0), default=16, show_default=True, help="requests that may wait; 429 beyond")
@click.option("--time-limit", type=Amount(min=0.001), default=300, show_default=True, help="seconds a request; 503 beyond")
@click.option("--max-megabytes", type=Amount(min=0.001), default=10, show_default=True, help="of a request; 413 beyond")
@click.option(
    "--max-characters", type=click.IntRange(min=1), default=200_000, show_default=True, help="of its texts; 413 beyond"
)
@click.option("--cache", type=click.Path(path_type=Path), help="folder for scored ablations, from which a request goes on")
@click.option("--no-cache", is_flag=True, help="keep nothing")
def serve(
    *,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    waiting: int,
    time_limit: float,
    max_megabytes: float,
    max_characters: int,
    cache: Path | None,
    no_cache: bool,
    **options: Any,
) -> None:
    """Serve cite and check over HTTP, with a page to paste texts into. Needs llmattr[serve].

    The model is loaded once and asked one question after the other. POST /cite and /check take and give JSON; GET / is the
    page, GET /health says how it is. Ctrl-C stops it.
    """
    answerer = taken(Answerer, options)
    answerer.check()
    if typed("no_cache"):
        refuse("--no-cache keeps nothing", "cache")
    if cache:
        check_folder(cache)
    try:
        from llmattr.service.server import bound
    except ImportError as error:
        raise LlmattrError(f"llmattr serve needs pip install 'llmattr[serve]' ({error})") from None
    from llmattr.service.guard import is_loopback, name_of

    if wrong := [name for name in allow_host if name_of(name) != name.lower()]:
        raise LlmattrError(f"--allow-host takes a name alone, as llmattr.example, not {wrong[0]!r}")
    with bound(host, port) as sock:  # before a model is loaded, which takes a while
        if not is_loopback(host):
            note(f"whoever reaches {host} may ask: there is no password, and what is sent is not encrypted")
        quiet()
        from llmattr.context.removal.cache import place

        kept = None if no_cache else cache or place()
        from llmattr.service.answers import Attributor
        from llmattr.service.app import Service
        from llmattr.service.queue import Queue

        attributor, queue = Attributor(answerer.load(), kept, max_characters), Queue(waiting + 1, time_limit)
        _run(Service(attributor, queue, int(max_megabytes * 1e6)), sock, (host, *allow_host))


def _run(service: "Service", sock: "socket.socket", names: tuple[str, ...]) -> None:
    """Answer until a signal comes."""
    from llmattr.service.guard import Guard
    from llmattr.service.server import Server

    app = Guard(service.app(), names[0], frozenset(name.lower() for name in names))
    shown = f"[{names[0]}]" if ":" in names[0] else names[0]
    address = f"http://{shown}:{sock.getsockname()[1]}"
    ready = f"llmattr serves {service.attributor.lm.name} on {address} (Ctrl-C stops it)"
    Server(app, service.queue, lambda: click.echo(ready)).run([sock])
