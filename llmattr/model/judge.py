"""An entailment model: does what is cited say what the sentence says?"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.model.forward import setting
from llmattr.model.loading import complete, load_tokenizer, told

LONGEST = 512  # tokens that a model reads which does not say how many
AT_ONCE = 16  # parts of a premise
FOLLOWS = ("entail", "support", "consistent", "factual")  # how the label begins that says so


@dataclass(frozen=True, eq=False)
class Judge:
    """A classifier of (premise, claim) pairs, and which of its labels says that the claim follows."""

    name: str
    model: Any
    tokenizer: Any
    label: int

    @staticmethod
    @lru_cache(maxsize=1)
    def load(name: str) -> "Judge":
        """Load a hub id or a folder; raises `LlmattrError` for one that cannot say that a claim follows."""
        from transformers import AutoModelForSequenceClassification

        what = f"the entailment model {name!r}"
        tokenizer = load_tokenizer(name, what)
        with told(what, name, "weights"):
            model = complete(AutoModelForSequenceClassification, name).eval()
        labels = {int(i): str(label) for i, label in (model.config.id2label or {}).items()}
        found = [i for i, label in labels.items() if label.lower().startswith(FOLLOWS)]
        if len(labels) > 1 and len(found) != 1:
            raise LlmattrError(f"the labels of {name!r} are {', '.join(labels.values())}: which of them is entailment?")
        return Judge(name, model, tokenizer, found[0] if found else 0)

    def probability(self, premise: str, claim: str) -> float:
        """That the claim follows from the part of the premise that says it best: the softmax over the labels; of a model with
        one number, its logistic function.

        A premise that is longer than the model's window is read in parts that overlap by a quarter; a claim that would leave it
        no room is cut off, too.
        """
        import torch

        with torch.inference_mode():
            logits = torch.cat([self.model(**part).logits.float() for part in self._parts(premise, claim)])
        chances = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(-1)
        return float(chances[:, self.label].max())

    def _parts(self, premise: str, claim: str) -> Iterator[dict[str, Any]]:
        """The model's inputs, a few at a time."""
        longest = min(self.tokenizer.model_max_length, setting(self.model.config, "max_position_embeddings") or LONGEST)
        room = longest - self.tokenizer.num_special_tokens_to_add(pair=True)
        room -= len(self.tokenizer(claim, add_special_tokens=False).input_ids)
        how: dict[str, Any] = {"truncation": "longest_first"}
        if room > 0:
            how = {"truncation": "only_first", "return_overflowing_tokens": True, "stride": room // 4}
        inputs = self.tokenizer(premise, claim, max_length=longest, padding=True, return_tensors="pt", **how)
        inputs.pop("overflow_to_sample_mapping", None)
        for start in range(0, len(inputs["input_ids"]), AT_ONCE):
            yield {name: tensor[start : start + AT_ONCE] for name, tensor in inputs.items()}
