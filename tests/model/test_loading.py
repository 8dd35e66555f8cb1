"""What can be wrong with a model's files is told in one line, and weights are never drawn at random in silence."""

import json
import os
import shutil
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path, PurePath

import pytest
import torch
import transformers
from packaging.version import Version
from safetensors.torch import load_file, save_file

from llmattr import build_index, cite, retrain, trace
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model import embedded
from llmattr.model.lm import LM
from llmattr.retrieval.encoder import Encoder
from tests import tiny_models

ROWS = [{"prompt": "a ", "completion": "b <tool>"}, {"prompt": "a ", "completion": "c"}]


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of a good model's folder, to be damaged."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def refused(place):
    with pytest.raises(LlmattrError) as caught:
        LM.load(str(place))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def change_weights(folder, change):
    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


class TestPlaces:
    @pytest.mark.parametrize("name", ["/no/where", "./nowhere", "a/b/c", "~/models"])
    def test_a_folder_that_is_not_there(self, name):
        assert refused(name) == f"cannot load the model {name!r}: there is no such folder"

    def test_a_hub_id_without_a_connection(self):
        assert "there is no folder of this name, it was not downloaded before, and the hub" in refused("Qwen/Qwen3-0.6B")

    def test_a_name_that_is_none(self):
        assert "it is no folder, and no id of a model on the hub" in refused("what a name!")
        assert "it is an address" in refused("http://localhost:8080")

    def test_an_empty_folder(self, tmp_path):
        assert refused(tmp_path).endswith("the folder is empty")

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
    def test_a_file_of_the_folder(self, folder, name):
        assert f"it is a file: give its folder ({str(folder)!r})" in refused(folder / name)

    def test_a_gguf_file_or_a_folder_of_them(self, tmp_path):
        (tmp_path / "x.gguf").write_bytes(b"GGUF")
        assert "GGUF files are not read" in refused(tmp_path / "x.gguf")
        assert "GGUF files are not read" in refused(tmp_path)

    def test_a_trainers_output_folder(self, tiny_folder, tmp_path):
        for step in (5, 10):
            shutil.copytree(tiny_folder, tmp_path / f"checkpoint-{step}")
        said = refused(tmp_path)
        assert "it holds a Trainer's checkpoints and no final model" in said
        assert "--checkpoints FOLDER" in said
        LM.load(str(tmp_path / "checkpoint-10"))


class TestConfigurations:
    def test_none(self, folder):
        (folder / "config.json").unlink()
        assert "it has no config.json" in refused(folder)

    @pytest.mark.parametrize("text", ['{"model_type": "lla', "[1]", "\xff"])
    def test_damaged(self, folder, text):
        (folder / "config.json").write_bytes(text.encode("latin-1"))
        assert f"{str(folder / 'config.json')!r} is damaged" in refused(folder)

    def test_code_of_its_own(self, folder):
        auto = {"AutoConfig": "evil.E", "AutoModelForCausalLM": "evil.E"}
        change(folder / "config.json", model_type="evil", auto_map=auto)
        assert "llmattr runs none (trust_remote_code is off)" in refused(folder)

    def test_a_quantised_model_without_its_package(self, folder):
        change(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
        assert "requires optimum" in refused(folder)


class TestWeights:
    def test_none(self, folder):
        (folder / "model.safetensors").unlink()
        assert "it has no weights (model.safetensors)" in refused(folder)

    @pytest.mark.parametrize("kept", [0, 4, 5000])
    def test_cut_off(self, folder, kept):
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:kept])
        assert f"{str(file)!r} is damaged or cut off" in refused(folder)

    def test_a_changed_byte_in_the_header(self, folder):
        file = folder / "model.safetensors"
        damaged = bytearray(file.read_bytes())
        damaged[20] ^= 0xFF
        file.write_bytes(damaged)
        assert f"{str(file)!r} is damaged or cut off" in refused(folder)

    def test_a_pointer_to_them(self, folder):
        (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
        assert "is a pointer of Git LFS and not the file: git lfs pull" in refused(folder)

    def test_a_file_of_several_that_is_gone(self, folder):
        (folder / "model.safetensors").unlink()
        tiny_models.llama().save_pretrained(folder, max_shard_size="20KB")
        gone = sorted(folder.glob("model-*"))[1]
        gone.unlink()
        assert f"1 of the 6 files that model.safetensors.index.json names are not there, such as {gone.name}" in refused(folder)

    def test_a_pickle_that_is_none(self, folder):
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"garbage")
        said = refused(folder)
        assert f"{str(folder / 'pytorch_model.bin')!r} is damaged" in said
        assert "weights_only" not in said  # the loader's advice to run what is in there

    def test_a_missing_one_is_not_drawn_at_random(self, folder):
        gone = "model.layers.1.mlp.down_proj.weight"
        change_weights(folder, lambda weights: {name: w for name, w in weights.items() if name != gone})
        assert f"1 of the 21 weights of a LlamaForCausalLM are not in it and would be drawn at random: {gone}" in refused(
            folder
        )

    def test_other_names(self, folder):
        change_weights(folder, lambda weights: {name.replace("model.", "encoder."): w for name, w in weights.items()})
        assert "20 of the 21 weights" in refused(folder)

    def test_fewer_layers_than_the_configuration_says(self, folder):
        change(folder / "config.json", num_hidden_layers=3)
        assert "9 of the 30 weights" in refused(folder)

    def test_more_layers_than_the_configuration_says(self, folder):
        change(folder / "config.json", num_hidden_layers=1)
        with pytest.warns(LlmattrNote, match="has no place for are left out: model.layers.1.input_layernorm.weight"):
            LM.load(str(folder))

    def test_other_shapes(self, folder):
        change_weights(folder, lambda weights: {**weights, "lm_head.weight": torch.zeros(300, 32)})
        assert r"lm_head.weight is [300, 32] and must be [400, 32]" in refused(folder)

    def test_a_model_without_a_head(self, tmp_path):
        tiny_models.llama().model.save_pretrained(tmp_path)
        tiny_models.tokenizer().save_pretrained(tmp_path)
        assert "lm_head.weight: are its weights and its config.json (of a LlamaModel) of the same model?" in refused(tmp_path)

    @pytest.mark.parametrize("kind", ["gpt2", "t5", "bert"])
    def test_tied_weights_and_buffers_are_not_missing(self, tmp_path, kind):
        model = getattr(tiny_models, kind)()
        model.save_pretrained(tmp_path)
        tiny_models.tokenizer().save_pretrained(tmp_path)
        loaded = LM.load(str(tmp_path)).model
        for name, weight in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], weight), name


class TestTokenizers:
    def test_none(self, folder):
        for file in [*folder.glob("tokenizer*"), *folder.glob("special*")]:
            file.unlink()
        assert "it has no tokenizer (tokenizer.json): save that of the model it was trained from into it" in refused(folder)

    @pytest.mark.parametrize("text", ['{"version": "1.0", "trunca', '{"a": 1}'])
    def test_damaged(self, folder, text):
        (folder / "tokenizer.json").write_text(text)
        assert f"{str(folder / 'tokenizer.json')!r} is damaged" in refused(folder)

    @pytest.fixture
    def larger(self):
        """A tokenizer with a token that the model has no embedding for."""
        tokenizer = tiny_models.tokenizer()
        tokenizer.add_tokens(["<tool>"])
        return LM.load((tiny_models.llama(), tokenizer))

    def test_larger_than_the_model(self, larger, tmp_path):
        expected = "the tokenizer has 401 tokens, the model 400: '<tool>' is number 400"
        with pytest.raises(LlmattrError, match=expected):
            cite(larger, "The tower <tool> was built. It is tall.", "How?", response="It is tall.", method="leave-one-out")
        with pytest.raises(LlmattrError, match=expected):
            cite(larger, "The tower <tool> was built. It is tall.", "How?")
        for method in ("attention", "gradient-input"):
            with pytest.raises(LlmattrError, match=expected):
                cite(larger, "The tower <tool> was built.", "How?", response="It is tall.", method=method, verify=False)
        with pytest.raises(LlmattrError, match=expected):
            trace(larger, ROWS, ROWS[1], "grad-dot")
        with pytest.raises(LlmattrError, match=expected):
            trace(larger, ROWS[1:], ROWS[0], "grad-dot")
        with pytest.raises(LlmattrError, match=expected):
            retrain(larger, ROWS, ROWS[1], "leave-one-out", out=tmp_path / "runs")

    def test_larger_but_not_where_it_matters(self, larger):
        cite(larger, "The tower was built. It is tall.", "How?", response="It is tall.", method="leave-one-out")


class TestAdapters:
    """PEFT's own model is the reference: what is loaded computes what it computes."""

    @pytest.fixture
    def adapter(self, tiny_folder, tmp_path):
        peft = pytest.importorskip("peft")
        from transformers import AutoModelForCausalLM

        base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))

        def make(**options):
            torch.manual_seed(0)
            config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)
            adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
            for weight in adapted.parameters():
                weight.data += torch.randn_like(weight) * 0.1 * weight.requires_grad
            adapted.eval().save_pretrained(tmp_path / "adapter")
            return tmp_path / "adapter", adapted

        return make

    @pytest.mark.parametrize(
        "options", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"bias": "lora_only"}, {"use_rslora": True}]
    )
    def test_it_computes_what_peft_computes(self, adapter, options):
        folder, expected = adapter(**options)
        lm, ids = LM.load(str(folder)), torch.tensor([[5, 6, 7, 8]])
        with torch.no_grad():
            torch.testing.assert_close(lm.model(input_ids=ids).logits, expected(input_ids=ids).logits, rtol=0, atol=0)

    def test_the_tokenizer_of_its_base_model(self, adapter):
        folder, _ = adapter()
        assert LM.load(str(folder)).tokenizer.chat_template == tiny_models.CHATML
        tiny_models.tokenizer(None).save_pretrained(folder)
        assert LM.load(str(folder)).tokenizer.chat_template is None  # its own goes before

    @pytest.mark.skipif(
        Version(transformers.__version__) < Version("5.1"),
        reason="this transformers takes the base model from where adapter_config.json says, whatever lies beside",
    )
    def test_beside_its_base_model(self, adapter, tmp_path):
        folder, expected = adapter()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            shutil.copy(tmp_path / "base" / name, folder)
        shutil.rmtree(tmp_path / "base")
        lm, ids = LM.load(str(folder)), torch.tensor([[5, 6, 7, 8]])
        assert lm.tokenizer("It is.")["input_ids"] == tiny_models.tokenizer()("It is.")["input_ids"]
        with torch.no_grad():
            torch.testing.assert_close(lm.model(input_ids=ids).logits, expected(input_ids=ids).logits, rtol=0, atol=0)
        (folder / "tokenizer.json").unlink()
        assert "it has no tokenizer (tokenizer.json)" in refused(folder)

    def test_a_base_model_that_is_gone(self, adapter, tmp_path):
        folder, _ = adapter()
        shutil.rmtree(tmp_path / "base")
        said = refused(folder)
        assert "an adapter, without its base model: cannot load the model" in said
        assert said.endswith("there is no such folder")
        change(folder / "adapter_config.json", base_model_name_or_path=None)
        assert "its adapter_config.json names no base model" in refused(folder)

    def test_damaged(self, adapter):
        folder, _ = adapter()
        weights = load_file(folder / "adapter_model.safetensors")
        gone, *others = sorted(weights)
        save_file({name: weights[name] for name in others}, folder / "adapter_model.safetensors")
        assert f"1 of the adapter's 8 weights are not in it and would be drawn at random: {gone}" in refused(folder)
        (folder / "adapter_model.safetensors").write_bytes(b"1234567890")
        assert "adapter_model.safetensors' is damaged or cut off" in refused(folder)
        (folder / "adapter_config.json").write_text("{")
        assert "adapter_config.json' is damaged" in refused(folder)

    def test_one_that_writes_into_the_prompt(self, tiny_folder, tmp_path):
        peft = pytest.importorskip("peft")
        from transformers import AutoModelForCausalLM

        config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
        peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_folder), config).save_pretrained(tmp_path)
        assert "it is an adapter of the kind PROMPT_TUNING: only those of layers are read, as LoRA is" in refused(tmp_path)


class TestEncoders:
    def test_a_missing_layer_is_refused_and_a_missing_pooler_is_not(self, tmp_path):
        model = tiny_models.bert()
        model.save_pretrained(tmp_path)
        tiny_models.tokenizer().save_pretrained(tmp_path)
        Encoder.load.cache_clear()
        with pytest.warns(LlmattrNote, match="left out: cls.predictions"):
            assert Encoder.load(str(tmp_path)).encode(["a b"]).shape == (1, 32)
        gone = "bert.encoder.layer.1.output.dense.weight"
        change_weights(tmp_path, lambda weights: {name: w for name, w in weights.items() if name != gone})
        Encoder.load.cache_clear()
        with pytest.raises(
            LlmattrError, match=r"cannot load the encoder .*would be drawn at random: encoder\.layer\.1\.output"
        ):
            Encoder.load(str(tmp_path))


class TestTheEmbeddedModel:
    """Conversion, with a tiny model in the place of the one in the package."""

    @pytest.fixture
    def read(self, tmp_path, monkeypatch):
        times = []

        def read(gguf):
            times.append(gguf)
            return tiny_models.llama(), tiny_models.tokenizer()

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(embedded, "_weights", lambda packages, version: [Path("x.gguf")])
        monkeypatch.setattr(embedded, "_read", read)
        return times

    def test_many_at_once_convert_once(self, read):
        threads = [threading.Thread(target=embedded.embedded_folder, args=("smollm2",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(read) == 1
        LM.load("smollm2")

    def test_parts_of_several_packages_are_joined_in_their_order(self, read, tmp_path, monkeypatch):
        parts, joined = [tmp_path / f"model.gguf.part0{part}" for part in range(4)], []
        for number, part in enumerate(parts):
            part.write_bytes(bytes([number]) * 3)

        def reading(gguf):
            joined.append((gguf.name, gguf.read_bytes()))
            return tiny_models.llama(), tiny_models.tokenizer()

        monkeypatch.setattr(embedded, "_weights", lambda packages, version: parts)
        monkeypatch.setattr(embedded, "_read", reading)
        LM.load("gemma3-270m")
        assert joined == [("model.gguf", b"".join(part.read_bytes() for part in parts))]

    def test_every_package_that_is_needed_is_named(self, tmp_path, monkeypatch):
        def files(package):
            if package.endswith("part3"):
                raise PackageNotFoundError(package)
            return [PurePath("model.gguf.part00")]

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(embedded.metadata, "files", files)
        with pytest.raises(
            LlmattrError, match=r"package gemma3\S*-part3 is not installed: pip .*-part1==1\.0\.0 .*-part4==1\.0\.0"
        ):
            LM.load("gemma3-270m")

    def test_what_a_killed_one_left_is_not_taken(self, read):
        folder = embedded.embedded_folder("smollm2")
        part = folder.with_name(f"{folder.name}.part")
        folder.rename(part)
        (part / "model.safetensors").unlink()
        assert embedded.embedded_folder("smollm2") == folder
        assert not part.exists()
        LM.load("smollm2")

    @pytest.mark.skipif(os.name == "nt", reason="folders are closed otherwise there")
    def test_a_cache_that_cannot_be_written(self, read, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        with pytest.raises(LlmattrError, match=r"cannot keep the embedded model in .*XDG_CACHE_HOME"):
            LM.load("smollm2")


def test_checkpoints_without_an_optimizer_name_their_place(tiny_folder, tmp_path):
    with pytest.raises(LlmattrError, match="there is no such folder"):
        build_index(str(tiny_folder / "nowhere"), ROWS[1:], tmp_path / "index", "grad-dot")


def test_a_pair_gets_the_batches_of_its_device():
    assert LM.load((tiny_models.llama(), tiny_models.tokenizer())).max_batch_tokens == 1024
    with torch.device("meta"):
        on_another = tiny_models.llama()
    assert LM.load((on_another, tiny_models.tokenizer())).max_batch_tokens == 16384
