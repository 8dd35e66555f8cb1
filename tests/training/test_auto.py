"""`auto`: which method it takes, and what it says."""

import subprocess
import sys

import pytest

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.training.methods.auto import Auto
from llmattr.training.trace import build_index, open_index
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "llmattr", *arguments], capture_output=True, text=True)


def built(model, out, method="auto", **options):
    return build_index(model, ROWS, out, method, **options).index.run


def test_it_says_what_it_takes_for_what(tmp_path):
    pair = (tiny_models.llama(), tiny_models.tokenizer())
    with pytest.warns(LlmattrNote, match="auto takes trackstar for finding: .* several --checkpoints of the run do better"):
        run = built(pair, tmp_path / "finding")
    assert run["method"]["name"] == "trackstar"
    assert run["layers"] == ["lm_head", "model.embed_tokens"]
    with pytest.warns(
        LlmattrNote, match="auto takes trak for predicting: TRAK of the head's gradients foretells retraining best$"
    ):
        build_index(None, ROWS, tmp_path / "predicting", Auto(for_="predicting"), checkpoints=[pair, pair])
    asked = open_index(tmp_path / "predicting", [pair, pair])
    assert {part.index.run["method"]["name"] for part in asked.checkpoints} == {"trak"}
    assert asked.query(ASKED).values.shape == (1, 20)


def test_of_an_adapter_it_takes_its_own_gradients(tmp_path):
    peft = pytest.importorskip("peft")
    tiny_models.save(tmp_path / "base")
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    tiny_models.tokenizer().save_pretrained(tmp_path / "adapter")
    for number, model in enumerate((tmp_path / "adapter", (adapted, tiny_models.tokenizer()))):
        with pytest.warns(LlmattrNote, match="auto takes trackstar for finding: cosines of the adapter's whitened gradients"):
            assert all("lora_" in name for name in built(model, tmp_path / str(number))["layers"])


def test_another_purpose_is_refused(tmp_path):
    unknown = Auto()
    object.__setattr__(unknown, "for_", "knowing")
    with pytest.raises(LlmattrError, match=r"for_.*knowing"):
        built((tiny_models.llama(), tiny_models.tokenizer()), tmp_path / "i", unknown)


@pytest.mark.slow
def test_on_the_command_line(tmp_path):
    tiny_models.save(tmp_path / "m")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Ship 1 is ", "completion": "red."}\n{"text": "The canal is long."}\n')
    given = ["trace", "index", "--data", str(tmp_path / "rows.jsonl"), "--model", str(tmp_path / "m"), "--out"]
    done = run(*given, str(tmp_path / "i"), "--for", "predicting")
    assert done.returncode == 0
    assert "note: auto takes trak for predicting" in done.stderr
    done = run(*given, str(tmp_path / "j"), "trak", "--damping", "0.1")
    assert done.returncode == 2
    assert done.stderr.startswith("llmattr: error: damping is ridge now")
    assert "write --ridge" in done.stderr
