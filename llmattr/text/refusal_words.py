"""How refusals are said, language by language, as patterns of small letters."""

from typing import NamedTuple


class Refusing(NamedTuple):
    """The words of a language, whose names in capitals stand for them in the patterns behind them.

    doc: what documents are called; no: what denies; tell: what documents do; known: what is done with what stands there;
    in_doc: in or by documents; phrase: what refuses without documents; beside: clauses that may stand with a refusal; cut:
    where a clause ends; denial: the documents do not tell, or it is not known from them.
    """

    doc: str
    no: str
    tell: str
    in_doc: str
    known: str
    phrase: str
    beside: str
    cut: str
    denial: str = r"^(?=.*NO)(?:(?=.*DOC).*TELL|(?=.*IN_DOC).*KNOWN)"


_EN_DENIAL = (
    r"DOC,? (?:\S+ ){0,3}?NO ?(?:\S+ ){0,4}?TELL|DOC (?:\S+ ){0,2}?(?:is|are) silent|NO (?:\S+ ){0,5}?DOC (?:\S+ ){0,3}?TELL"
    r"|NO ?(?:\S+ ){0,4}?KNOWN(?:.* )?IN_DOC|IN_DOC,? (?:\S+ ){0,5}?NO ?(?:\S+ ){0,3}?KNOWN(?! to)"
    r"|^(?:\w+ ){0,2}IN_DOC,.* (?:(?:is|are|was|were|has|have)(?: not|n't)|cannot|can't|no)(?: be"
    r"| been)? (?:\w+ly )?KNOWN(?! to)|NO ?(?:\S+ ){0,2}?TELL(?:.* )?IN_DOC(?! \w)"
    r"|^nowhere IN_DOC|\b(?:unclear|unknown|impossible) (?:.* )?IN_DOC"
)
_EN_KNOWN = (
    r"stated|mentioned|specified|given|provided|indicated|listed|named|said|available|described|disclosed"
    r"|included|discussed|explained|addressed"
)
_EN_INFO = r"(?:information|info|details?|answer)"
_EN_SORRY = (
    r"^(?:(?:sorry|i'm (?:very |so )?sorry|i am (?:very |so )?sorry|i'm afraid|i am afraid|unfortunately|sadly"
    r"|i apologi[sz]e|therefore|thus|hence|additionally|furthermore|that|however|but|so|and|well|as an ai[^,]*|(?:based on"
    r"|from|given|in|according to) DOC)[,.]? ?)*"
)

ENGLISH = Refusing(
    doc=r"\b(?:texts?|documents?|documentation|passages?|contexts?|sources?|excerpts?|paragraphs?|snippets?"
    r"|articles?(?! \d)|search results?"
    r"|(?:provided|given|available|supplied|above|retrieved) (?:information|content|data|material|page|report|results?)"
    r"|(?:information|content|data|material)s? (?:provided|given|supplied|above|available))\b(?! (?:of|by|for|he"
    r"|she|they|we|code)\b)",
    no=r"\b(?:not|no|none|nor|neither|nothing|nowhere|never|cannot|unable|impossible|unclear|unknown|insufficient"
    r"|lacks?|fails?|silent|omits?|without)\b|\b\w+n't\b",
    tell=r"\b(?:mentions?|says?|states?|specify|specifies|indicates?|indication|tells?|address(?:es)?|discuss(?:es)?|answers?"
    r"|reveals?|disclos(?:es|e)|explains?"
    r"|describes?|clarify|clarifies|covers?|identify|identifies|names?|lists?|elaborates?|gives?|provides?"
    r"|includes?|silent|information|details?|references?)\b",
    in_doc=r"\b(?:in|from|by|on|within|with|using|of|given|anywhere in|to) (?:(?:any|one|either|all|the|this|these"
    r"|those|your|my|provided|given|available|supplied|above|two|three) )*DOC",
    known=rf"\b(?:{_EN_KNOWN}|determined?|found|find|answered|inferred?|established|derived|identified|verified"
    rf"|confirmed|tell|say|know|known|clear|unclear|unknown|see|possible)\b",
    phrase=rf"{_EN_SORRY}(?:i|we) (?:really |honestly |just |simply )?(?:(?:do|did|can|could)(?: not|n't)|can(?:no|')t"
    rf"|(?:am|was|are|were)(?: not able| unable) to|'m (?:not able|unable) to)"
    rf" (?:actually |currently )?(?:know\b(?! how to)|answer\b|determine\b|find (?:any|an|the answer|that|this"
    rf"|it\b$|information|where|when|who|out)|find$"
    rf"|see (?:any|an|that|this)|locate (?:any|an|the answer|that|information)|tell (?:you|who|when|from)"
    rf"|say (?:for|with|who|when|from|how)"
    rf"|provide (?:an|you|that|a|any|the|this)\b|confirm|verify|have (?:(?:any|enough|sufficient|access|specific"
    rf"|the|to|that|more|further|details?|on|about|current|necessary|relevant) )*(?:{_EN_INFO}|data))"
    rf"|{_EN_SORRY}(?:i|we) (?:have|see|find|found) (?:no|insufficient|not enough) (?:\w+ )?(?:{_EN_INFO}|idea"
    rf"|mention|knowledge)"
    rf"|{_EN_SORRY}(?:i'm|i am) not (?:sure|certain)(?:$| (?:who|when|where|what|why|how|whether|which)\b)"
    rf"|{_EN_SORRY}there (?:is|are)(?:n't| not)? (?:no |not |any |enough |insufficient |sufficient |specific "
    rf"|relevant |further |direct )+{_EN_INFO}\b"
    r"|\bthere (?:is|are) no (?:\w+ )?(?:mention|indication|reference)\b(?!.* (?:in|on|within) )"
    rf"|^(?:it|this|that|the (?:\w+ )?(?:year|date|name|number|reason|place|location|price|cost|author|age|amount"
    rf"|answer|information|details?|population|length|height)(?: of [\w ]+)?)"
    rf" (?:is|are|was)(?: not|n't) (?:explicitly |clearly |specifically |directly )?(?:{_EN_KNOWN})(?: here"
    rf"| anywhere| explicitly)?(?:$| (?:who|when|where|what|why|how|whether|which)\b)"
    rf"|^(?:no|not enough|insufficient) (?:\w+ )?(?:{_EN_INFO}|mention)(?: (?:about|on|regarding) .*)?(?:$"
    rf"| (?:is|are|was|were) (?:given|provided|available|found)$)"
    rf"|^{_EN_INFO} (?:about|on|regarding) .* (?:is|are) not (?:{_EN_KNOWN})$"
    r"|^(?:but |while |although )?(?:it|they) (?:does|do)(?: not|n't) (?:\w+ly )?(?:say|state|specify|mention"
    r"|indicate|give|provide)\b"
    r"|^(?:the|this|that|your) question (?:cannot|can't|could not) be answered"
    r"|^not (?:stated|mentioned|specified|given|known|enough information)\b|^(?:unknown|unanswerable|n/a|no answer"
    r"|no idea|(?:do not|don't|cannot|can't) (?:know|say|answer))$",
    beside=rf"{_EN_SORRY}$|(?:but |although |though |while |whereas |and |only )*(?:(?:the|this|these|all|both|it"
    rf"|they|provided|given) )*(?:DOC|it|they)?(?: (?:only|merely|simply|just|do|does))*"
    r" ?(?:mentions?|discuss(?:es)?|describes?|talks? about|covers?|refers? to|focus(?:es)? on|provides?|contains?"
    r"|gives?)\b(?!.*\bthat\b)(?!.*\d)"
    r"|(?:but |and |so )?(?:please|you (?:may|might|could|can|should|would)|if you|let me know|(?:i|we) (?:would"
    r"|can only|could only|need|recommend|suggest|will need)|i'd |feel free|could you|would you"
    r"|more (?:information|context))",
    cut=r"[;:!?](?:\s|$)|(?<!\b(?:st|dr|mr|mrs|ms|prof|no|vs|\p{L}))\.(?:\s|$)|\s[-–—]\s|—|,? (?=(?:but|however"
    r"|although|though|while|whereas|yet)\b)"
    r"|, (?=(?:so|which|please|and (?:it|he|she|they|the|i|this|that|there|you))\b)|(?<=^(?:while|although|though"
    r"|whereas)\b[^,]*),",
    denial=_EN_DENIAL,
)
