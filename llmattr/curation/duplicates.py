"""Rows that say the same, exactly or nearly, and rows that answer one prompt in different ways."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from jaxtyping import Int

from llmattr.curation.finding import Finding
from llmattr.curation.kept import Kept
from llmattr.curation.texts import Texts, quoted, spaced
from llmattr.retrieval.duplicates import near_duplicates


def duplicates(texts: Texts, kept: Kept) -> list[Finding]:
    """Rows that may go because another says the same, and those that contradict it.

    "duplicates": the same prompt and completion but for white space. "near-duplicates": 0.8 of the shingles of both
    (`near_duplicates`), of the whole and of the completions, so that a question with another answer is none. The longest of a
    group stays, of equally long ones the first: nothing that is said is lost. "conflicts": a prompt has several answers, and
    this one is not what most rows say; of a tie all are.
    """
    whole = kept.part("near", lambda: near_duplicates(texts.whole))
    answers = kept.part("answers", lambda: near_duplicates(texts.completions)) if any(texts.prompts) else whole
    exact = _groups((spaced(prompt), spaced(said)) for prompt, said in zip(texts.prompts, texts.completions, strict=True))
    near = _groups(zip(whole.tolist(), answers.tolist(), strict=True))
    same, alike = spare("duplicates", exact, texts.whole), spare("near-duplicates", near, texts.whole)
    gone = {one.row for one in same}
    return [*same, *(one for one in alike if one.row not in gone), *conflicts(texts, answers)]


def spare(kind: str, groups: Int[np.ndarray, " n"], texts: Sequence[str]) -> list[Finding]:
    """Of each group all rows but the longest, of equally long ones but the first."""
    found = []
    for rows in _members(groups):
        lengths = {row: len(spaced(texts[row])) for row in rows}
        stays = max(rows, key=lambda row: (lengths[row], -row))
        best = "longest" if lengths[stays] > min(lengths.values()) else "first"
        found += [Finding(kind, row, f"the {best} of {len(rows)} that say so stays", stays) for row in rows if row != stays]
    return sorted(found, key=lambda one: one.row)


def conflicts(texts: Texts, answers: Int[np.ndarray, " n"]) -> list[Finding]:
    """Rows whose prompt most rows that have it answer otherwise; `answers`: the group of alike completions of each row."""
    prompts = _groups(spaced(prompt) for prompt in texts.prompts)
    found = []
    for rows in _members(prompts):
        counts = Counter(answers[row] for row in rows)
        if len(counts) == 1 or not texts.prompts[rows[0]].strip():
            continue
        most = max(counts.values())
        usual = {answer for answer, count in counts.items() if count == most}
        for row in rows:
            others = usual - {answers[row]}
            if answers[row] not in usual or others:
                other = next(one for one in rows if answers[one] in others)
                why = f"{counts[answers[other]]} of {len(rows)} rows answer {quoted(texts.completions[other])}"
                found.append(Finding("conflicts", row, why, other))
    return sorted(found, key=lambda one: one.row)


def _groups(keys: Iterable[Hashable]) -> Int[np.ndarray, " n"]:
    """The number of each key's group: equal keys are one."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _members(groups: Int[np.ndarray, " n"]) -> list[list[int]]:
    """The rows of each group of several."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    return [rows for rows in members.values() if len(rows) > 1]
