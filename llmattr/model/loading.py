"""From a name, a folder or a hub id to a model and its tokenizer, complete, or to one line that says what to do."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llmattr.errors import LlmattrError, did_you_mean, note
from llmattr.model.diagnosis import Part, has_vocabulary, why
from llmattr.model.embedded import PACKAGES, embedded_folder
from llmattr.model.forward import setting

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

SHOWN = 3  # names of weights in a message


def load(name: str, dtype: str, **how: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The model and its tokenizer; an adapter (PEFT) is put on its base model, and has its tokenizer where it brings none.

    Raises `LlmattrError` for what cannot be found or read, and for weights that do not fit the configuration: a missing one
    would be drawn at random.
    """
    from transformers.models.auto.tokenization_auto import get_tokenizer_config
    from transformers.utils.peft_utils import find_adapter_config_file

    what, place = _named(name), _place(name)
    with told(what, place, "tokenizer"):
        adapter = find_adapter_config_file(place)
        tokenizer = _tokenizer(place) if not adapter or get_tokenizer_config(place) else None
    if adapter or tokenizer is None:
        model, of_base = _base(what, place, dtype, how)
        with told(what, place, "weights"):
            return _adapted(model, place), tokenizer or of_base
    with told(what, place, "weights"):
        return complete(_class_of(place), place, dtype=dtype, **how), tokenizer


def is_adapter(name: str) -> bool:
    """Whether the model of this name is an adapter (PEFT) on another; raises `LlmattrError` for what cannot be found."""
    from transformers.utils.peft_utils import find_adapter_config_file

    with told(_named(name), _place(name), "tokenizer"):
        return find_adapter_config_file(_place(name)) is not None


def own_dtype(name: str) -> str | None:
    """The type that the configuration of a model says its weights are in; None where it says none."""
    from transformers import AutoConfig

    with told(_named(name), _place(name), "weights"):
        dtype = setting(AutoConfig.from_pretrained(_place(name), trust_remote_code=False), "dtype")
    return None if dtype is None else str(dtype).removeprefix("torch.")


def load_tokenizer(name: str, what: str = "") -> "PreTrainedTokenizerBase":
    """The tokenizer alone, or that of `what` a message calls it."""
    place = _place(name)
    with told(what or f"the tokenizer {name!r}", place, "tokenizer"):
        return _tokenizer(place)


def _tokenizer(place: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    if tokenizer.vocab_files_names and Path(place).is_dir() and not has_vocabulary(Path(place)):
        raise FileNotFoundError(place)  # some versions make one up, of a few special tokens
    return tokenizer


@contextmanager
def told(what: str, place: str, part: Part) -> Iterator[None]:
    """Whatever goes wrong becomes `cannot load WHAT: why`: the loaders raise what they like."""
    try:
        yield
    except Exception as error:
        raise LlmattrError(f"cannot load {what}: {why(place, error, part)}") from error


def complete(kind: "type[_BaseAutoModelClass]", place: str, spare: str = "", **how: str) -> "PreTrainedModel":
    """A model of this transformers class whose every weight was in the checkpoint, but those that begin with `spare`."""
    model, found = kind.from_pretrained(
        place, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True, **how
    )
    if found["mismatched_keys"]:
        name, there, wanted = sorted(found["mismatched_keys"])[0]
        raise LlmattrError(
            f"{len(found['mismatched_keys'])} of its weights have other shapes than config.json says: {name} is {list(there)} "
            f"and must be {list(wanted)}: its files are of different models"
        )
    wanted = {name for name, _ in model.named_parameters(remove_duplicate=False)}  # buffers are computed, not read
    missing = sorted(name for name in wanted & set(found["missing_keys"]) if not spare or not name.startswith(spare))
    if missing:
        raise LlmattrError(
            f"{len(missing)} of the {len(wanted)} weights of a {type(model).__name__} are not in it and would be drawn at "
            f"random: {_some(missing)}: are its weights and its config.json (of a {_architecture(model)}) of the same model?"
        )
    if found["unexpected_keys"]:
        note(f"{place}: weights that a {type(model).__name__} has no place for are left out: {_some(found['unexpected_keys'])}")
    return model


def _base(what: str, place: str, dtype: str, how: dict[str, str]) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The base model of an adapter, and its tokenizer."""
    with told(what, place, "weights"):
        from peft import PeftConfig, PeftType

        config = PeftConfig.from_pretrained(place)
        if config.is_prompt_learning:
            kind = PeftType(config.peft_type).value
            raise LlmattrError(f"it is an adapter of the kind {kind}: only those of layers are read, as LoRA is")
        if not config.base_model_name_or_path:
            raise LlmattrError("its adapter_config.json names no base model: write its hub id or folder into it")
    if (Path(place) / "config.json").exists():  # the base model's weights lie beside the adapter's
        with told(what, place, "weights"):
            model = complete(_class_of(place), place, dtype=dtype, **how)
        with told(what, place, "tokenizer"):
            return model, _tokenizer(place)
    try:
        return load(config.base_model_name_or_path, dtype, **how)
    except LlmattrError as error:
        raise LlmattrError(f"cannot load {what}, an adapter, without its base model: {error}") from error


def _adapted(model: "PreTrainedModel", place: str) -> "PreTrainedModel":
    """The model with the adapter's layers in it, whose every weight was in the adapter's file."""
    from peft import PeftModel, get_peft_model_state_dict, load_peft_weights

    adapted = PeftModel.from_pretrained(model, place, autocast_adapter_dtype=False)
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    missing = sorted(set(wanted) - set(load_peft_weights(place, device="cpu")))
    if missing:
        raise LlmattrError(
            f"{len(missing)} of the adapter's {len(wanted)} weights are not in it and would be drawn at random: "
            f"{_some(missing)}: are its weights and its adapter_config.json of the same one?"
        )
    return cast("PreTrainedModel", adapted.get_base_model())


def _class_of(place: str) -> "type[_BaseAutoModelClass]":
    """The transformers class for a checkpoint: encoder-decoder and masked models are what their configuration says."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    if setting(config, "is_encoder_decoder"):
        return AutoModelForSeq2SeqLM
    masked = any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in config.architectures or [])
    return AutoModelForMaskedLM if masked else AutoModelForCausalLM


def _architecture(model: "PreTrainedModel") -> str:
    return next(iter(model.config.architectures or []), model.config.model_type)


def _place(name: str) -> str:
    return str(embedded_folder(name)) if name in PACKAGES else name


def _named(name: str) -> str:
    return f"the folder {name!r}" if Path(name).is_dir() else f"the model {name!r}{did_you_mean(name, PACKAGES)}"


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
