"""Spans that stand word for word in texts, against every span tried, and what chance gives where words are independent."""

import numpy as np
import pytest

from llmattr.errors import LlmattrError
from llmattr.retrieval.suffixes import Suffixes, suffix_order
from llmattr.retrieval.verbatim import Corpus, places
from llmattr.retrieval.wording import forms, words

ALL = 1e300  # spans that chance may give: none is left out


def spans(corpus, answer, chance=ALL):
    """What is found, by words: how often each span stands there, and in which texts."""
    said = [(word.start, word.end) for word in words(answer)]
    first, last = {start: i for i, (start, _) in enumerate(said)}, {end: i + 1 for i, (_, end) in enumerate(said)}
    return {(first[q.start], last[q.end]): (q.count, q.rows.tolist()) for q in corpus.quoted(answer, chance).quotes}


def every_match(texts, answer):
    """The same by laying the answer beside every text at every place: runs of the same words that go no further."""
    found, said = {}, list(forms(answer))
    for row, text in enumerate(texts):
        there = list(forms(text))
        for shift in range(-len(there), len(said)):
            same = [0 <= i - shift < len(there) and said[i] == there[i - shift] for i in range(len(said))] + [False]
            ends = [i for i in range(len(same)) if same[i] != same[i - 1]]  # the last is followed by the first
            for run in zip(ends[::2], ends[1::2], strict=True):
                found.setdefault(run, []).append(row)
    return {run: (len(rows), sorted(set(rows))) for run, rows in found.items()}


def every_maximal_span(texts, answer):
    """By trying every span of the answer at every place of every text: those that are part of no other."""
    texts, said = [list(forms(text)) for text in texts], list(forms(answer))
    pairs = [(first, last) for first in range(len(said)) for last in range(first + 1, len(said) + 1)]
    there = [(a, b) for a, b in pairs if any(text[i : i + b - a] == said[a:b] for text in texts for i in range(len(text)))]
    return {(a, b) for a, b in there if not any(c <= a and b <= d and (a, b) != (c, d) for c, d in there)}


def random_texts(rng, many, longest, vocabulary):
    return [" ".join(rng.choice(vocabulary, rng.integers(0, longest))) for _ in range(many)]


@pytest.mark.parametrize("vocabulary", ["ab", "abcdefgh", ["a", "is", "1889", "塔", "🗼", "é", "الكتاب"]])
def test_spans_are_those_of_trying_every_one(vocabulary, tmp_path):
    """Of 1,002 corpora with the three vocabularies, some of them without a text or without a word; read from disk, too."""
    rng = np.random.default_rng(len(vocabulary))
    for number in range(334):
        texts = random_texts(rng, rng.integers(0, 6), 12, list(vocabulary))
        answer = " ".join(rng.choice([*vocabulary, "unheard"], rng.integers(0, 14)))
        corpus = Corpus.of(texts)
        if number % 10 == 0:
            corpus.save(tmp_path)
            corpus = Corpus.open(tmp_path)
        assert spans(corpus, answer) == every_match(texts, answer)
        maximal = [answer[quote.start : quote.end] for quote in corpus.quoted(answer, ALL).quotes if quote.outermost]
        said = list(forms(answer))
        assert sorted(maximal) == sorted(" ".join(said[a:b]) for a, b in every_maximal_span(texts, answer))


def test_long_spans_are_found_whole():
    """In texts that begin alike, and in one of one word alone: each as far as it goes, and at every shift."""
    rng = np.random.default_rng(0)
    long = list(rng.choice(list("abc"), 300))
    texts = [" ".join(part) for part in (long, [*long[:200], "x"], ["y", *long[50:]], ["a"] * 500)]
    corpus = Corpus.of(texts)
    for said in (["z", *long, "z"], [*long[:200], "x"], long[60:190], ["a"] * 99):
        assert spans(corpus, " ".join(said)) == every_match(texts, " ".join(said))
    whole = max(corpus.quoted(" ".join(["z", *long, "z"])).quotes, key=lambda quote: quote.words)
    assert (whole.words, whole.rows.tolist(), whole.outermost) == (300, [0], True)


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_suffixes_are_in_the_order_of_what_follows(n):
    for largest in (1, 2, 50):
        given = np.random.default_rng(n).integers(0, largest, n)
        assert suffix_order(given).tolist() == sorted(range(n), key=lambda at: given[at:].tolist())
        suffixes = Suffixes(given, suffix_order(given))
        assert sorted(suffixes.places(given[:1])) == [at for at in range(n) if given[at] == given[0]] or not n


def test_neither_the_order_of_texts_nor_what_is_cut_off_counts():
    rng = np.random.default_rng(1)
    texts = random_texts(rng, 30, 20, list("abcdef"))
    answer = " ".join(rng.choice(list("abcdefg"), 60))
    order = rng.permutation(30)
    one, other = (Corpus.of(some).quoted(answer, ALL) for some in (texts, [texts[i] for i in order]))
    assert one.by_chance == other.by_chance
    for a, b in zip(one.quotes, other.quotes, strict=True):
        assert (a.start, a.end, a.count, a.by_chance) == (b.start, b.end, b.count, b.by_chance)
        assert a.rows.tolist() == sorted(order[b.rows].tolist())


@pytest.mark.parametrize(
    ("row", "answer", "found"),
    [
        ("The TOWER\n\twas built", "the tower was BUILT.", "the tower was BUILT"),  # case and white space
        ("Straße und Weg", "STRASSE UND weg", "STRASSE UND weg"),
        ("“It’s over,” he said—twice.", "It's over he said twice", "It's over he said twice"),  # punctuation
        ("**bold** and `code`", "bold and code", "bold and code"),
        ("Cafe\u0301 au lait", "café au lait", "café au lait"),  # composed or not
        ("ﬁne \uff21\uff22\uff23", "fine ABC", "fine ABC"),  # ligatures and wide letters
        ("高い塔が建つ。", "この高い塔が", "高い塔が"),  # no spaces: characters
        ("كتب الكتاب هنا", "قال: كتب الكتاب", "كتب الكتاب"),  # from right to left
        ("I ❤️ Paris 🗼!", "I ❤ Paris 🗼", "I ❤ Paris 🗼"),  # with and without the selector of a picture
        ("x = y + z", "x + y = z", ""),  # symbols are words
        ("It costs 300 €", "costs 300 $", "costs 300"),
        ("one two", "onetwo", ""),  # no part of a word
        ("", "anything", ""),
        ("!!! ... —", "...", ""),
    ],
)
def test_what_is_the_same_word(row, answer, found):
    texts = ["", row, "and so on with many other words that nobody asks for, one after the other"]
    quotes = Corpus.of(texts).quoted(answer, ALL).quotes
    longest = max(quotes, key=lambda quote: quote.words, default=None)
    if found:
        assert answer[longest.start : longest.end] == found
        assert longest.rows.tolist() == [1]
        assert len(places(row, found)) == 1
    else:
        assert longest is None or longest.words == 1


def test_a_span_ends_where_a_text_does():
    assert spans(Corpus.of(["a b", "c d"]), "a b c d") == {(0, 2): (1, [0]), (2, 4): (1, [1])}


def test_rarity_is_told_by_the_words_shares():
    """Of 8 words, 4 of them "the": `-log(4 / 8) - log(1 / 8) = log 16`; an answer of 3 words has `3 x 8 / 16` by chance."""
    corpus = Corpus.of(["the tower the", "the door", "the end so"])
    (quote,) = [quote for quote in corpus.quoted("the tower unheard", ALL).quotes if quote.words == 2]
    assert quote.rarity == pytest.approx(np.log(16), rel=1e-12)
    assert quote.by_chance == pytest.approx(1.5, rel=1e-12)
    assert corpus.quoted("the tower unheard", 1.6).quotes
    assert not corpus.quoted("the tower unheard", 1.4).quotes


def test_rare_spans_come_first():
    corpus = Corpus.of(["of the of the of the of the", "rare words of the sea"])
    found = corpus.quoted("of the of the. Rare words!", ALL).quotes
    assert [quote.words for quote in found] == [4, 2] or found[0].rarity >= found[1].rarity
    assert [quote.rarity for quote in found] == sorted((quote.rarity for quote in found), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_chance_gives_no_more_than_it_is_said_to(exponent):
    """Answers and texts of independent words: `by_chance` is at least the mean number of such spans.

    Of 200 answers of 50 words, kept at 1 by chance, at most 200 in the mean, whose number has a variance of about that; 5
    deviations more are never seen. And the longest span of all is as long as told, but for the law's constant, which is
    `(0.577 + log(1 - e^-H)) / H - 1/2`, H = -log sum p^2, for whole words; to within 0.4 words, for the law is one of large N.
    """
    rng = np.random.default_rng(2)
    shares = 1 / np.arange(1, 101) ** exponent
    shares /= shares.sum()

    def text(length):
        return " ".join(f"w{word}" for word in rng.choice(100, length, p=shares))

    corpus = Corpus.of([text(100) for _ in range(200)])
    answers = [corpus.quoted(text(50), ALL).quotes for _ in range(200)]
    found = sum(quote.by_chance < 1.01 for quotes in answers for quote in quotes)  # of equal words three are just at 1
    assert 20 < found < 202 + 5 * np.sqrt(202)
    longest = [max(quote.words for quote in quotes) for quotes in answers]
    entropy = -np.log(np.square(shares).sum())
    constant = (np.euler_gamma + np.log(1 - np.exp(-entropy))) / entropy - 0.5
    assert np.mean(longest) == pytest.approx(corpus.chance_length(50) + constant, abs=0.4)


def test_common_words_are_no_finding_and_a_copied_sentence_is():
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(["of", "the", "in", "a", "to", *map(str, range(40))], 30)) for _ in range(50)]
    corpus = Corpus.of([*texts, "Magnus Hale built the lighthouse of Dunvale"])
    assert corpus.quoted("One of the ends, in a way.").quotes == []
    (quote,) = corpus.quoted("I say that Magnus Hale built the lighthouse, of the two.").quotes
    assert quote.rows.tolist() == [50]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(LlmattrError, match="cannot write"):
        Corpus.of(["a b"]).save(tmp_path / "none")
