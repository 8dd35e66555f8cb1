"""A language model: load it, score responses, generate."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError, check_choice, check_number, note
from llmattr.model.contract import Scorer
from llmattr.model.forward import check_vocabulary, evaluating, setting, vocabulary
from llmattr.model.loading import load
from llmattr.model.scoring import score
from llmattr.model.weights import check_whole, weights_told
from llmattr.text.prompt import Rendered, special_ids
from llmattr.text.rows import Examples, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16", "float16", "float64", "auto", "fast")


@dataclass(frozen=True, eq=False)
class LM:
    """A language model (`kind` says which) and its tokenizer.

    A batch holds at most `max_batch_tokens` tokens with their padding. `share_prefixes`: compute what prompts begin with
    together only once, where the model allows it (exact).
    """

    model: "PreTrainedModel"
    tokenizer: Any  # of transformers, whose special tokens have no types
    name: str = ""
    max_batch_tokens: int = 1024
    padding_side: str = "left"
    share_prefixes: bool = True

    @staticmethod
    def load(model: object, dtype: str | None = None, device: str | None = None) -> "LM":
        """Load `model`: a hub id, a local folder, "smollm2" (the embedded one), a (model, tokenizer) pair, or an LM.

        `dtype`: float32 (the default), bfloat16, float16, float64, "auto" = the checkpoint's own, "fast" = bfloat16 where the
        device has it (`fast_dtype`).
        `device`: the GPU where there is one; "auto" spreads a model that is too big for one device over all (accelerate). A
        loaded model keeps both; it is in evaluation mode while it is asked, and afterwards in the mode that it was in. Raises
        `LlmattrError` for a model that cannot be found or read, and for a loaded one in another type.
        """
        if dtype is not None:
            check_choice("dtype", dtype, DTYPES)
        if isinstance(model, (tuple, list)) and len(model) == 2 and isinstance(model[0], torch.nn.Module):
            model = _of_pair(*model)
        if isinstance(model, LM):
            if dtype not in (None, "fast", "auto", model.record()["dtype"]):
                raise LlmattrError(f"the model is loaded in {model.record()['dtype']}: load it in {dtype} (dtype=)")
            return model
        if not isinstance(model, (str, Path)) or not str(model):
            given = repr(model) if isinstance(model, str) else type(model).__name__
            served = ": a server shows no weights" if isinstance(model, Scorer) else ""
            raise LlmattrError(f"the model must be a name, a folder or a (model, tokenizer) pair, not {given}{served}")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = fast_dtype(device) if dtype == "fast" else dtype or "float32"
        if device == "auto":
            loaded, tokenizer = load(str(model), dtype, device_map="auto")
            return LM(loaded.eval(), tokenizer, str(model), _batch_tokens(on_cpu=False))
        _check_device(device)
        loaded, tokenizer = load(str(model), dtype)
        placed = loaded.to(device)  # pyright: ignore[reportArgumentType]: transformers wraps `to`
        return LM(placed.eval(), tokenizer, str(model), _batch_tokens(device == "cpu"))

    @property
    def device(self) -> torch.device:
        """Where the model's input goes."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The type that the model computes in."""
        return self.model.dtype

    @property
    def kind(self) -> Literal["causal", "masked", "seq2seq"]:
        """Whether it predicts the next token, masked tokens, or what an encoder's text is answered with."""
        if setting(self.model.config, "is_encoder_decoder"):
            return "seq2seq"
        return "masked" if type(self.model).__name__.endswith("ForMaskedLM") else "causal"

    @property
    def window(self) -> int | None:
        """The most tokens the model can read, or None where its configuration names no limit."""
        return setting(self.model.config.get_text_config(), "max_position_embeddings")

    def linears(self, pattern: str = "") -> dict[str, torch.nn.Module]:
        """The linear layers (also GPT-2's Conv1D) whose name the regular expression finds."""
        from transformers.pytorch_utils import Conv1D

        modules = self.model.named_modules()
        return {name: m for name, m in modules if isinstance(m, (torch.nn.Linear, Conv1D)) and re.search(pattern, name)}

    def generate(self, ids: list[int], max_new_tokens: int = 256) -> list[int]:
        """The model's greedy continuation as token ids, without the end of text; at most to the end of the window.

        Other settings are the checkpoint's own (`generation_config`). Says when it was cut off; raises for NaN.
        """
        check_number("max_new_tokens", max_new_tokens, 1, whole=True)
        self.check([ids], room=1)
        room = max_new_tokens if self.window is None else min(max_new_tokens, self.window - len(ids))
        tokens = torch.tensor([ids], device=self.device)
        model = cast(Any, self.model)  # one that generates, which PreTrainedModel says of none
        with _Tokens(room) as bar, evaluating(self.model):
            out = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=room,
                do_sample=False,
                num_beams=1,
                pad_token_id=self.pad_id,
                streamer=bar,
            )
        new = out[0, len(ids) :].tolist()
        ends = {new[-1]} & (special_ids(self.tokenizer) | set(np.ravel(self.model.generation_config.eos_token_id or [])))
        if not ends and len(new) == room:
            note(f"the answer was cut off at {room} tokens")
        if new[:1] == new[-1:]:  # one token, or the same again and again: is it the model's choice, or NaN?
            self.logprobs([Rendered([*ids, new[0]], slice(len(ids), len(ids) + 1), np.zeros((0, 2), dtype=int))])
        return new[:-1] if ends else new

    def logprobs(self, requests: Sequence[Rendered]) -> list[Float[np.ndarray, " r"]]:
        """Log-probabilities in nats of each request's response tokens, given all the tokens before them.

        Only the response's logits are computed, and what prompts begin with together only once (`scoring`). Raises
        `LlmattrError` for a request longer than the window and for NaN.
        """
        scored = dict(self.score(requests))
        return [scored[i] for i in range(len(requests))]

    def score(self, requests: Sequence[Rendered]) -> Iterator[tuple[int, Float[np.ndarray, " r"]]]:
        """The same one by one, each with its request's number, in the order in which they are computed."""
        if any(request.response.start < 1 for request in requests):
            raise LlmattrError("a prompt has no tokens: nothing can predict the first token of the response")
        self.check([request.ids for request in requests])
        with Progress(len(requests), "scoring", "ablations") as bar:
            for scored in score(self, requests) if requests else ():
                yield scored
                bar.update()

    def record(self) -> dict[str, str]:
        """What answered, for `run`."""
        return {"model": self.name, "dtype": str(self.dtype).removeprefix("torch."), "device": str(self.device)}

    def fingerprint(self, weights: bool = True) -> dict[str, str]:
        """Hashes of the model (configuration; names, shapes and up to 1,024 values of each weight) and of its tokenizer.

        The type of the weights does not count, and is told by `record`: a model in bfloat16 is the one in float32. `weights`
        False: of the configuration alone, where training starts from new ones.
        """
        config = self.model.config.to_dict()
        config = {key: value for key, value in config.items() if not key.startswith("_") and "dtype" not in key}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        if weights:
            digest.update(weights_told(self.model.state_dict()))
        fast = isinstance(self.tokenizer, PreTrainedTokenizerFast)
        text = self.tokenizer.backend_tokenizer.to_str() if fast else str(sorted(self.tokenizer.get_vocab().items()))
        text += str(self.tokenizer.chat_template)
        return {"model_hash": digest.hexdigest()[:16], "tokenizer_hash": hashlib.sha256(text.encode()).hexdigest()[:16]}

    def tokenize(self, rows: Sequence[Mapping[str, Any]], strict: bool = False) -> Examples:
        """Training rows or queries as the model reads them (`text.rows.tokenize`)."""
        examples = tokenize(rows, self.tokenizer, self.window, strict, self.kind)
        self.check(examples.ids)
        return examples

    def check(self, texts: Sequence[Sequence[int]], room: int = 0) -> None:
        """Raise `LlmattrError` for a text that leaves no such room in the window, or with a token that has no embedding."""
        check_vocabulary(texts, self.tokenizer, vocabulary(self))
        tokens = max(map(len, texts), default=0) + room
        if self.window is not None and tokens > self.window:
            raise LlmattrError(
                f"prompt and response have {tokens} tokens, {tokens - self.window} more than the window of {self.window} "
                f"tokens of {self.name or 'the model'}: shorten the context, give fewer documents, or take another model"
            )

    @property
    def pad_id(self) -> int:
        """What fills the room beside short prompts; it is never seen."""
        for token in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return token
        return 0


def _of_pair(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> LM:
    """A loaded model with its tokenizer."""
    match model:
        case torch.nn.Module(config=PretrainedConfig() as config):
            check_whole(model)
            on_cpu = next(model.parameters()).device.type == "cpu"
            return LM(model, tokenizer, setting(config, "_name_or_path", ""), _batch_tokens(on_cpu))
    raise LlmattrError(f"{type(model).__name__} has no configuration: give the transformers model inside of it")


def fast_dtype(device: str) -> str:
    """bfloat16 on a GPU and on a processor that multiply it by instructions of their own, else float32.

    The device is asked, not timed: the same call computes in the same type, whatever else the machine does.
    """
    if device != "cpu" and torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"


def _batch_tokens(on_cpu: bool) -> int:
    """Small batches suit a CPU: padding costs more than a wider matrix product gains."""
    return 1024 if on_cpu else 16384


def _check_device(device: str) -> None:
    """Before a model is loaded, which takes a while."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise LlmattrError(f"cannot use the device {device!r}: {str(error).splitlines()[0]}") from error


class _Tokens(Progress):
    """A progress bar that `generate` feeds as a streamer."""

    def __init__(self, total: int) -> None:
        super().__init__(total, "answering", "tokens")
        self.prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        self.update(value.numel() if self.prompt_seen else 0)
        self.prompt_seen = True

    def end(self) -> None:
        pass
