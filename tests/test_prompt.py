"""What the model reads under a mask, and where sources and response stand in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmattr.errors import LlmattrError
from llmattr.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
from llmattr.prompt import Prompt, cut
from tests import tiny_models

CHAT, PLAIN = tiny_models.tokenizer(), tiny_models.tokenizer(template=None)
TRIMMING = tiny_models.tokenizer(tiny_models.TRIMMING)
TOKENIZERS = [CHAT, PLAIN, TRIMMING]

DOCUMENTS = [
    {"text": "# Canal\n\nIt is long.  It is wide.\nIt is wet.", "title": "Panama", "id": "p"},
    {"text": "Suez is older. It has no locks.", "id": "s"},
]


def make(tokenizer=CHAT, context=DOCUMENTS, query="How long?", sources="sentences", **chat):
    chat = conversation(context, query, template=TEMPLATE if tokenizer.chat_template else PLAIN_TEMPLATE, **chat)
    return Prompt(tokenizer, chat, cut(chat, sources))


def text_of(prompt, mask):
    ids, response, _ = prompt.render(np.array(mask, dtype=bool))
    return prompt.tokenizer.decode(ids[: response.start])


def kept(prompt, mask):
    """What stands between the template's words."""
    return text_of(prompt, mask).split("Context: ")[1].split("\n\nQuery:")[0]


def test_sources_keep_their_document_and_characters():
    sources = make().sources
    assert list(sources.texts) == ["# Canal", "It is long.", "It is wide.", "It is wet.", "Suez is older.", "It has no locks."]
    assert sources.groups.tolist() == [0, 0, 0, 0, 1, 1]
    assert sources.ids == ["p#0", "p#1", "p#2", "p#3", "s#0", "s#1"]
    for i, (start, end) in enumerate(sources.spans):
        assert sources.document(i).text[start:end] == sources.texts[i]


def test_documents_as_sources_keep_the_users_ids():
    assert make(sources="documents").sources.ids == ["p", "s"]
    chunks = [{"text": "one", "id": "x"}, {"text": "two", "id": "x"}]
    assert make(context=chunks, sources="documents").sources.ids == ["x#0", "x#1"]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_kept_parts_are_joined_as_they_stood(tokenizer):
    prompt = make(tokenizer)
    assert kept(prompt, [1] * 6) == "Panama\n# Canal\n\nIt is long.  It is wide.\nIt is wet.\n\nSuez is older. It has no locks."
    assert kept(prompt, [0, 1, 0, 1, 0, 1]) == "Panama\nIt is long.\nIt is wet.\n\nIt has no locks."
    assert kept(prompt, [0, 0, 0, 0, 1, 0]) == "Suez is older."
    assert kept(prompt, [0] * 6) == ""


def test_as_context_cite_the_separator_before_a_part_goes_with_it():
    context = "A one.  B two.\nC three."
    prompt = make(context=context)
    assert kept(prompt, [1, 0, 1]) == "A one.\nC three."
    assert kept(prompt, [0, 1, 1]) == "B two.\nC three."


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=6, max_size=6), words=st.booleans())
def test_source_tokens_decode_to_the_source(tokenizer, mask, words):
    prompt = make(tokenizer, sources="words" if words else "sentences").with_response("It is long.")
    mask = np.resize(np.array(mask), len(prompt.sources))
    ids, _, spans = prompt.render(mask)
    for i, (first, last) in enumerate(spans):
        decoded = tokenizer.decode(ids[first:last]).strip()
        assert decoded == (prompt.sources.texts[i] if mask[i] else "")


def test_a_token_that_straddles_two_sources_belongs_to_the_one_in_which_it_begins():
    # "ab" is cut into the sources "a" and "b", but a merge makes it one token.
    tokenizer = tiny_models.tokenizer()
    word = next(t for t in ("the", "in", "on") if len(tokenizer(t)["input_ids"]) == 1)
    prompt = make(tokenizer, context=f"- {word} -", sources=lambda text: ["-", word[:1], word[1:] + " -"])
    _, _, spans = prompt.full()
    assert (spans[1, 1] - spans[1, 0], spans[2, 0]) == (1, spans[1, 1])
    assert prompt.tokenizer.decode(prompt.full().ids[slice(*spans[1])]).strip() == word


@settings(max_examples=60, deadline=None)
@given(response=st.text(min_size=1).filter(str.strip) | st.just("Ça va 😀? Ja.\n\n- 中文 e\u0301"))
def test_response_tokens_cover_their_characters(response):
    prompt = make().with_response(response)
    tokens = prompt.response_tokens(np.array([[i, i + 1] for i, c in enumerate(response) if not c.isspace()]))
    assert (tokens[:, 0] < tokens[:, 1]).all()
    assert prompt.response_tokens(np.array([[0, len(response)]])).tolist() == [[0, len(prompt.response_ids)]]


def test_sentences_of_a_response_share_its_tokens_out():
    prompt = make().with_response("It is long. It is wide.\n\nIt is wet.")
    targets = prompt.targets()
    assert targets.texts[0] == prompt.response
    assert list(targets.texts[1:]) == ["It is long.", "It is wide.", "It is wet."]
    tokens = prompt.response_tokens(targets.spans)
    decoded = [prompt.tokenizer.decode(prompt.response_ids[a:b]).strip() for a, b in tokens]
    assert decoded == list(targets.texts)


def test_generated_tokens_are_taken_as_they_are_and_the_end_of_text_is_dropped():
    # "long" spelled out letter by letter: not how the tokenizer would write it.
    ids = [i for letter in "long 😀 so" for i in CHAT(letter)["input_ids"]]
    prompt = make().with_generated([*ids, CHAT.eos_token_id])
    assert prompt.response == "long 😀 so"
    assert list(prompt.response_ids) == ids
    face = prompt.response_tokens(np.array([[5, 6]]))[0]
    assert CHAT.decode(ids[slice(*face)]).strip() == "😀"
    assert prompt.response_tokens(np.array([[0, 4], [7, 9]])).tolist() == [[0, 4], [len(ids) - 2, len(ids)]]


def test_a_response_is_tokenised_as_it_stands_behind_the_prompt():
    prompt = make().with_response("It is long.")
    whole = prompt.tokenizer(text_of(prompt, [1] * 6) + "It is long.", add_special_tokens=False)["input_ids"]
    assert prompt.full().ids == whole


def test_a_template_that_trims_or_refuses():
    trimmed = make(TRIMMING, messages=[{"role": "user", "content": "\n {context} \n"}], query=None)
    ids, _, spans = trimmed.full()
    assert TRIMMING.decode(ids[slice(*spans[-1])]).strip() == "It has no locks."
    refusing = make(tiny_models.tokenizer(tiny_models.NO_SYSTEM), messages=[{"role": "system", "content": "Be brief."}])
    with pytest.raises(LlmattrError, match="chat template refuses messages from system, user: no system turn"):
        refusing.full()


class TestMessages:
    """Where the documents stand in a chat."""

    def spoken(self, prompt):
        return [(m.role, "".join(p if isinstance(p, str) else "<docs>" for p in m.parts)) for m in prompt.messages]

    def test_a_placeholder_anywhere(self):
        chat = [
            {"role": "system", "content": "Use this: {context}"},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Tell me: {query}"},
        ]
        prompt = make(messages=chat)
        assert self.spoken(prompt) == [
            ("system", "Use this: <docs>"),
            ("user", "Hello"),
            ("assistant", "Yes?"),
            ("user", "Tell me: How long?"),
        ]
        assert len(prompt.sources) == 6

    def test_the_documents_own_text(self):
        chat = [
            {"role": "system", "content": f"First: {DOCUMENTS[0]['text']}"},
            {"role": "tool", "content": DOCUMENTS[1]["text"]},
        ]
        prompt = make(messages=chat)
        assert self.spoken(prompt) == [("system", "First: <docs>"), ("tool", "<docs>"), ("user", "How long?")]
        assert "Panama" not in text_of(prompt, [1] * 6)  # the title was not in the message, so it is not added
        assert prompt.sources.ids[-1] == "s#1"

    def test_documents_marked_in_the_content(self):
        content = [{"type": "text", "text": "Read: "}, {"type": "document", **DOCUMENTS[1]}, "Now answer."]
        prompt = make(context=None, query=None, messages=[{"role": "user", "content": content}])
        assert self.spoken(prompt) == [("user", "Read: <docs>Now answer.")]
        assert list(prompt.sources.texts) == ["Suez is older.", "It has no locks."]

    def test_a_history_and_a_new_question(self):
        prompt = make(messages=[{"role": "system", "content": "Be brief."}])
        assert self.spoken(prompt) == [("system", "Be brief."), ("user", "Context: <docs>\n\nQuery: How long?")]

    def test_without_a_context_what_was_said_before_is_the_context(self):
        chat = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "It is 82 km long. It opened in 1914."},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": "How long?"},
        ]
        prompt = make(context=None, query=None, messages=chat)
        assert list(prompt.sources.texts) == ["It is 82 km long.", "It opened in 1914.", "I see."]
        assert prompt.sources.documents[0].id == "user 2"
        alone = make(context=None, query=None, messages=chat[:2])
        assert list(alone.sources.texts) == ["It is 82 km long.", "It opened in 1914."]

    def test_other_keys_reach_the_template(self):
        tokenizer = tiny_models.tokenizer("{% for m in messages %}{{ m['name'] }}: {{ m['content'] }}\n{% endfor %}")
        prompt = make(tokenizer, messages=[{"role": "user", "name": "Ann", "content": "{context}"}], query=None)
        assert text_of(prompt, [0, 0, 0, 0, 1, 0]) == "Ann: Suez is older.\n"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"context": " \n", "query": "q"}, "the context is empty"),
            ({"context": [], "query": "q"}, "the context is empty"),
            ({"context": "c", "query": " "}, "the query is empty"),
            ({"context": "c", "query": None}, "query is missing"),
            ({"context": None, "query": "q"}, "context is missing"),
            ({"context": [{"txt": "c"}], "query": "q"}, "document 1 must be a text, or a dict with 'text'"),
            ({"context": "c", "query": "q", "template": "{query}"}, r"has no \{context\}"),
            ({"context": "c", "query": "q", "template": "{context}"}, r"has no \{query\}"),
            ({"context": None, "query": None, "messages": []}, "messages must be a list with at least"),
            (
                {"context": None, "query": None, "messages": [{"role": "user"}]},
                "message 1 must be a dict with 'role' and 'content'",
            ),
            (
                {"context": None, "query": None, "messages": [{"role": "user", "content": [{"type": "image"}]}]},
                "message 1 has a part that is neither text nor a document",
            ),
            (
                {"context": "c", "query": "q", "messages": [{"role": "user", "content": [{"type": "document", "text": "d"}]}]},
                "marked in the messages already",
            ),
        ],
    )
    def test_bad_input(self, given, message):
        with pytest.raises(LlmattrError, match=message):
            conversation(**given)


def test_an_empty_response_is_refused():
    with pytest.raises(LlmattrError, match="the response is empty"):
        make().with_response(" ")
    with pytest.raises(LlmattrError, match="the model answered nothing"):
        make().with_generated([CHAT.eos_token_id])


def prefix_space_tokenizer():
    """Like Llama 2: words begin with a mark, the first word too, and what is decoded loses the first space. NFKC on top."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "</s>", "\u2581It", "\u2581is.", "\u2581Two", ".", "\u2581half", "\u2581", "1", "\u20442", "\u2581Yes"]
    unigram = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    unigram.decoder = decoders.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>", eos_token="</s>")


@pytest.mark.parametrize("response", ["It is. Two.", " It is. Two.", "It \u00bd is. Two.", "It \U0001f600 is. Two. Yes"])
def test_the_last_sentences_tokens_are_its_own_with_any_tokenizer(response):
    tokenizer = prefix_space_tokenizer()
    prompt = make(tokenizer, query="Two").with_response(response)
    start = response.index("Two.")
    first, last = prompt.response_tokens(np.array([[start, start + 4]]))[0]
    assert tokenizer.convert_ids_to_tokens(prompt.response_ids[first:last]) == ["\u2581Two", "."]


def test_a_prompt_without_text_still_has_a_token():
    plain = make(PLAIN, query=None, messages=[{"role": "user", "content": "One. Two."}], context=None).with_response("One.")
    ids, response, _ = plain.render(np.zeros(2, dtype=bool))
    assert response.start == len(ids) - len(plain.response_ids) == 1


def test_text_that_is_no_source_is_never_removed():
    prompt = make(context="Intro. Fact: A. and Fact: B. Outro.", sources=lambda text: ["Fact: A.", "Fact: B."])
    assert kept(prompt, [1, 1]) == "Intro. Fact: A. and Fact: B. Outro."
    assert kept(prompt, [0, 1]) == "Intro.  and Fact: B. Outro."
    assert kept(prompt, [0, 0]) == "Intro.  and  Outro."


@pytest.mark.parametrize(
    ("splitter", "message"),
    [(lambda text: [], "finds no part"), (lambda text: [3], "part 1 of the splitter is no text")],
)
def test_a_splitter_that_does_not_split(splitter, message):
    with pytest.raises(LlmattrError, match=message):
        make(sources=splitter)


def test_a_sentence_without_a_token_is_no_target():
    tokenizer = prefix_space_tokenizer()
    prompt = make(tokenizer, query="Two").with_response("It is. \u200b Two.")
    assert all(first < last for first, last in prompt.response_tokens(prompt.targets().spans))


def test_a_context_that_cannot_be_placed_is_refused():
    chat = [{"role": "system", "content": "Notes: " + DOCUMENTS[0]["text"]}, {"role": "user", "content": "When?"}]
    with pytest.raises(LlmattrError, match="document 's' does not stand in the messages"):
        make(messages=chat, query=None)
    with pytest.raises(LlmattrError, match="the documents do not stand in the messages"):
        make(messages=chat[1:], query=None)
    with pytest.raises(LlmattrError, match="there is no context to put there"):
        make(context=None, query=None, messages=[{"role": "user", "content": "See {context}."}])
