"""Sentences that refuse, and sentences that claim something, as people and models write them."""

REFUSALS = """
en The text does not mention when the bridge was built.
en I could not find any information about the architect in the provided documents.
en There is no information about the cost of the bridge.
en It is not stated who wrote the letter.
en The year is not specified in the provided context.
en Unfortunately, I don't have enough information to answer this question.
en None of the passages says who designed the tower.
en The year is not given.
en I don't know.
en I'm sorry, but the provided context does not contain information about this.
en Based on the given documents, it is not possible to determine the population of the city.
en The documents do not say.
en The answer cannot be found in the text.
en Neither document mentions the name of the captain.
en Nothing in the passage indicates why the treaty failed.
en This information is not available in the provided sources.
en The passage doesn't specify which of the brothers died first.
en There is no mention of the population in the text.
en It does not say when.
en The context provides no details on his early life.
en I cannot answer this question based on the information provided.
en While the passage discusses the canal, it does not mention its cost.
en The article is silent on the matter.
en Sorry, I can't tell from these documents.
en Unknown.
en Not mentioned in the text.
en The given sources do not provide an answer, so I cannot say who won.
en The documents only describe the locks; they do not say who paid for them.
en The text doesn't say when the Eiffel Tower was built; please provide more context.
en However, the search results do not explicitly state his date of birth.
de Der Text erwähnt das Baujahr nicht.
de In den Dokumenten steht nicht, wer die Brücke gebaut hat.
de Das weiß ich leider nicht.
de Dazu liegen mir keine Informationen vor.
fr Le texte ne mentionne pas la date de construction.
fr Je ne sais pas.
fr Cette information n'est pas indiquée dans les documents.
fr Aucun des passages ne précise qui a conçu la tour.
es El texto no menciona cuándo se construyó el puente.
es No lo sé.
es Lo siento, pero no hay información sobre eso en los documentos.
es No se indica el año.
it Il testo non menziona l'anno di costruzione.
it Non lo so.
it Nei documenti non è indicato chi ha progettato la torre.
it Purtroppo non ho informazioni sufficienti per rispondere.
pt O texto não menciona quando a ponte foi construída.
pt Não sei.
pt Infelizmente, não há informações sobre isso nos documentos.
pt Não é possível determinar o ano com base no contexto.
nl De tekst vermeldt niet wanneer de brug is gebouwd.
nl Ik weet het niet.
nl In de documenten staat niet wie de toren heeft ontworpen.
nl Helaas heb ik geen informatie hierover.
ru В тексте не указано, когда был построен мост.
ru Я не знаю.
ru К сожалению, в документах нет информации об этом.
ru Из текста невозможно определить год постройки.
zh 文中没有提到这座桥是什么时候建成的。
zh 我不知道。
zh 根据提供的信息，无法确定答案。
zh 抱歉，文档中未说明作者是谁。
ja 本文には橋がいつ建てられたかは記載されていません。
ja わかりません。
ja 申し訳ありませんが、提供された情報からは判断できません。
ja 文書の中で著者については言及されていません。
ar لا يذكر النص متى بُني الجسر.
ar لا أعرف.
ar للأسف، لا توجد معلومات عن ذلك في الوثائق.
ar لم يتم تحديد السنة في النص.
"""

CLAIMS = """
en The treaty does not mention slavery.
en No one knows where he was buried.
en He did not say a word.
en The bridge is not open.
en It does not say when, but the tower was built in 1889.
en The source of the river is not known.
en The text says that the tower was built in 1889.
en Although the text does not say who built it, the tower was opened in 1889.
en The letter did not mention his brother.
en The author does not know the answer to this question.
en There is no evidence of life on Mars.
en The exact number of victims is unknown.
en The documents were never found.
en His name was not included in the list of survivors.
en The constitution does not give the president that power.
en There was no information about the enemy's position.
en The cause of the fire could not be determined.
en She said that she did not know where the money was.
en Article 5 does not mention the right to vote.
en I could not find my way home in the dark.
en There is no mention of slavery in the treaty.
en The passage was not wide enough for two ships.
en The company did not disclose the price of the deal.
en The name of the king does not appear on the coin.
en He could not tell the difference between the two.
en The prize is not given posthumously.
en Nothing is known about her childhood.
en The text of the treaty does not mention slavery.
en The museum provides no information in English.
en The passage does not mention the year, which was 1889.
de Der Vertrag erwähnt die Sklaverei nicht.
de Niemand weiß, wo er begraben wurde.
de Der Text sagt nicht wann, aber der Turm wurde 1889 gebaut.
de Die Brücke ist nicht geöffnet.
fr Le traité ne mentionne pas l'esclavage.
fr Personne ne sait où il est enterré.
fr Le texte ne dit pas quand, mais la tour a été construite en 1889.
fr Le pont n'est pas ouvert.
es El tratado no menciona la esclavitud.
es Nadie sabe dónde está enterrado.
es El texto no dice cuándo, pero la torre se construyó en 1889.
es El puente no está abierto.
it Il trattato non menziona la schiavitù.
it Nessuno sa dove sia sepolto.
it Il testo non dice quando, ma la torre fu costruita nel 1889.
it Il ponte non è aperto.
pt O tratado não menciona a escravidão.
pt Ninguém sabe onde ele está enterrado.
pt O texto não diz quando, mas a torre foi construída em 1889.
pt A ponte não está aberta.
nl Het verdrag noemt de slavernij niet.
nl Niemand weet waar hij begraven is.
nl De tekst zegt niet wanneer, maar de toren is in 1889 gebouwd.
nl De brug is niet open.
ru В договоре не упоминается рабство.
ru Никто не знает, где он похоронен.
ru В тексте не сказано когда, но башня была построена в 1889 году.
ru Мост не открыт.
zh 条约没有提到奴隶制。
zh 没有人知道他葬在哪里。
zh 文中没有说明时间，但这座塔建于1889年。
zh 这座桥没有开放。
ja 条約は奴隷制に言及していません。
ja 彼がどこに埋葬されたかは誰も知りません。
ja 本文には時期が書かれていませんが、塔は1889年に建てられました。
ja 橋は開通していません。
ar لا تذكر المعاهدة العبودية.
ar لا أحد يعرف أين دُفن.
ar لا يذكر النص متى، لكن البرج بُني عام 1889.
ar الجسر ليس مفتوحا.
"""
