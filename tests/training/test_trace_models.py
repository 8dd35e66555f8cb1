"""Every kind of model, data that is appended, runs that are killed, and several processes."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model import batches
from llmattr.model.lm import LM
from llmattr.text.rows import tokenize
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.layers import linear_layers
from llmattr.training.gradients.untracked import track
from llmattr.training.index import approximate
from llmattr.training.index.store import GradientIndex
from llmattr.training.methods.products import GradCos
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, open_index, trace
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS


def loop(lm, layers, loss_of, n):
    """Gradients of `loss_of(i)` by autograd, one example at a time."""
    rows = []
    for i in range(n):
        lm.model.zero_grad()
        loss_of(i).backward()
        grads = [m.weight.grad for m in layers.values()]
        weights = [g.T if isinstance(m, torch.nn.Linear) else g for g, m in zip(grads, layers.values(), strict=True)]
        rows.append(torch.cat([w.flatten() for w in weights]))
    lm.model.zero_grad()
    return torch.stack(rows)


class TestKindsOfModels:
    def test_encoder_and_decoder(self):
        lm = LM(tiny_models.t5().double(), tiny_models.tokenizer())
        assert lm.kind == "seq2seq"
        examples, layers = tokenize(ROWS[:5], lm.tokenizer, model=lm.kind), linear_layers(lm)
        assert any("encoder" in name for name in layers)
        assert any("EncDecAttention" in name for name in layers)

        def loss_of(i):
            before = torch.tensor([lm.tokenizer(ROWS[i]["prompt"])["input_ids"]])
            after = torch.tensor([lm.tokenizer(ROWS[i]["completion"])["input_ids"]])
            return lm.model(input_ids=before, labels=after).loss * after.shape[1]

        expected = loop(lm, layers, loss_of, 5)
        found = exact_gradients(lm, examples, layers, batch=3)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())  # T5's norms: float32
        assert trace(lm, ROWS, ROWS[3], "grad-cos").top(1)[0].id == "3"
        with pytest.raises(LlmattrError, match=r"for a seq2seq model row 0 needs prompt \+ completion; it has"):
            trace(lm, [{"text": "a b"}], ASKED)

    def test_a_masked_model_is_asked_for_the_masked_completion(self):
        tokenizer = tiny_models.tokenizer()
        tokenizer.add_special_tokens({"mask_token": "<|im_start|>"})
        lm = LM(tiny_models.bert().double(), tokenizer)
        assert lm.kind == "masked"
        examples, layers = tokenize(ROWS[:5], tokenizer, model=lm.kind), linear_layers(lm)

        def loss_of(i):
            ids, counted = torch.tensor([examples.ids[i]]), torch.from_numpy(examples.counted[i])[None]
            hidden = ids.masked_fill(counted, tokenizer.mask_token_id)
            logits = lm.model(hidden, attention_mask=torch.ones_like(hidden)).logits
            return torch.nn.functional.cross_entropy(logits[counted], ids[counted], reduction="sum")

        expected = loop(lm, layers, loss_of, 5)
        torch.testing.assert_close(exact_gradients(lm, examples, layers, batch=3), expected, rtol=1e-9, atol=1e-11)
        said = [tokenizer.decode(np.array(ids)[c]) for ids, c in zip(examples.ids, examples.counted, strict=True)]
        assert [text.strip() for text in said] == [row["completion"] for row in ROWS[:5]]
        text = tokenize([{"text": "The canal is long and deep and wide."}], tokenizer, model="masked")
        assert 1 <= text.counted[0].sum() <= 3
        assert trace(lm, ROWS, ROWS[3], "grad-cos").top(1)[0].id == "3"

    @pytest.mark.parametrize("model", ["causal", "masked"])
    def test_a_prompt_that_fills_the_window_loses_its_beginning(self, model):
        """Else no token would be left that the loss counts, and one such row would refuse the whole file."""
        tokenizer, row = tiny_models.tokenizer(), {"prompt": "Ship 7 of the canal is " * 9, "completion": "red."}
        whole = tokenize([row], tokenizer, model=model)
        with pytest.warns(LlmattrNote, match="1 of 2 rows are longer than the window of 20 tokens and are cut"):
            cut = tokenize([ROWS[0], row], tokenizer, 20, model=model)
        assert cut.ids[1] == whole.ids[0][-20:]
        np.testing.assert_array_equal(cut.counted[1], whole.counted[0][-20:])

    def test_kinds_are_loaded_by_their_configuration(self, tmp_path):
        for name, kind in (("t5", "seq2seq"), ("bert", "masked"), ("gpt2", "causal")):
            getattr(tiny_models, name)().save_pretrained(tmp_path / name)
            tiny_models.tokenizer().save_pretrained(tmp_path / name)
            assert LM.load(tmp_path / name).kind == kind

    def test_a_model_spread_by_a_device_map(self, tmp_path):
        """On one device; on several, accelerate's hooks move what passes between them."""
        tiny_models.save(tmp_path / "m")
        spread = build_index(tmp_path / "m", ROWS, tmp_path / "a", "grad-dot", device="auto")
        plain = build_index(tmp_path / "m", ROWS, tmp_path / "b", "grad-dot", device="cpu")
        assert (spread.index.vectors == plain.index.vectors).all()

    def test_cite_needs_a_causal_one(self):
        from llmattr import cite

        with pytest.raises(LlmattrError, match="is a seq2seq model: cite needs one that predicts the next token"):
            cite((tiny_models.t5(), tiny_models.tokenizer()), "A text. Two.", "What?", response="x")

    def test_an_adapter_is_traced_by_its_own_weights(self, tmp_path):
        peft = pytest.importorskip("peft")
        tiny_models.save(tmp_path / "base")
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
        adapted.save_pretrained(tmp_path / "adapter")
        tiny_models.tokenizer().save_pretrained(tmp_path / "adapter")
        index = build_index(tmp_path / "adapter", ROWS, tmp_path / "i", "grad-cos")
        layers = index.index.run["layers"]
        assert len(layers) == 8
        assert all("lora_A" in name or "lora_B" in name for name in layers)
        assert open_index(tmp_path / "i").query(ROWS[3]).top(1)[0].id == "3"
        lm = LM.load(tmp_path / "adapter")
        examples, tracked = tokenize(ROWS[:3], lm.tokenizer), linear_layers(lm)
        for module in tracked.values():
            module.weight.requires_grad_(True)

        def loss_of(i):
            tokens = torch.tensor([examples.ids[i]])
            logprobs = lm.model(tokens).logits[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
            return -logprobs[torch.from_numpy(examples.counted[i][1:])].sum()

        expected = loop(lm, tracked, loss_of, 3)
        found = exact_gradients(lm, examples, tracked)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item())

    def test_what_is_not_tracked_is_named(self, tmp_path):
        """A router is no layer that could be tracked; the note names it, and run.json everything, by its share."""
        from transformers import MixtralConfig, MixtralForCausalLM

        torch.manual_seed(0)
        config = MixtralConfig(
            vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
        )  # fmt: skip
        model = MixtralForCausalLM(config).eval()
        with pytest.warns(LlmattrNote, match=r"not tracked.*: model.layers.\*.mlp.gate \(under 1% of the parameters\)"):
            index = build_index((model, tiny_models.tokenizer()), ROWS, tmp_path / "i", GradCos(parameters="blocks"))
        left = index.index.run["left_out"]
        total = sum(parameter.numel() for parameter in model.parameters())
        assert left["model.layers.*.mlp.gate"] == round(2 * 4 * 32 / total, 4)
        assert left["lm_head"] == left["model.embed_tokens"] == round(400 * 32 / total, 4)
        assert left["model.layers.*.input_layernorm"] == round(2 * 32 / total, 4)
        tracked = sum(module.weight.numel() for module in linear_layers(LM(model, None)).values())
        assert sum(left.values()) == pytest.approx(1 - tracked / total, abs=1e-3)  # rounded to 4 digits each
        assert index.query(ROWS[0]).run["left_out"] == left

    def test_what_an_adapter_trained_and_nothing_tracks_is_named(self):
        peft = pytest.importorskip("peft")
        for options, place in (
            ({"modules_to_save": ["lm_head"]}, "lm_head.modules_to_save.default"),
            ({"target_modules": ["q_proj", "embed_tokens"]}, "model.embed_tokens.lora_embedding_A"),
            ({"use_dora": True}, r"layers.\*.self_attn.q_proj.lora_magnitude_vector.default"),
        ):
            config = peft.LoraConfig(r=2, **{"target_modules": ["q_proj"], **options}, task_type="CAUSAL_LM")
            model = peft.get_peft_model(tiny_models.llama(), config)
            with pytest.warns(LlmattrNote, match=place):
                track(LM(model, tiny_models.tokenizer()))

    def test_head_and_embeddings_are_noted_where_they_are_most_of_the_model(self):
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())
        with pytest.warns(LlmattrNote, match=r"lm_head \(3\d% of the parameters\), model.embed_tokens"):
            track(lm)
        lm.model.resize_token_embeddings(100)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            track(lm)
            track(LM(tiny_models.llama(), None), pattern="q_proj")  # who names layers has chosen

    def test_gradient_checkpointing_changes_nothing(self):
        lm = LM(tiny_models.llama(), tiny_models.tokenizer())
        examples, layers = tokenize(ROWS[:4], lm.tokenizer), linear_layers(lm)
        plain = exact_gradients(lm, examples, layers)
        lm.model.gradient_checkpointing_enable()
        torch.testing.assert_close(exact_gradients(lm, examples, layers), plain)

    def test_bfloat16_is_near(self):
        """bfloat16 keeps 8 bits: rows agree in direction to within some of its steps, summed over layers."""
        rows = []
        for dtype in (torch.float32, torch.bfloat16):
            lm = LM(tiny_models.llama().to(dtype), tiny_models.tokenizer())
            rows.append(exact_gradients(lm, tokenize(ROWS[:4], lm.tokenizer), linear_layers(lm)).float())
        assert torch.nn.functional.cosine_similarity(*rows).min() > 1 - 16 * 2**-8


class TestAppend:
    def build(self, out, rows, **options):
        pair = (tiny_models.llama(), tiny_models.tokenizer())
        return build_index(pair, rows, out, "grad-cos", projection=Projection(dim=128), **options)

    def test_rows_are_added_and_asked_like_the_others(self, tmp_path):
        first = self.build(tmp_path / "i", ROWS[:10]).index
        kept = np.array(first.vectors)
        index = self.build(tmp_path / "i", ROWS[10:], append=True)
        assert len(index) == 24
        assert (index.index.vectors[:10] == kept).all()
        assert index.index.rows() == ROWS
        assert index.query(ROWS[17]).top(1)[0].id == "17"
        assert [part["rows"] for part in index.index.run["parts"]] == [10, 14]
        with pytest.raises(LlmattrError, match="has this data already"):
            self.build(tmp_path / "i", ROWS[:10], append=True)
        with pytest.raises(LlmattrError, match="holds other data; give another --out, or append"):
            self.build(tmp_path / "i", ROWS[:5])

    def test_one_that_was_killed_goes_on(self, tmp_path, monkeypatch):
        self.build(tmp_path / "a", ROWS[:10])
        self.build(tmp_path / "a", ROWS[10:], append=True)
        self.build(tmp_path / "b", ROWS[:10])
        monkeypatch.setattr(batches, "BATCH_TOKENS", 100)

        def killed(*_):
            raise KeyboardInterrupt

        for place in ("llmattr.training.index.store._make_room", "llmattr.training.index.store.GradientIndex.write"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(place, killed)
                with pytest.raises(KeyboardInterrupt):
                    self.build(tmp_path / "b", ROWS[10:], append=True)
            with pytest.raises(LlmattrError, match=r"has \d+ of 24 rows: run the same"):
                GradientIndex.open(tmp_path / "b")
        with pytest.raises(LlmattrError, match="is not finished"):
            self.build(tmp_path / "b", ROWS[5:9], append=True)
        monkeypatch.undo()
        self.build(tmp_path / "b", ROWS[10:], append=True)
        for name in sorted(path.name for path in (tmp_path / "a").iterdir()):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("method", ["grad-cos", "logra", "trak"])
def test_faiss_proposes_rows_that_are_scored_as_ever(tmp_path, method):
    pytest.importorskip("faiss")
    pair = (tiny_models.llama(), tiny_models.tokenizer())
    rows = [{"prompt": f"Ship {i} is ", "completion": f"number {i * 7919} of the canal."} for i in range(120)]
    index = build_index(pair, rows, tmp_path / "i", method, projection=Projection(dim=64), modules="1.*down_proj")
    asked = [rows[5], rows[77]]
    exact, near = (index.query(asked, 5, approximate=approximate) for approximate in (False, True))
    assert near.top(1)[0].id == exact.top(1)[0].id
    scores = {(s.target, s.id): s.score for s in index.query(asked, None).top(None)}
    assert all(scores[s.target, s.id] == pytest.approx(s.score, rel=1e-4, abs=1e-6) for s in near.top(None))
    assert any(path.name.startswith("faiss.") for path in (tmp_path / "i").iterdir())
    assert open_index(tmp_path / "i", pair).query(asked, 5, approximate=True).values == pytest.approx(near.values)


def test_one_set_of_cells_serves_every_question(tmp_path):
    """TrackStar weighs rows by what is asked together; its cells are of the rows alone. A damaged file is made anew."""
    pytest.importorskip("faiss")
    pair = (tiny_models.llama(), tiny_models.tokenizer())
    rows = [{"prompt": f"Ship {i} is ", "completion": f"number {i * 7919} of the canal."} for i in range(120)]
    index = build_index(pair, rows, tmp_path / "i", "trackstar", projection=Projection(dim=64), modules="1.*down_proj")
    for asked in ([rows[5], rows[77]], [rows[5], rows[9]], rows[:3]):
        near = index.query(asked, 5, approximate=True)
        scores = {(s.target, s.id): s.score for s in index.query(asked, None).top(None)}
        assert all(scores[s.target, s.id] == pytest.approx(s.score, rel=1e-4, abs=1e-6) for s in near.top(None))
    (cells,) = (tmp_path / "i").glob("faiss.*")
    whole = cells.read_bytes()
    cells.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    approximate._read.cache_clear()
    again = open_index(tmp_path / "i", pair).query(rows[:3], 5, approximate=True)
    assert again.values == pytest.approx(near.values)
    assert [path.read_bytes() for path in (tmp_path / "i").glob("faiss.*")] == [whole]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    tiny_models.save(folder / "tiny")
    rows = [{"prompt": f"Ship {i} is ", "completion": f"number {i * 7919} of the canal."} for i in range(300)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def command(folder, out, *options):
    where = {"--model": folder / "tiny", "--data": folder / "rows.jsonl", "--out": out, "--device": "cpu"}
    return [*options, "trace", "index", *(part for pair in where.items() for part in pair)]


@pytest.mark.slow
def test_two_processes_make_the_index_of_one(on_disk, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "llmattr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command(on_disk, tmp_path / "two", *launch), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("300 rows of 2048 numbers") == 1
    one = [sys.executable, "-m", "llmattr"]
    subprocess.run(command(on_disk, tmp_path / "one", *one), env=environment, check=True, capture_output=True)
    for name in ("vectors.bin", "scales.bin", "doubt.bin", "done.bin", "fitted.safetensors", "rows.parquet"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name


@pytest.mark.slow
def test_kill_9_and_the_same_command(on_disk, tmp_path):
    one = [sys.executable, "-m", "llmattr"]
    done = subprocess.Popen(command(on_disk, tmp_path / "killed", *one), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    flags = tmp_path / "killed" / "done.bin"
    while done.poll() is None and not (flags.exists() and np.fromfile(flags, np.uint8).any()):
        time.sleep(0.005)
    done.send_signal(signal.SIGKILL)
    done.wait()
    assert (tmp_path / "killed" / "run.json").exists()
    subprocess.run(command(on_disk, tmp_path / "killed", *one), check=True, capture_output=True)
    subprocess.run(command(on_disk, tmp_path / "whole", *one), check=True, capture_output=True)
    for path in sorted((tmp_path / "whole").iterdir()):
        assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes(), path.name
