import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["LLMATTR_CACHE"] = tempfile.mkdtemp(prefix="llmattr-tests-")  # the user's is left alone


import jaxtyping
import pytest

from llmattr.model.lm import LM
from tests import ROOT, tiny_models

SHARED = ROOT.parent / "shared"


@pytest.fixture
def unchecked():
    """No annotation is checked, as for users: the library's own checks must hold by themselves."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with a tiny Llama that has a chat template."""
    return tiny_models.save(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def lm(request):
    """Both tiny models in float64, in which equal paths give equal numbers."""
    return LM(getattr(tiny_models, request.param)().double(), tiny_models.tokenizer(), request.param)


@pytest.fixture(scope="session")
def tiny():
    """One tiny model for tests in which the architecture plays no part."""
    return LM(tiny_models.llama().double(), tiny_models.tokenizer(), "tiny")


@pytest.fixture
def counted(tiny):
    """The tiny model, and a list of how many prompts it was asked to score each time."""
    asked = []

    class Counted(LM):
        def score(self, requests):
            asked.append(len(requests))
            return super().score(requests)

    return Counted(tiny.model, tiny.tokenizer, "counted"), asked


@pytest.fixture(scope="session")
def smollm2():
    """The embedded model; the first time its weights are converted."""
    pytest.importorskip("gguf")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LM.load("smollm2")


@pytest.fixture
def shared_data(monkeypatch):
    """The public sets, where the folder that has them is here."""
    folder = SHARED / "data"
    if not folder.exists():
        pytest.skip("the shared data is not here")
    monkeypatch.setenv("LLMATTR_EVAL_DATA", str(folder))
