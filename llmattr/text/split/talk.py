"""What an assistant says around its answer ("Sure!", "I hope this helps!", a question back): nobody claims anything by it."""

import regex

_SOMEONE = r"(?:i|you|he|she|it|we|they|there|that|this|one)"
_HELPER = r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|must|might|need)"
_TAG = regex.compile(  # behind a claim, which it only asks to be confirmed: "It opened in 1914, didn't it?"
    rf"""[,，、،;–—-]\s*[*_"'“”]*(?:
      (?:am\ i\ |is\ (?:that|it)\ |isn't\ (?:that|it)\ )?(?:not\ )?(?:right|correct|true|so)|no|eh|huh|innit|hm+
      |{_HELPER}n't\ {_SOMEONE}|(?:ain|won|can|shan)'t\ {_SOMEONE}|{_HELPER}\ {_SOMEONE}(?:\ not)?
      |(?:don't|wouldn't)\ you\ (?:think|agree|say)
      |oder(?:\ nicht)?|nicht(?:\ wahr)?|gell|stimmt'?s|richtig|non|n'est-ce\ pas|pas\ vrai|hein
      |¿?(?:no|verdad|cierto|no\ es\ (?:así|verdad))
      |vero|giusto|non\ è\ vero|não(?:\ é)?|né|certo|toch|niet(?:\ waar)?|hè|не\ так\ ли|верно|правда|да|أليس\ كذلك|έτσι
      |对[吗吧]|是[吗吧]|不是吗|对不对|是不是|是吧
    )\s*[?？؟;][*_"'”)\s]*$ | (?:でしょう|だろう|よね|ですね)か?[?？]\s*$""",
    regex.VERBOSE | regex.IGNORECASE,
)
_ASKED = regex.compile(r"[?？؟;][*_)\s]*$")  # the Greek question mark looks like a semicolon
_ASTONISHED = regex.compile(  # "!?": a question only where its words are one
    r"(?<![!！?？])(?=[!！]*+[?？])(?=[?？]*+[!！])[!！?？]++[*_)\s]*+$"
)
_QUESTION = regex.compile(
    rf"""[¡¿*_"'\s]*(?:(?:and|but|so|or)\s)?(?:{_HELPER}(?:n't)?|wh(?:o|om|ose|at|en|ere|y|ich)|how)\b""", regex.IGNORECASE
)
_GREEK = regex.compile(r"\p{Greek}")
_MORE = r"(?:any |more |other |further |additional |some )*"
_HELPS = r"(?:this|that|it|these|the above|my answer|the information)"
_TALK = regex.compile(
    rf"""[¡*_"'\s]*(?:
      (?:sure(?:\ thing)?|certainly|of\ course|absolutely|definitely|ok(?:ay)?|great|no\ problem|with\ pleasure|gladly
        |(?:that(?:'s|\ is)\ an?\ )?(?:great|good|excellent|interesting)\ question|thank(?:s|\ you)(?:\ for\ [^.,;:\d]{{1,60}})?
        |you(?:'re|\ are)\ welcome|(?:i(?:'m|\ am|'d\ be|\ would\ be)\ )?(?:happy|glad)\ to\ help(?:\ with\ (?:this|that))?
        |(?:you(?:'re|\ are)\ )(?:(?:absolutely|quite|completely)\ )?right|got\ it|understood|my\ pleasure|no\ worries
        |(?:best|kind)\ regards|let\ me\ explain|i(?:'m|\ am)\ here\ to\ help
        |(?:i(?:'m|\ am)\ )?happy\ to\ (?:clarify|explain)(?:\ further)?
        |hello|hi(?:\ there)?|good\ luck|take\ care|have\ a\ (?:great|nice|good)\ day)
      |(?:i\ )?hope\ {_HELPS}\ (?:helps?|answers\ your\ question|(?:was|is)\ helpful|clarifies\ (?:things|it|this))(?:\ you)?
      |(?:please\ |just\ )?
        (?:let\ me\ know|feel\ free\ to\ (?:ask|let\ me\ know|reach\ out)|don't\ hesitate\ to\ (?:ask|reach\ out))
        (?:\ (?:if|should|whether|about|for|in|what|how|when|which)\ [^.:;\d]{{1,90}}|\ {_MORE}(?:questions|details))?
      |(?:if|should)\ you\ (?:have|need|would\ like|want|require)\ [^.:;\d]{{1,70}},\ (?:please\ |just\ )?
        (?:let\ me\ know|feel\ free\ to\ (?:ask|reach|let)|(?:just\ )?ask(?:\ me|\ away)?(?=\W*$)
        |i(?:'m|\ am|'d\ be)\ (?:happy|here|glad)\ to
        |don't\ hesitate\ to)[^.:;\d]{{0,60}}
      |here(?:'s|\ is|\ are)\ (?:the|a|an|my|your|what)\b[^.;\d]{{0,80}}:
      |here(?:'s|\ is|\ are)\ (?:what\ (?:i|we)\ (?:found|know|can\ say)
        |(?:the|an?|my|your)\ (?:short\ |brief\ |quick\ |detailed\ )?(?:overview|summary|breakdown|list|answer|explanation))
        (?:\ (?:about|of|for|on)\ [^.:;\d]{{1,60}})?
      |(?:please\ )?see\ (?:also\ )?(?:\[[\d,\ ]+\][,\ ]*(?:and\ )?)+for\ (?:more\ |further\ )?(?:details|information)
      |(?:ja\ )?(?:gerne?|natürlich|selbstverständlich|klar)|(?:ich\ )?hoffe,\ (?:das|dies)\ hilft(?:\ (?:dir|ihnen|weiter))*
      |bien\ sûr|avec\ plaisir|j'espère\ que\ (?:cela|ça)\ (?:vous\ |t')?aide(?:ra)?|n'hésitez\ pas\ [^.:;\d]{{1,80}}
      |claro(?:\ que\ sí)?|por\ supuesto|espero\ que\ (?:esto\ |te\ |le\ )*(?:ayude|sirva)|certamente|con\ piacere
      |当然(?:可以)?|好的|没问题|希望(?:这|以上)?[^。！\d]{{0,8}}(?:有所)?帮助|もちろん(?:です)?|はい|お役に立てれば幸いです
    )[*_"'\s.!,:。！…）)]*(?:[\p{{So}}\p{{Emoji_Presentation}}\ufe0f\s]*)$""",
    regex.VERBOSE | regex.IGNORECASE,
)


def is_talk(said: str) -> bool:
    """Whether a sentence of an answer only asks, greets, offers or wishes; what asks to confirm what it says claims that.

    >>> [is_talk(said) for said in ("Sure!", "I hope this helps.", "Would you like to know more?", "Sure, it opened in 1914.")]
    [True, True, True, False]
    >>> is_talk("It opened in 1914, didn't it?"), is_talk("It opened in 1914!?"), is_talk("When did it open?!")
    (False, False, True)
    """
    plain = said.replace("’", "'")
    if _ASTONISHED.search(plain):
        return _QUESTION.match(plain) is not None
    asked = None if without_tag(said) != said else _ASKED.search(plain)
    return bool(_TALK.match(plain)) or (asked is not None and (asked[0][0] != ";" or _GREEK.search(plain) is not None))


def without_tag(said: str) -> str:
    """What a sentence claims: without what only asks to confirm it.

    >>> without_tag("It opened in 1914, didn't it?")
    'It opened in 1914'
    """
    tag = _TAG.search(said.replace("’", "'"))
    return said[: tag.start()] if tag else said
