"""Rows that say the same, exactly or nearly, and rows that answer one prompt in different ways."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from jaxtyping import Int

from llmattr.curation.finding import Finding
from llmattr.curation.kept import Kept
from llmattr.curation.texts import Texts, quoted, signed, spaced
from llmattr.retrieval.duplicates import near_duplicates, resemblance


def duplicates(texts: Texts, kept: Kept) -> list[Finding]:
    """Rows that may go because another says the same, and those that contradict it.

    "duplicates": the same prompt and completion but for white space. "near-duplicates": 0.8 of the shingles of both
    (`near_duplicates`), of the whole and of the completions, so that a question with another answer is none; signs count as
    words (`signed`). The longest stays, of equally long ones the first (`spare`): nothing that is said is lost. "conflicts": a
    prompt has several answers, and this one is not what most rows say; of a tie all are.
    """
    every, said = [signed(text) for text in texts.whole], [signed(text) for text in texts.completions]
    whole = kept.part("alike", lambda: near_duplicates(every))
    answers = kept.part("alike answers", lambda: near_duplicates(said)) if any(texts.prompts) else whole
    exact = _groups((spaced(prompt), spaced(said)) for prompt, said in zip(texts.prompts, texts.completions, strict=True))
    near = _groups(zip(whole.tolist(), answers.tolist(), strict=True))
    by_whole, by_answer = resemblance(every), resemblance(said)
    same = spare("duplicates", exact, texts.whole, lambda row, other: True)
    alike = spare("near-duplicates", near, texts.whole, lambda row, other: by_whole(row, other) and by_answer(row, other))
    gone = {one.row for one in same}
    return [*same, *(one for one in alike if one.row not in gone), *conflicts(texts, answers)]


def spare(kind: str, groups: Int[np.ndarray, " n"], texts: Sequence[str], alike: Callable[[int, int], bool]) -> list[Finding]:
    """Rows of which one stays that is alike and at least as long, of equally long ones the first.

    The longest of a group stays, and so does what is alike to none that stays: a chain of alike rows has ends that are not.
    """
    found = []
    for rows in _members(groups):
        lengths = {row: len(spaced(texts[row])) for row in rows}
        gone: dict[int, list[int]] = {}  # by the row that stays for them
        for row in sorted(rows, key=lambda row: (-lengths[row], row)):
            stays = next((other for other in gone if alike(row, other)), None)
            if stays is None:
                gone[row] = []
            else:
                gone[stays].append(row)
        for stays, others in gone.items():
            best = "longest" if any(lengths[row] < lengths[stays] for row in others) else "first"
            found += [Finding(kind, row, f"the {best} of {len(others) + 1} that say so stays", stays) for row in others]
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
