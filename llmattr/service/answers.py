"""What a request is answered with: the library's own JSON, a vendor's shape, or the page."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmattr.context.check import check
from llmattr.context.checked import Check
from llmattr.context.cite import cite
from llmattr.context.methods.games import Alone
from llmattr.core.attribution import Attribution
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.contract import Scorer
from llmattr.report.check import with_repair
from llmattr.report.json import to_dict
from llmattr.service.asked import Asked, CheckOptions, CiteOptions, Verb, read_asked, read_json
from llmattr.service.refused import Refused

CHARACTERS = 200_000  # a text is cut, and compared without a model, in seconds at this length
LETTERS = 64  # of a token, on average: no text has so many


@dataclass(frozen=True)
class Answer:
    """The body of a response and what it is."""

    body: str
    kind: str = "application/json"


@dataclass(frozen=True, eq=False)
class Attributor:
    """The model, the folder of what it scored (None: nothing is kept), and the most characters of a request."""

    lm: Scorer
    cache: Path | None = None
    most: int = CHARACTERS

    def as_json(self, verb: Verb, body: bytes) -> Answer:
        """What the JSON of a request asks; raises `LlmattrError` for what its client can mend."""
        with _notes() as notes:
            asked = self._checked(read_asked(read_json(body), verb))
            found = self._found(asked)
        if isinstance(found, Check):
            how = asked.options
            result = with_repair(found, how.unsupported) if isinstance(how, CheckOptions) and how.repair else found.to_dict()
            return Answer(json_text({**result, "notes": notes}, None))
        if asked.shape is None:
            return Answer(json_text({**to_dict(found), "notes": notes}, None))
        shaped = found.citations(asked.shape)
        return Answer(shaped, "text/markdown") if isinstance(shaped, str) else Answer(json_text(shaped, None))

    def as_page(self, verb: Verb, given: dict[str, Any]) -> Answer:
        """The page of what a form asks."""
        with _notes():
            found = self._found(self._checked(read_asked(given, verb)))
        return Answer(found.html(), "text/html")

    def _checked(self, asked: Asked) -> Asked:
        """The same; raises, before texts are cut, `LlmattrError` for what no model of this window could read, or `Refused`."""
        documents = asked.documents or ()
        beside = [asked.query, asked.response, asked.messages, *vars(asked.options).values()]
        size = sum(len(one.text) for one in documents) + sum(len(str(one)) for one in beside if one)
        window = None if isinstance(asked.options, CheckOptions) and asked.options.quick else self.lm.window
        many = f"{len(documents):,} documents, {size:,} characters"
        if window is not None and size / LETTERS + len(documents) > window:
            raise LlmattrError(f"{many}: far more than the model's window of {window:,} tokens holds; send less")
        if size > self.most:
            raise Refused(413, f"{many} are more than the {self.most:,} that a request may have: send less")
        return asked

    def _found(self, asked: Asked) -> Attribution | Check:
        match asked.options:
            case CiteOptions() as options:
                how = {name: value for name, value in vars(options).items() if name != "quick"}
                how |= {"method": Alone()} if options.quick else {}
                context, query, response = asked.documents, asked.query, asked.response
                return cite(self.lm, context, query, messages=asked.messages, response=response, cache=self.cache, **how)
            case CheckOptions() as options:
                lm = None if options.quick else self.lm
                how = {"shape": asked.shape, "names": asked.names, "language": options.language, "messages": asked.messages}
                return check(lm, asked.response, asked.documents, asked.query, cache=self.cache, **how)


@contextmanager
def _notes() -> Iterator[list[str]]:
    """What the client should know: the notes of the work, which go into the answer and not to who runs the service."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LlmattrNote)
        yield said
    said += [str(one.message) for one in caught if issubclass(one.category, LlmattrNote)]
