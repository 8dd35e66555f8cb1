"""Why a model cannot be loaded: looks at its files, once the loader has failed, for the one to blame."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from llmattr.errors import LlmattrError

Part = Literal["tokenizer", "weights"]
AGAIN = "copy or download it again"
CONFIGS = ("config.json", "adapter_config.json", "generation_config.json")
OF_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
NO_TOKENIZER = (
    "it has no tokenizer (tokenizer.json): save that of the model it was trained from into it "
    "(AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)), or give the pair (model, tokenizer)"
)
VOCABULARIES = ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken", "merges.txt", "tekken.json")


def why(place: str, error: Exception, part: Part) -> str:
    """What is wrong and what to do, in one line."""
    if isinstance(error, LlmattrError):
        return str(error)
    path = Path(place)
    if path.is_dir():
        looks: list[Callable[[Path], str | None]] = [_is_no_model, _configs, _tokenizer if part == "tokenizer" else _weights]
        return next(filter(None, (look(path) for look in looks)), None) or reason(error)
    if path.is_file():
        return _file(path)
    if place.startswith(("http://", "https://")):
        return "it is an address: give a hub id or a folder (only what does not look into the model can ask a server)"
    if path.is_absolute() or place.startswith((".", "~")) or place.count("/") > 1 or (os.sep not in "/" and os.sep in place):
        return "there is no such folder"
    if "couldn't connect" in str(error):
        return (
            "there is no folder of this name, it was not downloaded before, and the hub is not asked (HF_HUB_OFFLINE) or not "
            "reached: give a folder, or download it where there is a connection (hf download)"
        )
    if "Repo id must" in str(error):
        return "it is no folder, and no id of a model on the hub"
    return reason(error)


def reason(error: Exception) -> str:
    """The loader's own words, as far as they help."""
    said = str(error).strip()
    if "trust_remote_code" in said:
        return (
            "it needs code of its own, and llmattr runs none (trust_remote_code is off): load it yourself and give the pair "
            "(model, tokenizer)"
        )
    if isinstance(error, pickle.UnpicklingError):
        return "its file is damaged or holds more than weights (pickle), which is not opened: take it as safetensors"
    first = next(iter(said.splitlines()), "")
    return first if isinstance(error, (OSError, ValueError, RuntimeError, ImportError)) else f"{type(error).__name__}: {first}"


def _file(path: Path) -> str:
    if path.suffix == ".gguf":
        return (
            "GGUF files are not read: give the folder or hub id of the model that it was made from, or the http:// address of "
            "a server that runs it"
        )
    return f"it is a file: give its folder ({str(path.parent)!r}), with config.json and the tokenizer in it"


def _is_no_model(folder: Path) -> str | None:
    if not any(folder.iterdir()):
        return "the folder is empty"
    if _weight_files(folder):
        lacks = not any((folder / name).exists() for name in CONFIGS[:2])
        return "it has no config.json, which says what its weights are: copy it from the base model" if lacks else None
    steps = sorted(path.name for path in folder.glob("checkpoint-*") if path.is_dir())
    if steps:
        return (
            f"it holds a Trainer's checkpoints and no final model: give one of them, such as {str(folder / steps[-1])!r}, or "
            "all of them to an index: --checkpoints FOLDER (build_index(checkpoints=...))"
        )
    ggufs = sorted(folder.glob("*.gguf"))
    return _file(ggufs[0]) if ggufs else "it has no weights (model.safetensors), so it is no folder of a model"


def _configs(folder: Path) -> str | None:
    return _damaged_json(folder, CONFIGS)


def _tokenizer(folder: Path) -> str | None:
    damaged, file = _damaged_json(folder, OF_TOKENIZERS), folder / "tokenizer.json"
    if damaged or not has_vocabulary(folder):
        return damaged or NO_TOKENIZER
    if not file.exists():
        return None
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(file))
    except Exception as error:  # it raises nothing narrower
        return f"{str(file)!r} is damaged, or of a newer version of tokenizers ({error}): {AGAIN}"
    return None


def has_vocabulary(folder: Path) -> bool:
    """Whether there is any file that a tokenizer could be read from."""
    return any(path for pattern in VOCABULARIES for path in folder.glob(pattern))


def _weights(folder: Path) -> str | None:
    for index in folder.glob("*.index.json"):
        named = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        gone = sorted(name for name in named if not (folder / name).exists())
        if gone:
            return f"{len(gone)} of the {len(named)} files that {index.name} names are not there, such as {gone[0]}: {AGAIN}"
    return next(filter(None, map(_damage, _weight_files(folder))), None)


def _weight_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("*.index.json")])


def _damage(file: Path) -> str | None:
    """What is wrong with a file of weights."""
    from safetensors import SafetensorError, safe_open

    try:
        if _is_pointer(file):
            return f"{str(file)!r} is a pointer of Git LFS and not the file: git lfs pull"
        if file.suffix == ".safetensors":
            with safe_open(file, "pt"):
                return None
        if file.suffix == ".bin" and not zipfile.is_zipfile(file):
            return f"{str(file)!r} is damaged, cut off or no file of weights: {AGAIN}, or take it as safetensors"
    except SafetensorError as error:
        return f"{str(file)!r} is damaged or cut off ({error}): {AGAIN}"
    except OSError as error:
        return f"cannot read {str(file)!r}: {error.strerror}"
    return None


def _damaged_json(folder: Path, names: tuple[str, ...]) -> str | None:
    for file in [*(folder / name for name in names), *folder.glob("*.index.json")]:
        try:
            if file.exists() and _is_pointer(file):
                return f"{str(file)!r} is a pointer of Git LFS and not the file: git lfs pull"
            if file.exists() and not isinstance(json.loads(file.read_text(encoding="utf-8")), dict):
                return f"{str(file)!r} is damaged (no JSON object): {AGAIN}"
        except ValueError as error:
            return f"{str(file)!r} is damaged ({error}): {AGAIN}"
        except OSError as error:
            return f"cannot read {str(file)!r}: {error.strerror}"
    return None


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(24).startswith(b"version https://git-lfs")
