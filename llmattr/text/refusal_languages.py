"""How refusals are said in languages other than English, as patterns of small letters."""

from llmattr.text.refusal_english import ENGLISH, Refusing

LANGUAGES: dict[str, Refusing] = {
    "en": ENGLISH,
    "de": Refusing(
        doc=r"\b(?:text(?:e|en|es)?|textstellen?|dokument(?:e|en|s)?|unterlagen|quellen?|abschnitt(?:e|en|s)?"
        r"|passagen?|kontext(?:e|en|s)?|auszug|artikel[ns]?|(?:vorliegenden?|gegebenen?|bereitgestellten?|angegebenen?"
        r"|verfügbaren?) (?:informationen|angaben|materialien))\b(?! (?:des|der|von)\b)",
        no=r"\b(?:nicht|nichts|kein(?:e|en|er|es|em)?|nirgends|weder|unklar|unbekannt)\b",
        tell=r"\b(?:erwähn(?:t|en|te)|sag(?:t|en)|nenn(?:t|en)|enthalten|enthält|steht|stehen|gibt|geben|liefer(?:t|n)"
        r"|beschreib(?:t|en)|erlaub(?:t|en)|läss?t|lassen|beantworte(?:t|n)|macht|machen|verrät|informationen|angaben|hinweise?|gesagt|erwähnung)\b",
        in_doc=r"\b(?:im|in|aus|den|dem|der|laut|anhand|von|hervor)\b.*DOC|DOC.*hervor",
        known=r"\b(?:erwähnt|erkennbar|schließen|angegeben|genannt|gesagt|beantwort\w+|hervor|bestimm\w+|finden|gefunden|entnehmen"
        r"|ersichtlich|bekannt|klar|unklar|ableiten|sagen)\b",
        phrase=r"^(?:leider |entschuldigung,? |es tut mir leid,? |tut mir leid,? |aber |ich |das "
        r"|die antwort )*(?:weiss (?:ich )?(?:es |das |die antwort )?(?:leider )?nicht|(?:kann"
        r"|konnte) (?:ich )?(?:(?:die|diese) frage|das|dies|es|dazu|darüber)?.*\b(?:nicht|keine"
        r"|nichts) ?(?:\w+ )*(?:beantworten|sagen|finden|beurteilen|angaben|informationen)|(?:habe|liegen mir"
        r"|finde) (?:ich |mir )?(?:leider )?(?:dazu |darüber )?keine (?:\w+ )?(?:informationen|angaben|daten))"
        r"|^(?:leider |dazu |hierzu |darüber |es )*(?:gibt|liegen)(?: es)? (?:leider )?(?:dazu |hierzu |darüber "
        r"|mir )?keine (?:\w+ )?(?:informationen|angaben)(?! mehr)"
        r"|^(?:das|es|dies|das jahr|das datum|der name|die zahl|der ort|der grund) (?:ist"
        r"|wird) (?:leider )?nicht (?:angegeben|genannt|erwähnt|gesagt)(?:,|$)|^nicht (?:angegeben|erwähnt|bekannt)$"
        r"|^keine angaben?$",
        beside=r"(?:leider|es tut mir leid|entschuldigung)$|bitte\b",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:aber|jedoch|doch|obwohl|während)\b)|, (?=und (?:er|sie|es|der|die|das)\b)",
    ),
    "fr": Refusing(
        doc=r"\b(?:textes?|documents?|passages?|contextes?|sources?|extraits?|articles?|(?:informations?|éléments"
        r"|données) (?:fournie?s?|disponibles|données))\b(?! (?:du|de la|de l'|des)\b)",
        no=r"\b(?:pas|ne|aucune?s?|rien|ni|impossible|jamais)\b|\bn'",
        tell=r"\b(?:mentionn\w+|di(?:t|sent)|précis\w+|indiqu\w+|donn(?:e|ent)|contien\w+|fourni\w*|répond\w*|parl\w+"
        r"|permett?\w*|informations?|mention|évoqu\w+|explique\w*)\b",
        in_doc=r"\b(?:dans|par|selon|d'après|à partir|sur la base)\b.*DOC",
        known=r"\b(?:mentionn\w+|précis\w+|indiqu\w+|donn\w+|dite?s?|trouv\w+|appara[iî]\w+|figur\w+|détermin\w+|répondre|savoir|connue?|claire?)\b",
        phrase=r"^(?:malheureusement,? |désolée?,? |je suis désolée?,? |mais )*(?:je|nous) (?:ne |n')(?:le "
        r"|l')?(?:sai[st]|savons|peux|pouvons|trouve|ai|dispose|connais|suis|parviens)\b.*\b(?:pas|aucune?)\b"
        r"|^(?:malheureusement,? )?il n'(?:y a|existe) (?:pas d'|aucune )(?:information|mention"
        r"|indication)s?\b(?!.* dans (?:le|la|les) (?!DOC))"
        r"|^(?:ce|cela|ceci|l'année|la date|le nom|le lieu|la raison|le nombre|ce) n'est pas (?:précisée?|indiquée?"
        r"|mentionnée?|dite?)$|^(?:non (?:précisé|mentionné|indiqué)|aucune information.*)$|^inconnu$",
        beside=r"(?:malheureusement|désolée?|je suis désolée?)$|veuillez\b",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:mais|cependant|toutefois|bien que)\b)|, (?=et (?:il|elle|le|la|l'))",
        denies=r"NO|\b(?:non|inconnu)\b",
    ),
    "es": Refusing(
        doc=r"\b(?:textos?|documentos?|pasajes?|contextos?|fuentes?|fragmentos?|artículos?(?! \d)|extractos?"
        r"|(?:información|datos) (?:proporcionad[ao]s?|disponibles?|dad[ao]s?))\b(?! (?:de|del)\b)",
        no=r"\b(?:no|ningun[ao]?|ningún|nada|tampoco|ni|nunca|imposible)\b",
        tell=r"\b(?:mencion\w+|dicen?|indica\w*|especifi\w+|señala\w*|proporcion\w+|contiene\w*|da|dan|ofrece\w*"
        r"|respond\w+|permit\w+|habla\w*|información|explica\w*|aclara\w*)\b",
        in_doc=r"\b(?:en|por|según|a partir|con|de)\b.*DOC",
        known=r"\b(?:mencion\w+|indica\w*|especifi\w+|dice|encuentr\w+|encontr\w+|determin\w+|responder|saber|sabe"
        r"|aparece\w*|consta|figura)\b",
        phrase=r"^(?:lamentablemente,? |desafortunadamente,? |por desgracia,? |lo siento,? |pero )*(?:no (?:lo )?sé\b"
        r"|no (?:puedo|pude|he podido) (?:responder|encontrar|determinar|saber|decir)|no (?:tengo|dispongo de"
        r"|encuentro|encontré) (?:suficiente )?(?:información|datos|la respuesta))"
        r"|^(?:lamentablemente,? )?no hay (?:ninguna |suficiente )?(?:información|mención|datos)\b(?!.* en (?:el|la"
        r"|los|las) (?!DOC))"
        r"|^(?:no se (?:indica|menciona|especifica|dice)(?:$| (?:cuándo|quién|dónde|qué|cómo|por qué|cuánt\w+|el año"
        r"|la fecha|el nombre)\b(?!.* en (?!DOC))))|^(?:sin información|no especificado|desconocido)$",
        beside=r"(?:lamentablemente|lo siento)$|por favor\b",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:pero|aunque|sin embargo)\b)|, (?=y (?:el|la|es|fue|se)\b)",
        denies=r"NO|\b(?:sin|desconocido)\b",
    ),
    "it": Refusing(
        doc=r"\b(?:test[oi]|document[oi]|pass(?:o|aggio|aggi|i)|contest[oi]|font[ei]|estratt[oi]|articol[oi](?! \d)"
        r"|brani?|(?:informazioni|dati) (?:fornit[ie]|disponibili))\b(?! (?:di|del|della|dei)\b)",
        no=r"\b(?:non|nessun[ao]?|niente|nulla|né|mai|impossibile)\b",
        tell=r"\b(?:menzion\w+|dic(?:e|ono)|indica\w*|specific\w+|precis\w+|fornis\w+|contien\w+|contengono|parla\w*"
        r"|rispond\w+|permett\w+|consent\w+|riporta\w*|informazioni|dà|spiega\w*)\b",
        in_doc=r"\b(?:nel|nei|nelle|nella|in|dal|dai|dalle|secondo|in base)\b.*DOC",
        known=r"\b(?:menzion\w+|indicat\w+|specificat\w+|precisat\w+|dett[oa]|trova\w*|determin\w+|rispondere|sapere"
        r"|riportat\w+|compaiono|compare|risulta\w*)\b",
        phrase=r"^(?:purtroppo,? |mi dispiace,? |ma )*(?:non (?:lo )?so\b|non (?:posso|sono riuscit[oa] a|riesco a"
        r"|sono in grado di) (?:rispondere|trovare|determinare|dire)|non (?:ho|dispongo di|trovo) (?:abbastanza "
        r"|sufficienti |la )?(?:informazioni|dati|risposta))"
        r"|^(?:purtroppo,? )?non (?:ci sono|vi sono) (?:abbastanza )?informazioni\b|^(?:l'anno|la data|il nome"
        r"|il luogo) non è (?:indicat|specificat|menzionat|precisat)[oa]$"
        r"|^non (?:è|viene) (?:indicato|specificato|detto|precisato)(?:$| (?:quando|chi|dove|come|perché|quanto"
        r"|quant[ie])\b)|^(?:sconosciuto|non specificato)$",
        beside=r"(?:purtroppo|mi dispiace)$|per favore\b",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:ma|però|anche se|sebbene)\b)|, (?=e (?:il|la|è|fu)\b)",
        denies=r"NO|\bsconosciuto\b",
    ),
    "pt": Refusing(
        doc=r"\b(?:textos?|documentos?|passage(?:m|ns)|contextos?|fontes?|trechos?|artigos?(?! \d)|(?:informaç(?:ão"
        r"|ões)|dados) (?:fornecid[ao]s?|disponíve(?:l|is)))\b(?! (?:de|do|da)\b)",
        no=r"\b(?:não|nenhuma?|nada|nem|nunca|impossível)\b",
        tell=r"\b(?:mencion\w+|diz(?:em)?|indica\w*|especific\w+|informa\w*|fornece\w*|contém|contêm|dá|permit\w+|respond\w+"
        r"|fala\w*|informaç\w+|explica\w*|cita\w*)\b",
        in_doc=r"\b(?:n[oa]s?|em|d[oa]s?|pel[oa]s?|com base)\b.*DOC",
        known=r"\b(?:mencion\w+|indica\w*|especific\w+|informad\w+|dito|encontr\w+|determin\w+|responder|saber"
        r"|consta\w*|aparece\w*)\b",
        phrase=r"^(?:infelizmente,? |desculpe,? |lamento,? |mas )*(?:(?:eu )?não sei\b|(?:eu )?não (?:posso|consigo"
        r"|consegui|pude) (?:responder|encontrar|determinar|dizer)|(?:eu )?não (?:tenho|encontrei"
        r"|disponho de) (?:nenhuma )?(?:informaç\w+|dados|a resposta))"
        r"|^(?:infelizmente,? )?não há (?:nenhuma )?(?:informaç\w+|menção)\b(?!.* n[oa]s? (?!DOC))|^(?:o ano|a data"
        r"|o nome|o local) não (?:é|foi) (?:indicad|informad|mencionad|especificad)[oa]$"
        r"|^não (?:é|está) (?:indicado|especificado|informado|dito)(?:$| (?:quando|quem|onde|como|por que"
        r"|quant[oa]s?)\b)|^(?:desconhecido|não especificado)$",
        beside=r"(?:infelizmente|desculpe|lamento)$|por favor\b",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:mas|porém|embora)\b)|, (?=e (?:o|a|é|foi)\b)",
        denies=r"NO|\bdesconhecido\b",
    ),
    "nl": Refusing(
        doc=r"\b(?:tekst(?:en)?|document(?:en)?|passages?|context|bron(?:nen)?|fragment(?:en)?|artikel(?:en|s)?(?! \d)"
        r"|alinea's|(?:gegeven|verstrekte|beschikbare) (?:informatie|gegevens))\b(?! (?:van)\b)",
        no=r"\b(?:niet|niets|geen|nergens|noch|onduidelijk|onmogelijk)\b",
        tell=r"\b(?:vermeld(?:t|en)?|noem(?:t|en)|zeg(?:t|gen)|staat|staan|geeft|geven|bevat(?:ten)?|meld(?:t|en)"
        r"|beschrijf?(?:t|ven)|beantwoord(?:t|en)?|laat|laten|informatie|biedt|bieden|genoemd)\b",
        in_doc=r"\b(?:in|uit|door|volgens|op basis van)\b.*DOC",
        known=r"\b(?:vermeld|genoemd|gezegd|aangegeven|gegeven|vinden|gevonden|bepalen|bepaald|beantwoord\w*|opmaken"
        r"|duidelijk|bekend|afleiden|blijk(?:t|en)|voor(?=$|,| in))\b",
        phrase=r"^(?:helaas,? |sorry,? |het spijt me,? |maar )*(?:(?:dat )?weet ik (?:het )?niet|ik weet (?:het|dat"
        r"|niet)(?: antwoord)?(?: niet)?\b(?<=niet|niet )|(?:ik )?(?:kan|kon)(?: ik)? .*(?:niet|geen"
        r"|niets).*(?:beantwoorden|vinden|zeggen|bepalen)|ik (?:heb|vind|vond) (?:hierover "
        r"|daarover )?geen (?:informatie|gegevens|antwoord)|(?:heb|vind) ik geen (?:informatie|antwoord))"
        r"|^(?:helaas )?(?:er )?is (?:er )?geen informatie\b|^(?:het jaar|de datum|de naam|de plaats|het|dit"
        r"|dat) (?:is|wordt) niet (?:vermeld|genoemd|gegeven|aangegeven|gezegd)$|^(?:onbekend|niet vermeld)$",
        beside=r"(?:helaas|sorry|het spijt me)$",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:maar|hoewel|echter)\b)|, (?=en (?:hij|zij|het|de)\b)",
        denies=r"NO|\bonbekend\b",
    ),
    "ru": Refusing(
        doc=r"\b(?:текст\w{0,3}|документ\w{0,3}|отрыв(?:ок|к\w{1,3})|контекст\w{0,3}|источник\w{0,3}|стать[еия]\w{0,2}"
        r"|фрагмент\w{0,3}|предоставленн\w+ (?:информаци\w+|данн\w+|материал\w*))\b",
        no=r"\b(?:не|нет|ни|ничего|нигде|невозможно|нельзя|неизвестно|отсутству\w+)\b",
        tell=r"\b(?:упомина\w+|упомянут\w*|говорит\w*|говорят|указан\w*|указыва\w+|сообща\w+|содерж\w+|информаци\w+"
        r"|сведени\w+|сказано|назван\w*|ответа?|дан\w{0,2}|описан\w*|уточня\w+|позволя\w+)\b",
        in_doc=r"\b(?:в|во|из|на основе|по|согласно)\b.*DOC",
        known=r"\b(?:определить|найти|найден\w*|наш(?:[её]л|ла)|ответить|установить|узнать|ясно|известно|неизвестно|понять)\b",
        phrase=r"^(?:к сожалению,? |извините,? |простите,? |но )*(?:я не (?:знаю|могу (?:ответить|сказать|найти"
        r"|определить)|наш(?:[её]л|ла) |нахожу |располагаю)|у меня нет (?:\w+ )?(?:информации|данных|сведений|ответа)"
        r"|мне (?:не известно|неизвестно))"
        r"|^(?:к сожалению,? )?(?:нет|недостаточно) (?:информации|данных|сведений)\b|^(?:это|год|дата|имя"
        r"|место) не (?:указан|упомянут|назван)[оа]?$|^не (?:указано|упоминается|известно)$",
        beside=r"(?:к сожалению|извините|простите)$|пожалуйста\b",
        cut=r"[;:.!?](?:\s|$)|,? (?=(?:но|однако|хотя)\b)|, (?=а )",
        denies=r"NO|\bнедостаточно\b",
    ),
    "zh": Refusing(
        doc=r"(?:文中|本文|原文|文本|文档|文件|文章|上下文|段落|资料|材料|来源|(?:提供|给出|现有)的(?:信息|内容))",
        no=r"(?:没有|未|不|无|沒有|無)",
        tell=r"(?:提到|提及|说明|说|指出|给出|提供|包含|信息|记载|回答|涉及|描述|说到|介绍)",
        in_doc=r"(?:从|在|根据|中).*DOC|DOC(?:中|里|内)|根据DOC",
        known=r"(?:确定|得知|找到|知道|回答|判断|得出|看出|看不出|看不到|找不到)",
        phrase=r"^(?:抱歉|对不起|很遗憾|很抱歉|，|但)*(?:我(?:不知道|无法(?:回答|确定|找到|提供)|没有(?:找到|足够的?信息|相关信息)|不清楚|找不到)|没有(?:相关|足够的?)信息"
        r"|无法(?:回答|确定)(?:这个|该|此)?问题)|^(?:未知|未提及|不详)$",
        beside=r"(?:抱歉|对不起|很遗憾|很抱歉)$|请",
        cut=r"[；;。！？!?]|，(?=但|不过|然而|虽然)|(?<=抱歉|对不起|很遗憾)，",
    ),
    "ja": Refusing(
        doc=r"(?:本文|文中|文書|文章|テキスト|文脈|資料|記事|段落|コンテキスト|ソース|提供された(?:情報|内容))",
        no=r"(?:ません|ない|なかった|ず|なく)",
        tell=r"(?:記載|書かれて|言及|述べ|触れ|示され|情報|含まれ|説明|記述)",
        in_doc=r"DOC(?:から|に|で|には|では|だけ)",
        known=r"(?:わかり|分かり|判断|特定|答え|見つか|読み取|出てき|登場)",
        phrase=r"^(?:申し訳ありませんが|すみませんが|残念ながら|、|しかし)*(?:(?:私には|それは|その答えは)?(?:わかりません|分かりません)|(?:その|この)?(?:質問|問い)には(?:お答え"
        r"|答えられ|回答)(?:でき|られ)?ません|(?:.*(?:に関する|についての)|関連する|十分な)?(?:情報|記載|記述)(?:は|が)(?:ありません|見つかりません)(?:でした)?)$|^(?:不明|不明です)$",
        beside=r"(?:申し訳ありません|すみません|残念ながら)$",
        cut=r"[；;。！？!?]|(?<=ません)が、|(?<=です|ます|ました|でした)が、",
        denies=r"NO|不明",
    ),
    "ar": Refusing(
        doc=r"(?:النص|النصوص|الوثيقة|الوثائق|المستند|المستندات|السياق|المقال|المصادر|المصدر|الفقرة|المقطع|(?:المعلومات"
        r"|البيانات) (?:المقدمة|المتوفرة|المتاحة))",
        no=r"(?:^| )(?:و)?(?:لا|لم|لن|ليس|ليست|غير|أي)(?= )",
        tell=r"(?:يذكر|تذكر|ذكر|يقول|تقول|يحدد|تحدد|يشير|تشير|يحتوي|تحتوي|يوضح|توضح|معلومات|يتضمن|تتضمن|يتطرق|إشارة)",
        in_doc=r"(?:في|من|من خلال|بناء على|وفق) .*DOC",
        known=r"(?:تحديد|معرفة|العثور|الإجابة|مذكور|مذكورة|محدد|واضح|أجد)",
        phrase=r"^(?:عذرا،? |عذرًا،? |آسف،? |للأسف،? |لكن )*(?:(?:أنا )?لا أعرف|لا أعلم|لا أستطيع (?:الإجابة|تحديد"
        r"|العثور)|لا يمكنني (?:الإجابة|تحديد|العثور)|لم أجد|ليس لدي|لا تتوفر لدي|لا أملك) ?"
        r"|^(?:للأسف،? )?لا توجد (?:أي )?معلومات|^غير (?:مذكور|محدد|معروف)$",
        beside=r"(?:للأسف|عذرا|عذرًا|آسف)$|يرجى",
        cut=r"[;؛.!?؟](?:\s|$)|،? (?=(?:لكن|ولكن|إلا أن|رغم)(?: |ه))",
    ),
}
