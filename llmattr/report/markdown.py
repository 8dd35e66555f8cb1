"""An attribution as Markdown: the response as it is, with footnotes behind its sentences that quote the cited sources."""

import itertools
import re
from dataclasses import dataclass

from llmattr.core.attribution import Attribution, sentence_rows
from llmattr.core.sources import Sources
from llmattr.report.marks import citation_numbers, marked
from llmattr.report.reference import place, reference_to

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ROW_END = re.compile(r"\s*\|\s*$")


def markdown(attribution: Attribution, top: int = 5) -> str:
    """The response with footnotes that quote the cited sources; its lines, lists, tables and code stay as they are."""
    numbers = citation_numbers(attribution, top)
    marks: dict[int, str] = {}
    body, ends = _body(attribution)
    layout = _Layout.of(body)
    for row, end in zip(sentence_rows(attribution), ends, strict=True):
        where = layout.place(end)
        behind = "".join(f"[^{numbers[score.source]}]" for score in marked(attribution, row, top))
        marks[where] = marks.get(where, "") + behind
    notes = []
    for source, number in numbers.items():
        text = " ".join(attribution.sources.texts[source].split())
        notes.append(f"[^{number}]: {_escape(text)} ({_where(attribution.sources, source)})")
    return "\n\n".join([layout.with_marks(marks).strip("\n"), *notes]) + "\n"


def _where(sources: Sources, source: int) -> str:
    """Where a source stands; its name is a link, where it has an address."""
    where, found = place(sources, source), reference_to(sources, source)
    if found is None or found.url is None:
        return _escape(where)
    behind = where.removeprefix(found.name).removesuffix(found.url).removesuffix(", ")
    return f"[{_escape(found.name)}](<{found.url}>){_escape(behind)}"


def _body(attribution: Attribution) -> tuple[str, list[int]]:
    """The response and where its sentences end in it; the targets one behind the other where they are parts of none."""
    rows, spans, response = sentence_rows(attribution), attribution.targets.spans, attribution.response
    if spans is not None and response is not None:
        ends = [int(spans[row, 0]) + len(response[slice(*spans[row])].rstrip()) for row in rows]
        return response, ends
    texts = [" ".join(attribution.targets.texts[row].split()) for row in rows]
    ends, end = [], -1
    for text in texts:
        end += 1 + len(text)
        ends.append(end)
    return " ".join(texts), ends


@dataclass(frozen=True)
class _Layout:
    """The lines of a Markdown text: where each starts, and which are code."""

    text: str
    starts: list[int]
    code: dict[int, int]  # each line of code, and the last line of its block

    @staticmethod
    def of(text: str) -> "_Layout":
        lines = text.splitlines(keepends=True)
        starts = [0, *itertools.accumulate(map(len, lines))][: len(lines)]
        code: dict[int, int] = {}
        fence, first = "", 0
        for number, line in enumerate(lines):
            found = _FENCE.match(line)
            if fence and found and found[1].startswith(fence) and not line[found.end() :].strip():
                code |= dict.fromkeys(range(first, number + 1), number)
                fence = ""
            elif found and not fence:
                fence, first = found[1], number
        if fence:  # what is behind the response is no code
            return _Layout.of(text.rstrip("\n") + f"\n{fence}\n")
        return _Layout(text, starts, code)

    def line(self, number: int) -> str:
        """A line without its break."""
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[number] : end].rstrip("\r\n")

    def place(self, end: int) -> int:
        """Where the marks of a sentence that ends here may stand: behind its code, inside its table row, not in a rule."""
        number = max((k for k, start in enumerate(self.starts) if start < end), default=0)
        if number in self.code:
            last = self.code[number]
            return self.starts[last] + len(self.line(last))
        while number and not re.search(r"\w", self.line(number)) and number - 1 not in self.code:
            number, end = number - 1, self.starts[number]
        line = self.line(number)
        end = min(end, self.starts[number] + len(line.rstrip()))
        row = _ROW_END.search(self.text[self.starts[number] : end])
        return self.starts[number] + row.start() if row and line.lstrip().startswith("|") else end

    def with_marks(self, marks: dict[int, str]) -> str:
        """The text with marks at these places; a web page's tags and links of its own are not obeyed outside of code."""
        pieces = []
        for number, start in enumerate(self.starts):
            code, line = number in self.code, self.line(number)
            stop = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
            cuts = sorted({0, len(line), *(place - start for place in marks if start <= place <= start + len(line))})
            for a, b in zip(cuts, [*cuts[1:], len(line)], strict=True):
                mark = marks.get(start + a, "")
                pieces += [("\n\n" if code else "") + mark if mark else "", line[a:b] if code else _tamed(line[a:b])]
            pieces.append(self.text[start + len(line) : stop])
        return "".join(pieces)


def _tamed(text: str) -> str:
    """Markdown without what a page would load or run; what stands in `code` or is escaped already stays."""
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)|\\.|[<\[]", lambda m: m[0] if len(m[0]) > 1 else "\\" + m[0], text)


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)
