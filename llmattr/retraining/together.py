"""Several runs as one batched program: the same numbers as one run after the other, up to rounding.

Every tensor of the models has one more dimension in front. A step's rows lie one behind the other in bins not much longer
than the longest of them, and a token sees nothing but its own row: so hardly any padding is computed, and logits only where
they count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedModel

from llmattr.core.progress import progress
from llmattr.errors import note
from llmattr.model.attention import BESIDES
from llmattr.model.forward import attempt, remembered, sees_all, setting
from llmattr.model.odds import log_odds
from llmattr.model.padded import batches
from llmattr.retraining.recipe import Recipe, check_weights
from llmattr.retraining.trainer import adamw, check_finite, check_learned, clip, padded, set_rate, started
from llmattr.text.prompt import Rendered
from llmattr.text.rows import Examples

if TYPE_CHECKING:
    from llmattr.model.lm import LM

ATTENTION = "llmattr-bins"  # what `bins_attention` is called in transformers
Tensors = dict[str, torch.Tensor]  # by name
Numbers = Int[np.ndarray, " tokens"]
MOST_NUMBERS = 2**25  # in one tensor, of all models: 134 MB in float32


def train_together(
    model: PreTrainedModel, examples: Examples, weights: Float[np.ndarray, "k n"], seeds: Sequence[int], recipe: Recipe
) -> "Stack":
    """The k models of `train(model, examples, weights[i], seeds[i], recipe)`, trained side by side.

    AdamW works number by number and the gradient is clipped for each model by itself, so no model knows of the others: their
    numbers differ from those of `train` by rounding alone (which more steps enlarge). For models that `can_stack`.
    """
    for row in weights:
        check_weights(row, len(examples))
    recipe = recipe.for_rows(len(examples))
    _keep_freed_memory()
    stack = Stack.of([started(model, seed, recipe) for seed in seeds])
    empty = weights.max(axis=1) == 0
    if empty.all():
        return stack
    untouched = {name: tensor[empty].clone() for name, tensor in stack.parameters.items()}
    data, optimizer = TokenRows.of(examples.ids, examples.counted), adamw(stack.parameters, recipe, stacked=True)
    kept = (weights > 0) | empty[:, None]  # where nothing is kept, rows of weight 0 fill the place
    order = np.stack([recipe.batches(row, seed) for row, seed in zip(kept, seeds, strict=True)], axis=1)
    for step, rows in enumerate(progress(order, f"{len(weights)} models", "steps")):
        batch = data.packed(rows, np.take_along_axis(weights, rows, axis=1), stack.like)
        losses = stacked_loss(stack.logits(batch), batch)
        check_finite(torch.isfinite(losses), f"the loss is not finite at step {step + 1}", weights, seeds)
        losses.sum().backward()
        clip([p.grad for p in stack.parameters.values() if p.grad is not None], recipe.clip, stacked=True)
        set_rate(optimizer, recipe.rate(step))
        optimizer.step()
        optimizer.zero_grad()
    for name, tensor in untouched.items():
        stack.parameters[name].data[empty] = tensor
    check_learned(stack.parameters, weights, seeds)
    return stack


@torch.no_grad()
def measure_together(stack: "Stack", lm: "LM", requests: Sequence[Rendered]) -> list[list[Float[np.ndarray, "..."]]]:
    """What `LM.logprobs` gives for the same requests under each of the k models, up to rounding: [k][request]."""
    inside = [np.isin(np.arange(len(one.ids)), np.arange(one.response.start, one.response.stop)) for one in requests]
    data, k = TokenRows.of([one.ids for one in requests], inside), len(next(iter(stack.parameters.values())))
    found: list[list[Any]] = [[None] * len(requests) for _ in range(k)]
    for numbers in batches(lm, requests):
        batch = data.packed(np.array([numbers]), np.ones((1, len(numbers))), stack.like)
        batch = Packed(*(tensor.expand(k, *tensor.shape[1:]) for tensor in batch))
        odds = log_odds(stack.logits(batch).flatten(0, 1), batch.said.flatten()).reshape(k, -1)
        borders = np.cumsum([inside[number].sum() for number in numbers])[:-1]
        for mine, row in zip(found, -np.logaddexp(0.0, -odds), strict=True):
            for number, part in zip(numbers, np.split(row, borders), strict=True):
                mine[number] = part
    return found


class Packed(NamedTuple):
    """A step of k models: t = bins l tokens each, and the p counted ones: where each is predicted, what it is, its weight."""

    ids: Int[torch.Tensor, "k t"]
    positions: Int[torch.Tensor, "k t"]
    seen: Float[torch.Tensor, "k bins 1 l l"]  # 0 or -inf, added to the attention's logits
    places: Int[torch.Tensor, "k p"]
    said: Int[torch.Tensor, "k p"]
    weights: Float[torch.Tensor, "k p"]


@dataclass(frozen=True, eq=False)
class TokenRows:
    """The tokens of n rows, one row behind the other."""

    tokens: Int[np.ndarray, " tokens"]
    counted: np.ndarray
    lengths: Int[np.ndarray, " n"]

    @staticmethod
    def of(ids: Sequence[list[int]], counted: Sequence[np.ndarray]) -> "TokenRows":
        """Rows from their tokens and from which of them count."""
        return TokenRows(np.concatenate(ids).astype(np.int64), np.concatenate(counted), np.array([len(one) for one in ids]))

    def packed(self, rows: Int[np.ndarray, "k b"], weights: Float[np.ndarray, "k b"], like: torch.Tensor) -> Packed:
        """The tensors of k batches of b rows with these weights, on the device and of the type of `like`."""
        k = len(rows)
        lengths = self.lengths[rows]
        size, placed = _bins(lengths)
        t = size * max(bins for _, bins in placed)
        n = lengths.ravel()
        within = _counting(n)  # a token's place in its row
        starts = (np.cumsum(self.lengths) - self.lengths)[rows]
        begins = np.array([places for places, _ in placed]) + t * np.arange(k)[:, None]
        source = np.repeat(starts.ravel(), n) + within  # where each token stands here
        target = np.repeat(begins.ravel(), n) + within  # and where in the k batches of t places

        ids = np.zeros(k * t, dtype=int)
        positions = np.zeros(k * t, dtype=int)
        row = np.full(k * t, -1)
        ids[target] = self.tokens[source]
        positions[target] = within
        row[target] = np.repeat(np.arange(rows.size), n)

        places, said, share = self._counted(source, target, (k, t), np.repeat(weights.ravel(), n))

        def made(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to(like.device)

        return Packed(
            ids=made(ids.reshape(k, t)),
            positions=made(positions.reshape(k, t)),
            seen=made(_seen(row.reshape(k, -1, 1, size))).to(like.dtype),
            places=made(places),
            said=made(said),
            weights=made(share).to(torch.promote_types(like.dtype, torch.float32)),
        )

    def _counted(
        self, source: Numbers, target: Numbers, shape: tuple[int, int], weights: Float[np.ndarray, " tokens"]
    ) -> tuple[Int[np.ndarray, "k p"], Int[np.ndarray, "k p"], Float[np.ndarray, "k p"]]:
        """Where the counted tokens of k batches of t places are predicted, what they are, and their shares of the loss.

        `source`, `target`: where each token stands here, and in the batches; `weights`: that of its row.
        """
        k, t = shape
        counted = self.counted[source]
        model = target[counted] // t
        tokens = np.bincount(model, minlength=k)  # that count, of each batch
        cell = (model, _counting(tokens))
        places = np.zeros((k, tokens.max()), dtype=int)
        said = np.zeros(places.shape, dtype=int)
        share = np.zeros(places.shape)
        places[cell] = target[counted] % t - 1  # a token is predicted one place before it
        said[cell] = self.tokens[source[counted]]
        share[cell] = weights[counted] / tokens[model]
        return places, said, share


@dataclass(frozen=True, eq=False)
class Stack:
    """k models of one shape: the code of one, and the parameters and buffers of all, stacked."""

    model: PreTrainedModel
    parameters: Tensors
    buffers: Tensors

    @staticmethod
    def of(models: list[PreTrainedModel]) -> "Stack":
        """Take over these models; the first of them changes its attention."""
        from transformers import AttentionInterface

        AttentionInterface.register(ATTENTION, bins_attention)
        parameters, buffers = torch.func.stack_module_state(models)
        models[0].set_attn_implementation(ATTENTION)
        return Stack(models[0], parameters, buffers)

    @property
    def like(self) -> torch.Tensor:
        """A tensor whose device and type all have."""
        return next(iter(self.parameters.values()))

    def logits(self, batch: Packed) -> Float[torch.Tensor, "k p v"]:
        """Each model's logits at the places of its batch."""
        return torch.vmap(self._one)((self.parameters, self.buffers), tuple(batch[:4]))

    def _one(self, weights: tuple[Tensors, Tensors], batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        ids, positions, seen, places = batch
        given = {"input_ids": ids[None], "position_ids": positions[None], "attention_mask": seen, "logits_to_keep": places}
        return torch.func.functional_call(self.model, weights, kwargs={**given, "use_cache": False}).logits.squeeze(0)


def stacked_loss(logits: Float[torch.Tensor, "k p v"], batch: Packed) -> Float[torch.Tensor, " k"]:
    """The loss of `train`, of each model."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    said = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.said.flatten(), reduction="none")
    return (said.view(batch.said.shape) * batch.weights).sum(1)


def bins_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    scaling: float | None = None,
    **options: object,
) -> tuple[torch.Tensor, None]:
    """Attention inside each bin: queries [1, heads, t, d], the mask [bins, 1, l, l] of `Packed` -> [1, t, heads, d]."""
    if any(options.get(name) is not None for name in BESIDES):  # not always seen by trying: new weights hardly reach a limit
        raise NotImplementedError(f"attention with {' or '.join(BESIDES)}")
    _, heads, t, d = query.shape
    bins, _, _, length = attention_mask.shape
    if key.shape[1] != heads:  # several heads share keys and values
        key, value = (one.repeat_interleave(heads // one.shape[1], dim=1) for one in (key, value))
    q, k, v = (one.reshape(heads * bins, length, one.shape[-1]) for one in (query, key, value))
    mask = attention_mask.transpose(0, 1).expand(heads, bins, length, length).reshape(heads * bins, length, length)
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=d**-0.5 if scaling is None else scaling)
    return torch.bmm(scores.softmax(-1), v).reshape(1, heads, t, -1).transpose(1, 2), None


def most_together(model: PreTrainedModel, examples: Examples, batch: int) -> int:
    """How many such models are trained together at best, with so many rows in a step; 1: it does not pay.

    A small model's operations are too short for a processor; from some millions of parameters on its matrix products take all
    the time. Measured (eval/results/bench_retrain.md): 16 models of 0.2 million parameters train more than twice as fast as
    alone, 4 of 1 million 1.5 times, 2 of 5 million 1.2 times. Fewer where logits or attention would need much memory.
    """
    parameters, config = sum(p.numel() for p in model.parameters()), model.config.get_text_config()
    known = [k for most, k in ((300_000, 16), (2_000_000, 4), (8_000_000, 2)) if parameters <= most]
    logits = np.mean([one.sum() for one in examples.counted]) * config.vocab_size
    attention = max(map(len, examples.ids)) ** 2 * setting(config, "num_attention_heads", 1)
    return max(1, min(known[0] if known else 1, int(MOST_NUMBERS / (batch * max(logits, attention)))))


def can_stack(model: PreTrainedModel, longest: int) -> bool:
    """Whether stacked models answer rows of this length as the model itself does; tried once on a few tokens.

    Its attention must be exchangeable and see all of a row, and `torch.vmap` must take it.
    """
    return _stacks(model) and sees_all(model.config.get_text_config(), longest)


@remembered
def _stacks(model: PreTrainedModel) -> bool:
    stacks = bool(attempt(lambda: _agrees(model)))
    if not stacks:
        name = setting(model.config, "_name_or_path") or "this model"
        note(f"{name} cannot be trained several at once: its runs come one after the other")
    return stacks


def _agrees(model: PreTrainedModel) -> bool:
    """Compare the logits of the model and of a changed copy with those of the stack of both."""
    ids = [[token % model.config.get_text_config().vocab_size for token in row] for row in ([5, 6, 7, 8, 9], [7, 5], [9, 8, 6])]
    counted, recipe = [np.arange(len(row)) > 0 for row in ids], Recipe()
    pair = [started(model, 0, recipe) for _ in range(2)]
    for tensor in pair[1].parameters():
        tensor.mul_(0.9)
    tokens, places = padded(ids, counted, model.device)
    plain = torch.stack([one(input_ids=tokens, use_cache=False).logits[:, :-1][places[:, 1:]] for one in pair])
    stack = Stack.of(pair)
    rows = np.tile(np.arange(len(ids)), (2, 1))
    with torch.enable_grad():
        found = stack.logits(TokenRows.of(ids, counted).packed(rows, np.ones(rows.shape), stack.like))
        found.sum().backward()
    # Rounding grows with depth; a wrong pattern is off by much more.
    return float((found.detach() - plain).abs().max()) <= 100 * torch.finfo(plain.dtype).eps ** 0.75 * float(plain.abs().max())


def _keep_freed_memory() -> None:
    """glibc gives memory back and asks for it again at every step, until a block of 32 MB was freed: then it keeps as much."""
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


def _bins(lengths: Int[np.ndarray, "k b"]) -> tuple[int, list[tuple[list[int], int]]]:
    """How long bins are, and what `_first_fit` does with them: as the longest row, or half as long again if that saves room."""
    longest = int(lengths.max())
    tried = [(size, [_first_fit(one, size) for one in lengths.tolist()]) for size in (longest, longest * 3 // 2)]
    return min(tried, key=lambda way: way[0] * max(bins for _, bins in way[1]))


def _first_fit(lengths: list[int], size: int) -> tuple[list[int], int]:
    """Where each row begins when long ones are put first, each into the first bin that has room; the number of bins."""
    begins, filled = [0] * len(lengths), []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = next((at for at, used in enumerate(filled) if used + lengths[i] <= size), len(filled))
        if at == len(filled):
            filled.append(0)
        begins[i] = at * size + filled[at]
        filled[at] += lengths[i]
    return begins, len(filled)


def _counting(lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " sum"]:
    """0 1 2 ... for each length anew."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _seen(row: Int[np.ndarray, "k bins 1 l"]) -> Float[np.ndarray, "k bins 1 l l"]:
    """0 where a token may look: at its own row, and not ahead."""
    size = row.shape[-1]
    return np.where((row[..., :, None] == row[..., None, :]) & np.tri(size, dtype=bool), np.float32(0), np.float32(-np.inf))
