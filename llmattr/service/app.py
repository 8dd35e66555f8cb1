"""The routes: `/cite` and `/check` in JSON, `/` the page and its form, `/health`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from llmattr.errors import LlmattrError
from llmattr.report.html import environment
from llmattr.service.answers import Answer, Attributor
from llmattr.service.asked import Verb
from llmattr.service.guard import body_of
from llmattr.service.queue import Queue
from llmattr.service.refused import Refused

FORM = "application/x-www-form-urlencoded"
DOCUMENTS = range(1, 9)  # that the form has room for
Form = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Service:
    """What answers: the model, the queue before it, and the most bytes of a body."""

    attributor: Attributor
    queue: Queue
    most: int

    def app(self) -> Starlette:
        """The routes, and what each error becomes: one line in JSON."""
        routes = [
            Route("/", self.page),
            Route("/", self.form, methods=["POST"]),
            Route("/cite", partial(self.verb, "cite"), methods=["POST"]),
            Route("/check", partial(self.verb, "check"), methods=["POST"]),
            Route("/health", self.health),
        ]
        errors = {HTTPException: _of_http, Refused: _of_refusal, LlmattrError: _of_client, Exception: _of_ours}
        return Starlette(routes=routes, exception_handlers=errors)

    async def verb(self, verb: Verb, request: Request) -> Response:
        """POST of JSON."""
        if _kind(request) != "application/json":
            raise Refused(415, f"/{verb} takes application/json, not {_kind(request)[:60]!r}")
        async with self._body(request) as body:
            return await self._answer(request, partial(self.attributor.as_json, verb, body))

    async def page(self, request: Request) -> Response:
        """GET of the page on which texts are pasted."""
        return self._page({})

    async def form(self, request: Request) -> Response:
        """POST of that page: the page of the result, or the same page with what was wrong."""
        if _kind(request) != FORM or "origin" not in request.headers:
            raise Refused(415, "/ takes the form of its own page: send JSON to /cite or /check")
        form: Form = {}
        try:
            async with self._body(request) as body:
                form = _read_form(body)
                verb: Verb = "check" if form["do"] == "check" else "cite"
                return await self._answer(request, partial(self.attributor.as_page, verb, _asked(form, verb)))
        except LlmattrError as error:
            return self._page(form, str(error), 422)
        except Refused as error:
            return self._page(form, error.reason, error.status, _come_back(error))

    async def health(self, request: Request) -> Response:
        """GET of how it is, which waits for nothing."""
        status = "ok" if self.queue.is_open else "stopping"
        said = {"status": status, "model": self.attributor.lm.name, "waiting": self.queue.waiting}
        return JSONResponse(said, 200 if self.queue.is_open else 503)

    @asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """What a request sends, in a place of the queue: taken before it is read, so that few are held."""
        try:
            self.queue.enter()
        except Refused:
            with suppress(Refused):  # who still sends would see a closed connection and no reason
                await body_of(request, 0)
            raise
        try:
            yield await body_of(request, self.most)
        finally:
            self.queue.leave()

    async def _answer(self, request: Request, work: Callable[[], Answer]) -> Response:
        """What the work gives in its turn."""
        answer = await self.queue.answer(work, _left(request))
        return Response(answer.body, media_type=answer.kind, headers={"cache-control": "no-store"})

    def _page(self, form: Form, error: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
        record = self.attributor.lm.record()
        shown = {"run": record, "method": {"name": "screening"}}
        page = environment().get_template("service.html.j2")
        filled = [n for n in DOCUMENTS if form.get(f"d{n}")]
        html = page.render(a=shown, options=[], base=None, form=form, error=_line(error), documents=DOCUMENTS, filled=filled)
        return Response(html, status, headers, "text/html")


def _read_form(body: bytes) -> Form:
    """The fields of a form; raises `LlmattrError` where they cannot be read."""
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError as error:
        raise LlmattrError(f"the form cannot be read: {error!s:.80}") from None
    said = {name: values[0].replace("\r\n", "\n") for name, values in fields.items()}
    return {"do": "cite", "query": "", "response": "", "quick": "", **said}


def _asked(form: Form, verb: Verb) -> dict[str, Any]:
    """The request that a form is, as JSON would have it; a field that was left empty is none, but for what must be asked."""
    documents = [{"text": text, "id": f"document {n}"} for n in DOCUMENTS if (text := form.get(f"d{n}", "")).strip()]
    query, response = form["query"].strip(), form["response"].strip() or None
    asked = query if query or verb == "cite" else None
    return {"documents": documents, "query": asked, "response": response, "options": {"quick": bool(form["quick"])}}


async def _left(request: Request) -> None:
    """Until the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _line(text: str) -> str:
    return " ".join(text.split()).encode(errors="backslashreplace").decode()


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": _line(reason)}, status, headers)


def _come_back(refusal: Refused) -> dict[str, str]:
    return {} if refusal.come_back is None else {"retry-after": str(refusal.come_back)}


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, f"{request.method} {request.url.path[:80]}: {error.detail}", dict(error.headers or {}))


async def _of_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _error(error.status, error.reason, _come_back(error))


async def _of_client(request: Request, error: Exception) -> Response:
    return _error(422, str(error))


async def _of_ours(request: Request, error: Exception) -> Response:
    return _error(500, f"a fault of the service ({type(error).__name__}): its log says more")
