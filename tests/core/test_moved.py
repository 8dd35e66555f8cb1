"""Old paths still import, with a note."""

import sys
from importlib import import_module

import pytest

from llmattr.moved import MOVED

NAMES = {
    "llmattr.context.ablation": ("ContextAblation", "span_logits", "values"),
    "llmattr.training.gradient": ("BATCH_TOKENS", "Features", "Projector", "batch_tokens", "fill", "plan"),
}


@pytest.mark.parametrize("old", MOVED)
def test_a_path_of_before_with_its_names(old, monkeypatch):
    monkeypatch.setitem(sys.modules, old, None)  # so that what was there, or nothing, is there again for other tests
    del sys.modules[old]
    with pytest.warns(DeprecationWarning, match="the old name goes with the next release"):
        module = import_module(old)
    assert set(NAMES.get(old, ())) <= set(dir(module))
