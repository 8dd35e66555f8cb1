"""Training data and queries as tokens, with the tokens that the loss counts."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from llmattr.core.progress import progress
from llmattr.core.seeded import generator
from llmattr.errors import LlmattrError, note
from llmattr.text.checked import COLUMNS, check_chat, kind_of_row
from llmattr.text.forms import CHATS, chat_text, is_chat
from llmattr.text.messages import check_text
from llmattr.text.row_files import Rows
from llmattr.text.tokens import Reader, Tokenizer
from llmattr.text.turns import Chat, said_by_assistant

LOSSES = {"messages": "the assistant's tokens", "prompt": "the completion's tokens", "text": "all tokens"}
MASKED = 0.15  # share of a text's tokens that a masked model is asked for, as BERT was trained


@dataclass(frozen=True, eq=False)
class Examples:
    """n rows as tokens. `ids[i]` are a row's tokens, `counted[i]` says which of them the loss counts (never the first).

    `asked[i]` says which of them the model is not given but asked for: they are masked, or said by the decoder and not read by
    the encoder. None: those that are counted; a part of them may be counted alone (`each_token`). `names[i]` is what messages
    call a row; None: by its number. `others[i]` is the one example that row i is set against: what is made of its gradient is
    taken off what is made of the row's.
    """

    rows: Sequence[Mapping[str, Any]]
    ids: Sequence[list[int]]
    counted: Sequence[np.ndarray]
    loss: str
    asked: Sequence[np.ndarray] | None = None
    names: Sequence[str] | None = None
    others: Mapping[int, "Examples"] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answers(self) -> Sequence[np.ndarray]:
        """Which tokens of each row the model is asked for."""
        return self.counted if self.asked is None else self.asked

    def subset(self, rows: Sequence[int]) -> "Examples":
        """The examples of some rows, in the order given."""
        asked = None if self.asked is None else [self.asked[i] for i in rows]
        names = [self.name(i) for i in rows]
        ids, counted = [self.ids[i] for i in rows], [self.counted[i] for i in rows]
        others = {new: self.others[i] for new, i in enumerate(rows) if i in self.others}
        return Examples([self.rows[i] for i in rows], ids, counted, self.loss, asked, names, others)

    def name(self, i: int) -> str:
        """What messages call a row."""
        return f"row {i}" if self.names is None else self.names[i]

    def called(self, what: str) -> "Examples":
        """The same by other names: this word and their numbers."""
        return replace(self, names=[f"{what} {i}" for i in range(len(self))])

    def each_token(self) -> "Examples":
        """One example for each counted token, which counts that token alone; their gradients add up to the row's."""
        places = [(i, place) for i, counted in enumerate(self.counted) for place in np.flatnonzero(counted)]
        alone = [np.arange(len(self.ids[i])) == place for i, place in places]
        same = self.subset([i for i, _ in places])
        return replace(same, counted=alone, asked=same.answers)

    def fingerprint(self) -> str:
        """A hash of all tokens and of those that count."""
        digest = hashlib.sha256()
        for ids, counted in zip(self.ids, self.counted, strict=True):
            digest.update(np.asarray(ids, dtype=np.int32).tobytes() + counted.tobytes() + b"|")
        return digest.hexdigest()[:16]


def row_text(row: Mapping[str, Any]) -> str:
    """A row's text: its `text`, its prompt and completion, or its messages turn by turn."""
    kind = kind_of_row(row, "a row has no text: ")
    if row[kind] is None or (kind == "prompt" and row["completion"] is None):
        raise LlmattrError(f"a row has no text: {dict(row)!r:.80}")
    if kind == "prompt":
        parts = [_column_text(row[name]) for name in ("prompt", "completion")]
        return ("\n" if is_chat(row["prompt"]) else "").join(parts)
    return _column_text(row[kind])


def prompt_and_completion(row: Mapping[str, Any]) -> dict[str, str]:
    """A query as the report shows it: what the model was given, and what is traced, of a chat from the turn on that counts.

    >>> prompt_and_completion({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]})
    {'prompt': 'user: Hi\\nassistant: ', 'completion': 'Hello.'}
    """
    kind = kind_of_row(row)
    if kind == "messages":
        speakers = [message["role"] for message in row["messages"]]
        return _parted_chat(row["messages"], speakers.index("assistant") if "assistant" in speakers else 0)
    if kind == "prompt" and is_chat(row["prompt"]):
        return _parted_chat([*row["prompt"], *row["completion"]], len(row["prompt"]))
    return {"prompt": row["prompt"] if kind == "prompt" else "", "completion": row["completion" if kind == "prompt" else kind]}


def _parted_chat(chat: Sequence[Mapping[str, Any]], first: int) -> dict[str, str]:
    """What a chat says before and from this turn on, whose speaker is named before it."""
    speaker = f"{chat[first]['role']}: "
    before = f"{chat_text(chat[:first])}\n" if first else ""
    return {"prompt": before + speaker, "completion": chat_text(chat[first:]).removeprefix(speaker)}


def _column_text(value: object) -> str:
    return chat_text(value) if is_chat(value) else str(value)


def tokenize(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: Tokenizer,
    window: int | None = None,
    strict: bool = False,
    model: str = "causal",
) -> Examples:
    """Rows as tokens, numbered from 0: `messages` count the assistant's, `prompt` + `completion` the completion's, `text` all.

    `model`: "causal", "masked" (a completion is masked; of a text some 15 % of the tokens, always the same) or "seq2seq" (the
    prompt is the encoder's). Rows longer than the window are cut at their end, or at their beginning where the prompt
    alone fills it, and that is noted; with `strict` they are refused.
    """
    reader = Reader(tokenizer)
    numbers: dict[int, int] = {}  # equal tokens are one object: 8 bytes for each of a row's, not 36
    made, kinds = [], set()
    called = rows.name if isinstance(rows, Rows) else "row {}".format
    for number, row in enumerate(progress(rows, "tokenising", "rows")):
        name = called(number)
        kind = kind_of_row(row, f"{name}: " if number or isinstance(rows, Rows) else "")
        if kind not in _TOKENIZE[model]:
            needed = " or ".join(" + ".join(columns) for columns in COLUMNS if columns[0] in _TOKENIZE[model])
            raise LlmattrError(f"for a {model} model {name} needs {needed}; it has the columns {', '.join(row)}")
        kinds.add(kind)
        ids, counted = _TOKENIZE[model][kind](row, reader, name)
        made.append(([numbers.setdefault(token, token) for token in ids], counted))
    longer = [number for number, (ids, _) in enumerate(made) if window is not None and len(ids) > window]
    if longer and strict:
        raise LlmattrError(f"{len(longer)} rows are longer than the window of {window} tokens, the first is row {longer[0]}")
    if longer:
        note(
            f"{len(longer)} of {len(rows)} rows are longer than the window of {window} tokens and are cut at their end, or at "
            "their beginning where the prompt alone fills it"
        )
        made = [_cut(ids, counted, window or 0, len(reader.around[0]), model) for ids, counted in made]
    empty = [number for number, (_, counted) in enumerate(made) if not counted.any()]
    if empty:
        some = ", ".join(map(called, empty[:5]))
        counted_from = "" if isinstance(rows, Rows) else ", counting from 0"
        roles = _roles(rows[empty[0]])
        raise LlmattrError(
            f"{len(empty)} rows have no token that the loss counts{counted_from}: {some}{roles}; leave them out, as "
            "llmattr curate --drop empty does"
        )
    unknown = tokenizer.unk_token_id
    lost = [n for n, (ids, counted) in enumerate(made) if unknown is not None and unknown in np.asarray(ids)[counted]]
    if lost:
        note(f"{len(lost)} of {len(rows)} rows have counted words that the tokenizer does not know, the first is row {lost[0]}")
    return Examples(rows, [ids for ids, _ in made], [counted for _, counted in made], _loss(kinds, model))


def unanswered(row: Mapping[str, Any]) -> list[str]:
    """Whose turns a chat has in which the assistant has none; nothing of any other row."""
    roles = list(dict.fromkeys(turn["role"] for column in CHATS if is_chat(row.get(column)) for turn in row[column]))
    return [] if "assistant" in roles else roles


def _roles(row: Mapping[str, Any]) -> str:
    roles = unanswered(row)
    return f" (turns of {', '.join(map(repr, roles))}, none of 'assistant')" if roles else ""


def _loss(kinds: Collection[str], model: str) -> str:
    """What the loss counts of rows of these kinds."""
    of_each = [LOSSES[kind] if len(kinds) == 1 else f"{LOSSES[kind]} (of rows with {kind})" for kind in LOSSES if kind in kinds]
    return f"{', '.join(of_each)}{', masked' if model == 'masked' else ''}"


def _cut(ids: list[int], counted: np.ndarray, window: int, special: int, model: str) -> tuple[list[int], np.ndarray]:
    """A row's first tokens; where none of them counts, since a prompt fills the window, its special ones and its last."""
    if len(ids) <= window or counted[:window].any():
        return ids[:window], counted[:window]
    places = [*range(special), *range(special + len(ids) - window, len(ids))]
    kept = counted[places]
    kept[0] &= model != "causal"  # nothing predicts the first token
    return [ids[place] for place in places], kept


def _field(row: Mapping[str, Any], name: str, called: str) -> str:
    if not isinstance(row.get(name), str):
        raise LlmattrError(f"{called} has no text in {name!r}: {row.get(name)!r}")
    return check_text(row[name], f"{name!r} of {called}")


def _from_text(row: Mapping[str, Any], reader: Reader, called: str) -> tuple[list[int], np.ndarray]:
    ids = reader.ended(reader.begun(reader.encode(_field(row, "text", called)).ids))
    return ids, np.arange(len(ids)) > 0  # nothing predicts the first token


def _from_completion(row: Mapping[str, Any], reader: Reader, called: str) -> tuple[list[int], np.ndarray]:
    if is_chat(row["prompt"]):
        before, said = _checked(row, "prompt", called), _checked(row, "completion", called)
        return _from_chat(Chat(reader, [*before, *said], called, row.get("tools"), len(before)))
    before, after = reader.parted(_field(row, "prompt", called), _field(row, "completion", called))
    before, after = reader.begun(before), reader.ended(after.ids) if after.ids else []
    return before + after, np.arange(len(before) + len(after)) >= max(len(before), 1)


def _from_messages(row: Mapping[str, Any], reader: Reader, called: str) -> tuple[list[int], np.ndarray]:
    return _from_chat(Chat(reader, _checked(row, "messages", called), called, row.get("tools")))


def _from_chat(chat: Chat) -> tuple[list[int], np.ndarray]:
    if not chat.reader.tokenizer.chat_template:
        raise LlmattrError("rows with messages need a model with a chat template; use prompt + completion for this one")
    ids, counted = said_by_assistant(chat)
    counted[:1] = False
    return ids, counted


def _checked(row: Mapping[str, Any], name: str, called: str) -> list[Mapping[str, Any]]:
    """The messages in this column."""
    messages = row[name]
    check_chat(messages, name, called)
    for place, message in enumerate(messages, 1):
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            raise LlmattrError(f"message {place} of {called} has a part that is no text: {content!r:.60}")
    return list(messages)


def _from_both_sides(row: Mapping[str, Any], reader: Reader, called: str) -> tuple[list[int], np.ndarray]:
    """The encoder's tokens, then the decoder's."""
    before = reader.tokenizer(_field(row, "prompt", called), verbose=False)["input_ids"]
    after = reader.tokenizer(text_target=_field(row, "completion", called), verbose=False)["input_ids"]
    return before + after, np.arange(len(before) + len(after)) >= len(before)


def _masked_completion(row: Mapping[str, Any], reader: Reader, called: str) -> tuple[list[int], np.ndarray]:
    before, after = reader.parted(_field(row, "prompt", called), _field(row, "completion", called))
    begun = reader.begun(before)
    ids = reader.ended(begun + after.ids)
    places = np.arange(len(ids))
    return ids, (places >= len(begun)) & (places < len(begun) + len(after.ids))


def _masked_text(row: Mapping[str, Any], reader: Reader, called: str) -> tuple[list[int], np.ndarray]:
    inside = reader.encode(_field(row, "text", called)).ids
    begun = reader.begun(inside)
    real = np.arange(len(begun) - len(inside), len(begun))
    ids = reader.ended(begun)
    chosen = generator(0, "masked", row["text"]).permutation(real)[: max(1, round(MASKED * len(real)))]
    return ids, np.isin(np.arange(len(ids)), chosen)


_TOKENIZE = {
    "causal": {"messages": _from_messages, "prompt": _from_completion, "text": _from_text},
    "masked": {"prompt": _masked_completion, "text": _masked_text},
    "seq2seq": {"prompt": _from_both_sides},
}


def sample(examples: Examples, rows: int, seed: int) -> Examples:
    """So many examples, chosen by seed and content whatever their order: what directions and curvatures are fitted on."""
    digests = [hashlib.sha256(f"{seed} {ids}".encode()).digest() for ids in examples.ids]
    return examples.subset(sorted(sorted(range(len(examples)), key=lambda row: (digests[row], row))[:rows]))
