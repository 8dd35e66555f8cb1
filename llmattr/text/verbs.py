"""Whether two English words are forms of one verb."""

from functools import lru_cache

from llmattr.text.units import fold

_ENDINGS = (("s", ""), ("es", ""), ("ies", "y"), ("d", ""), ("ed", ""), ("ied", "y"), ("ing", ""), ("ing", "e"))
_LEAST = 3  # letters that are left without an ending
_IRREGULAR = """become became; begin began begun; break broke broken; bring brought; build built; buy bought; choose chose
    chosen; draw drew drawn; drive drove driven; eat ate eaten; fall fell fallen; find found; fly flew flown;
    get got gotten; give gave given; go went gone; grow grew grown; hold held; keep kept; know knew known; lead
    led; leave left; lose lost; make made; meet met; pay paid; rise rose risen; run ran; say said; see saw seen;
    sell sold; send sent; show shown; speak spoke spoken; take took taken; teach taught; tell told; win won;
    write wrote written"""
_FORMS = {form: verb.split()[0] for verb in _IRREGULAR.split(";") for form in verb.split()}


def alike(one: str, other: str) -> bool:
    """Whether both may be forms of the same verb, or of the same word.

    >>> alike("opened", "open"), alike("won", "win"), alike("Studies", "studied"), alike("open", "close")
    (True, True, True, False)
    """
    return not bases(one).isdisjoint(bases(other))


@lru_cache(10_000)
def bases(word: str) -> frozenset[str]:
    """What the word may be a form of: stopped of stop, and of nothing shorter than three letters."""
    word = fold(word)
    stems = [word.removesuffix(end) + new for end, new in _ENDINGS if word.endswith(end)]
    once = [stem[:-1] for stem in stems if stem[-2:-1] == stem[-1:]]  # stopped
    return frozenset({word, _FORMS.get(word, word), *(stem for stem in (*stems, *once) if len(stem) >= _LEAST)})
