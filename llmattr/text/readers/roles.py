"""What lines on pages are where their letters and places tell: headings, code, a table's header, and furniture."""

import itertools
import re
import statistics
from collections.abc import Sequence

from llmattr.core.sources import Kind
from llmattr.text.readers.lines import Line

Role = Kind | None  # a row is one that heads a table; None: text
LARGE, SMALL = 1.1, 0.95  # of the text's size: letters of a heading, and of a note's number
LONG = 200  # characters: what is longer is no heading
_NUMBER = re.compile(r"\s*(?:\w+ )?(?:\d+(?:\.\d+)*|[A-Z](?:\.\d+)+|[IVX]+\.)[.):]?\s+(?=\S)")
_STOP = re.compile(r"[.!:;,。！：；，…][\"'”’»)\]]*$")
_FACT = re.compile(r"\d|\w: ")  # of a line in bold, behind its number: "Height: 330 m"
_MARK = re.compile(r"\d{1,3}|[^\W\d_]")  # the number of a note, the letter of an index
_CONTENTS = re.compile(r".*?(?:\s*\.){5,}\s*\t?(?:\d+|[ivxlc]+)?")


def roles(pages: Sequence[Sequence[Line]]) -> list[list[Role]]:
    """The role of each line of each page."""
    lines = [line for page in pages for line in page]
    letters = sum(len(line.text) for line in lines)
    body = statistics.median([line.size for line in lines for _ in line.text] or [0.0])
    bold = sum(len(line.text) for line in lines if line.bold) > letters / 2
    mono = sum(len(line.text) for line in lines if line.mono) > letters / 2
    lines = [line._replace(bold=line.bold and not bold, mono=line.mono and not mono) for line in lines]
    found: list[Role] = []
    runs = _runs(lines, body)
    for before, run, after in zip([[], *runs], runs, [*runs[1:], []], strict=False):
        found += _of_run(run, before[-1:], after[:1], body)
    ends = itertools.accumulate(map(len, pages), initial=0)
    return [found[start : start + len(page)] for start, page in zip(ends, pages, strict=False)]


def _runs(lines: Sequence[Line], body: float) -> list[list[Line]]:
    """Lines that follow one another and are set alike: a heading of several, code, the rows of a table."""
    runs: list[list[Line]] = []
    for line in lines:
        last = runs[-1][-1] if runs else None
        if last and _look(last, body) == _look(line, body) and (line.mono or "\t" in line.text or _goes_on(last, line)):
            runs[-1].append(line)
        else:
            runs.append([line])
    return runs


def _look(line: Line, body: float) -> tuple[bool, bool, bool]:
    """Whether it stands out as headings do, is set as code is, is in cells."""
    return line.bold or line.size > LARGE * body, line.mono, "\t" in line.text


def _goes_on(line: Line, after: Line) -> bool:
    return line.alike(after) and after.is_near(line)


def _of_run(run: list[Line], before: list[Line], after: list[Line], body: float) -> list[Role]:
    """The roles of a run between the line before it and the one after it, where there are such."""
    stands_out, mono, in_cells = _look(run[0], body)
    if in_cells:
        return _of_rows(run, after)
    if mono:
        inside = len(run) == 1 and any(itertools.starmap(_goes_on, itertools.pairwise([*before, *run, *after])))
        return [None if inside else "code"] * len(run)
    if stands_out and after and _is_heading(run, body):
        return ["heading"] * len(run)
    return ["furniture" if _is_furniture(line, body) else None for line in run]


def _is_heading(run: Sequence[Line], body: float) -> bool:
    """Whether lines in large or bold letters are a heading: short, with no stop and, in bold alone, no statement."""
    text = " ".join(line.text for line in run)
    number = _NUMBER.match(text)
    rest = text[number.end() :] if number else text
    stated = run[0].size <= LARGE * body and bool(_FACT.search(rest))
    ended = _STOP.search(text) and not (number and " " not in rest)
    return len(text) <= LONG and not (ended or stated or _CONTENTS.fullmatch(text)) and any(map(str.isalpha, text))


def _is_furniture(line: Line, body: float) -> bool:
    """Whether it is a line of the contents, the number of a note, or the letter of an index."""
    is_mark = bool(_MARK.fullmatch(line.text)) and (line.text.isalpha() or line.size < SMALL * body)
    return is_mark or bool(_CONTENTS.fullmatch(line.text))


def _of_rows(run: Sequence[Line], after: list[Line]) -> list[Role]:
    """The first row of a table is its header where it alone is bold, or has no digit while all others have one."""
    if run[0].bold and after and "\t" in after[0].text:
        return ["row"] * len(run)
    digits = [any(map(str.isdigit, row.text)) for row in run]
    headed = len(run) > 1 and not digits[0] and all(digits[1:])
    return ["row" if headed and i == 0 else None for i in range(len(run))]
