"""What looks like a mark and is mathematics or code: intervals, arrays, elements, arguments, powers.

Told by what stands around it, and by the answer's own variables. "Paris[1]" is a mark, and so is "names[1]" in an answer that
says nowhere that names is a variable, and "Use [1, 2]": these are written like marks, and nothing but sense tells them apart.
"""

import re
from collections.abc import Collection, Sequence

_FAR = 60  # characters before that are looked at
_PAGE = 2000  # characters before in which a mark 1 would stand, were this the mark 2 or 3
_UNIT = re.compile(r"(?:met(?:re|er)|mile|hectare|inche?|feet|foot|yard|second)s?\Z", re.I)  # of which there are squares
_QUANTITY = re.compile(
    r"\b(?:(?:poly|mono|bi|tri)nomial|matrix|vector|(?:co)?sine?h?|cosh?|tan(?:gent|h)?|radius|diameter|distance|velocity|speed"
    r"|acceleration|mass|charge|current|voltage|frequency|wavelength|error|residual|variance|deviation|sigma|theta|alpha|beta"
    r"|hypotenuse|length|width|height|thickness|variable|time|force|intensity|amplitude|slope|coefficient|numerator|denominator"
    r"|gamma|delta|epsilon|lambda|omega|kappa)s?\Z",
    re.I,
)
_SUMMAND = re.compile(r"[=+×·^−≈≤≥÷]\s*[\d.,]*\s*\w+\Z")
_SUM = re.compile(r"\((?=[^()\n]*[-+−×·*/^])(?:\d+(?:[.,]\d+)?|[^\W\d_]|[-+−×·*/^ ₀-₉])+\)\Z")
_FIRST_RAISED = re.compile(r"¹(?![⁰¹²³⁴-⁹])|<sup>1</sup>")

_ELEMENT = re.compile(
    r"(?:(?<!\w)[a-z]|\w_\w+|\b(?:arr|array|argv?s?|args|vec|lst|nums|xs|ys|df|tuple)"
    r"|\w\(\)|(?<!\w)[a-z]\([^()\s]{1,40}\)|\w\[[a-z_]\w{0,30}\])(?:\[[\w, ]{1,40}\])*\Z"
)
_VARIABLE = re.compile(
    r"(?<![\w.])((?:[a-z_]\w*\.)*[a-z_]\w*)(?:[ ]?[-+*/]?=(?![=>])|\[(?:0|-\d{1,3}|[ijkn]|\d{0,3}:\d{0,3})\])"
)
_NAME = re.compile(r"(?<![\w.])[a-z_][\w.]*\Z")
_CALL = re.compile(r"(?:(?<!\w)[a-z]|\w[._]\w+)\(\Z")  # f([1]), np.mean([1]); text([1, 2]) for several numbers alone
_AN = r"(?:the|an?|this|each|its|closed|open|unit|sorted|integer)\s+"
_OF_NUMBERS = re.compile(
    rf"""(?:\b(?:(?:sub)?interval|tuple)s?|\b{_AN}(?:array|vector|tensor|segment|range|domain|coordinates|indices))\s+(?:of\s+|is\s+)?\Z
    | (?:(?<!\w)[^\W\d_]|\b(?:lies?|lying|falls?|falling|numbers?|integers?|uniform(?:ly)?(?:\s+distributed)?))
      \s+(?:in|within|on|over|between|from)\s+\Z
    | \b(?:clip(?:ped)?|clamp(?:ed)?|(?:re)?scaled?|normali[sz]ed?|mapp?(?:ed)?|restrict(?:ed)?|rang(?:es?|ing))
      \s+(?:in|within|over|to|into|between|from)\s+\Z
    | \b(?:returns?|outputs?|prints?|gives?|becomes?|yields?|equals|evaluates\s+to)\s+\Z""",
    re.VERBOSE | re.I,
)
_LISTED = re.compile(rf"\b{_AN}(?:list|set|sequence|matrix|row|column)\s+\Z", re.I)
_PREDICATE = re.compile(r"(?<!they )(?<!it )(?<!he )(?<!there )(?<!sources )(?<!references )\b(?:is|are|was|were)\s+\Z", re.I)
_ENDS = re.compile(r"\s*(?:[.,;:!?)]|\Z|(?:and|or)\b)")
_OPERATOR = re.compile(r"(?:=|(?<=\s)[≈≠≤≥∈∉⊂⊆∪∩×·+])\s*\Z")
_OPERATED = re.compile(r"\s?(?:=(?!>)|[≈≠∈∪∩×·+]\s*[\[\d(])")


def variables(text: str) -> set[str]:
    """The names that a text gives a value, or takes an element of that no list of sources has.

    >>> sorted(variables("names = load(). The last is rows[-1], not names[1]; Paris[1] is none."))
    ['names', 'rows']
    """
    return {found[1] for found in _VARIABLE.finditer(text)}


def is_value(text: str, start: int, end: int, numbers: Sequence[int], variables: Collection[str] = ()) -> bool:
    """Whether the numbers in brackets from `start` to `end` are an interval, an array or an index, and name no sources.

    An index: behind a letter, `a_name`, the end of a call, one of the `variables`. An argument: first in the parenthesis of a
    call. An array or interval: beside an operator, behind words that announce one, or all that is said of something ("It gives
    [1, 2]", "The score is [1, 2].").

    >>> [is_value(text, 5, 11, [1, 2]) for text in ("x in [1, 2].", "Tall [1, 2].", "f is [1, 2] + [3, 4]")]
    [True, False, True]
    """
    before = text[max(0, start - _FAR) : start]
    attached, name = before[-1:].isalnum(), _NAME.search(before)
    if (name and name[0] in variables) or _CALL.search(before) or (len(numbers) > 1 and re.search(r"\w\(\Z", before)):
        return True
    if _ELEMENT.search(before) or _OPERATOR.search(before) or _OPERATED.match(text, end):
        return True
    if len(numbers) < 2:
        return attached and 0 in numbers
    if _PREDICATE.search(before) and _ENDS.match(text, end):
        return True
    is_no_list = len(numbers) > 2 or list(numbers) != sorted(set(numbers))  # of sources
    return 0 in numbers or bool(_OF_NUMBERS.search(before)) or (is_no_list and bool(_LISTED.search(before)))


def is_power(text: str, start: int, said: str) -> bool:
    """Whether the raised number `said` at `start` is a power: of a unit, in a sum, of a quantity if no raised 1 is before it.

    >>> [is_power(text, len(text), "2") for text in ("x = edge", "The polynomial", "The tower", "(a + b)")]
    [True, True, False, True]
    """
    before = text[max(0, start - _FAR) : start]
    if _UNIT.search(before) or _SUMMAND.search(before) or _SUM.search(before):
        return True
    return (
        said in ("2", "3") and bool(_QUANTITY.search(before)) and not _FIRST_RAISED.search(text, max(0, start - _PAGE), start)
    )
