"""An entailment model: does what is cited say what the sentence says?"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmattr.errors import LlmattrError
from llmattr.model.forward import setting
from llmattr.model.loading import complete, load_tokenizer, told

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
        """That the claim follows from the premise, which is cut off where both are longer than the model's window.

        A claim that would leave the premise no room is cut off, too. The softmax over the labels; of a model with one
        number, its logistic function.
        """
        import torch

        longest = min(self.tokenizer.model_max_length, setting(self.model.config, "max_position_embeddings") or 512)
        room = longest - self.tokenizer.num_special_tokens_to_add(pair=True)
        way = "only_first" if len(self.tokenizer(claim, add_special_tokens=False).input_ids) < room else "longest_first"
        inputs = self.tokenizer(premise, claim, truncation=way, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            logits = self.model(**inputs).logits[0].float()
        chances = logits.sigmoid() if len(logits) == 1 else logits.softmax(-1)
        return float(chances[self.label])
