"""What a model can do is found by trying it, and it is asked in evaluation mode."""

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, GPT2LMHeadModel, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from llmattr import build_index, cite, retrain
from llmattr.errors import LlmattrError
from llmattr.model import lm
from llmattr.model.forward import abilities, attempt, evaluating
from llmattr.model.lm import LM
from llmattr.retraining import METHODS
from llmattr.training import METHODS as TRACERS
from tests import tiny_models

CONTEXT = "The canal is long. It was dug by many. A lake lies in it. Ships pass it."
SIZES = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2}


def renamed(base, **names):
    """A class whose arguments have other names, as releases of transformers give them, beside `**kwargs` that it ignores."""

    class Renamed(base):
        def forward(self, *given, **options):
            for new, old in names.items():
                options.pop(old, None)
                if new in options:
                    options[old] = options.pop(new)
            return super().forward(*given, **options)

    return Renamed


class TestAbilities:
    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    def test_a_transformer_can_do_all(self, kind):
        found = abilities(getattr(tiny_models, kind)())
        assert found.without_cache == {"use_cache": False}
        assert found.keeps_logits
        assert found.cache in ("cache", "past_key_values")

    @pytest.mark.parametrize("name", ["cache", "past_key_values"])
    def test_the_cache_is_taken_by_either_name(self, name):
        """One is the name of transformers 5.24 and later, the other of the releases before, which ignore an unknown one."""
        other = {"cache": "past_key_values", "past_key_values": "cache"}[name]
        newest = abilities(tiny_models.llama()).cache

        class Strict(LlamaForCausalLM):
            def forward(self, *given, **options):
                assert other not in options, "unknown"
                if name in options:
                    options[newest] = options.pop(name)
                return super().forward(*given, **options)

        plain, model = tiny_models.llama(), Strict(tiny_models.llama().config).eval()
        model.load_state_dict(plain.state_dict())
        assert abilities(model).cache == name
        tokenizer = tiny_models.tokenizer()
        asked = {"context": CONTEXT, "query": "How long?", "response": "It is 82 miles.", "method": "leave-one-out"}
        with_, without = (cite((one, tokenizer), **asked).values for one in (model, plain))
        assert (with_ == without).all()

    def test_what_is_taken_and_not_heeded_is_not_an_ability(self):
        model = renamed(GPT2LMHeadModel, other="logits_to_keep", places="position_ids")(tiny_models.gpt2().config).eval()
        assert not abilities(model).keeps_logits
        assert abilities(model).padding_before is None  # counts the padding

    def test_positions_are_given_where_they_change_something(self):
        assert abilities(tiny_models.gpt2()).padding_before == ("position_ids",)
        torch.manual_seed(0)
        bloom = BloomForCausalLM(BloomConfig(**SIZES, n_head=4, initializer_range=0.2)).eval()
        assert abilities(bloom).padding_before is not None  # takes none: it counts what the mask shows

    def test_a_state_space_model_has_no_keys_and_values(self):
        model = MambaForCausalLM(MambaConfig(**SIZES, state_size=4)).eval()
        assert abilities(model).cache is None

    @pytest.mark.parametrize("kind", ["t5", "bert"])
    def test_other_kinds_are_tried_too(self, kind):
        assert not abilities(getattr(tiny_models, kind)()).keeps_logits

    def test_it_is_asked_once(self):
        calls = []
        model = tiny_models.llama()
        model.register_forward_pre_hook(lambda *_: calls.append(1))
        abilities(model)
        tried = len(calls)
        assert abilities(model) == abilities(model)
        assert len(calls) == tried


class TestAttempt:
    def test_a_refusal_is_none(self):
        def refuse():
            raise TypeError("forward() got an unexpected keyword argument 'cache'")

        assert attempt(refuse) is None
        assert attempt(lambda: 3) == 3

    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
            KeyboardInterrupt(),
        ],
    )
    def test_neither_memory_nor_the_user_says_what_a_model_can_do(self, error):
        def fail():
            raise error

        with pytest.raises(type(error)):
            attempt(fail)


ROWS = [{"prompt": f"The canal {k} is", "completion": f" {k} miles long."} for k in range(6)]
QUERIES = [{"prompt": "The canal 2 is", "completion": " 2 miles long."}]


def cited(given):
    return cite(given, CONTEXT, "How long?", response="It is 82 miles.", method="leave-one-out").values


def hidden(given):
    from llmattr.context import METHODS

    return cite(given, CONTEXT, "How long?", response="It is 82 miles.", method=METHODS["ridge"](8, prior="hidden")).values


def gates(given):
    return cite(given, CONTEXT, "How long?", response="It is 82 miles.", method="source-gates").values


def attended(given):
    return cite(given, CONTEXT, "How long?", response="It is 82 miles.", method="attention").values


class TestTrainingMode:
    """GPT-2 has dropout: in training mode its answers are random."""

    @pytest.mark.parametrize("ask", [cited, hidden, gates, attended])
    def test_context(self, ask):
        self.same(ask)

    @pytest.mark.parametrize("method", ["grad-cos", "rep-sim", "logra", "ekfac"])
    def test_tracing(self, method, tmp_path):
        def traced(given):
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            return build_index(given, ROWS, folder, TRACERS[method]()).query(QUERIES, None).values

        self.same(traced)

    @pytest.mark.parametrize(
        "method", [METHODS["leave-one-out"](), METHODS["linear-probe"](), METHODS["in-run-shapley"](), METHODS["magic"]()]
    )
    def test_retraining(self, method):
        from llmattr.retraining import Recipe

        self.same(lambda given: retrain(given, ROWS, QUERIES, method, recipe=Recipe(steps=2, batch_size=4)).values)

    def same(self, ask):
        evaluated, training = tiny_models.gpt2(), tiny_models.gpt2().train()
        training.transformer.h[0].eval()
        before = [module.training for module in training.modules()]
        tokenizer = tiny_models.tokenizer()
        expected = ask((evaluated, tokenizer))
        for given in ((training, tokenizer), LM(training, tokenizer)):
            assert abs(ask(given) - expected).max() <= 1e-9 * abs(expected).max()
            assert [module.training for module in training.modules()] == before

    def test_the_mode_comes_back_after_an_error(self):
        model = tiny_models.gpt2().train()
        with pytest.raises(RuntimeError), evaluating(model):
            raise RuntimeError
        assert all(module.training for module in model.modules())

    def test_generation(self):
        model, tokenizer = tiny_models.gpt2().train(), tiny_models.tokenizer()
        ids = tokenizer(CONTEXT)["input_ids"]
        assert LM(model, tokenizer).generate(ids, 8) == LM(tiny_models.gpt2(), tokenizer).generate(ids, 8)
        assert model.training


class TestNumberType:
    @pytest.mark.parametrize(
        ("able", "expected"),
        [
            ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
            ({"amx_bf16": False, "avx512_bf16": True}, "bfloat16"),
            ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, "float32"),
            ({"architecture": "arm"}, "float32"),
        ],
    )
    def test_the_processor_is_asked(self, monkeypatch, able, expected):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
        assert lm.fast_dtype("cpu") == expected
        assert lm.fast_dtype("auto") == (expected if not torch.cuda.is_available() else lm.fast_dtype("cuda"))

    def test_everything_else_is_float32(self, tiny_folder):
        assert LM.load(str(tiny_folder)).dtype == torch.float32
        assert LM.load(str(tiny_folder), "auto").dtype == torch.float32  # as it was saved

    def test_an_unknown_type_and_a_loaded_model_in_another_are_refused(self, tiny):
        with pytest.raises(LlmattrError, match="did you mean 'bfloat16'"):
            LM.load("anything", "bfloat61")
        with pytest.raises(LlmattrError, match="loaded in float64: load it in bfloat16"):
            LM.load(tiny, "bfloat16")
