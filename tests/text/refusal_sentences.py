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
en I'm sorry, but the passages you shared do not contain the name of the architect.
en Based on the provided context, I cannot determine when the factory opened.
en There is no information in the text about how many people lived on the island.
en Unfortunately, I wasn't able to find the date of the wedding in these documents.
en The provided excerpts do not go into the reasons for the strike.
en I looked through the sources, but the name of the pilot is not given anywhere.
en From the information given, it is unclear which of the two sisters inherited the farm.
en The documents you provided talk about the museum's collection, but they don't say who founded it.
en I don't see the captain's birthplace mentioned anywhere in the text.
en Your documents make no mention of a second expedition.
en The text leaves open who ordered the retreat.
en As far as I can tell, none of the articles gives the depth of the lake.
en That detail is not included in the material provided.
en The passage alone does not allow a conclusion about the cause of the fire.
en Thank you for your question, but the sources don't cover the price of admission.
en I'm unable to say who painted the portrait, as the documents do not tell.
en The number of survivors is not reported in any of the passages.
en The question of who paid for the bridge is left unanswered in the text.
en Nowhere do the sources name the inventor of the device.
en If you can share more documents, I'd be happy to help, but the ones here don't mention the treaty's date.
en There's nothing in the documents that tells which team won the final.
en I was not able to locate the population of the village in the given text.
en It isn't possible to tell from the passage whether she ever returned.
en The supplied documents lack any information on the composer's teachers.
en No details on the ship's cargo are provided in the sources.
en The text only says where the battle took place, not who won it.
en I have no information on when the theatre was torn down.
en Who directed the second film isn't something the documents reveal.
en What the locals ate cannot be learned from the excerpts.
en The name of the horse remains unmentioned in the article.
de In den vorliegenden Texten findet sich kein Hinweis auf den Architekten.
de Wer die Oper komponiert hat, geht aus den Dokumenten nicht hervor.
de Leider konnte ich im Text keine Angabe zur Höhe des Turms finden.
fr Les documents ne permettent pas de savoir qui a peint le tableau.
fr Je n'ai trouvé aucune information sur la date du mariage dans le texte.
fr Le nom du capitaine n'apparaît pas dans les passages fournis.
es Los documentos no permiten saber quién pintó el cuadro.
es No encuentro en el texto la fecha de la boda.
es El nombre del capitán no aparece en los pasajes.
it I documenti non permettono di stabilire chi abbia dipinto il quadro.
it Non ho trovato nel testo la data del matrimonio.
it Il nome del capitano non compare nei passaggi forniti.
pt Os documentos não permitem saber quem pintou o quadro.
pt Não encontrei no texto a data do casamento.
pt O nome do capitão não aparece nos trechos.
nl Uit de teksten blijkt niet wie het schilderij heeft gemaakt.
nl Ik kan in de documenten niets vinden over de hoogte van de toren.
nl De naam van de kapitein komt niet voor in de passages.
ru Имя капитана в тексте не упоминается.
ru Я не нашёл в документах даты свадьбы.
ru Документы не позволяют установить, кто написал картину.
zh 文中并未提及船长的姓名。
zh 从这些文档中看不出是谁画了这幅画。
zh 我在资料里没有找到婚礼的日期。
ja 文書からは誰がその絵を描いたのか分かりません。
ja 船長の名前は本文に出てきません。
ja 結婚式の日付についての情報は見つかりませんでした。
ar لم أجد في النص تاريخ الزفاف.
ar لا تذكر الوثائق من رسم اللوحة.
en I could not find the season in which the rule came in.
en The sources mention printing, but neither its inventor nor the year of the invention.
en The length of the bridge does not appear in the document.
en The documents do not classify Jeeps as any type of car.
en I cannot answer that: the sources do not call anyone the greatest pool player.
en I have found nothing about the roofs.
en The documents trace the legend behind Hamlet, but not for whom the play was written.
en The text tells of tobacco, but I can't find who founded the colony.
en The summary does not mention which character was killed.
en The singer of the song goes unnamed in the documents.
en Unfortunately, where the papillary layer is found isn't mentioned.
en The height of Hagrid's actor is nowhere in these passages.
en When the building went up is not recorded in the passages.
en The role of the inspectorate cannot be worked out from this text.
en The passages mention several channels of that name, but no American series that one of them showed.
en Neither musician's link is stated in the documents.
en The articles list seasons and players, but Lewis's position is not among the facts.
en The texts do not let me count the companies.
en I could find no river from which they set out.
en The founder's school is left out of the documents.
en What came of the trial, the passages don't say.
en The texts are silent about the third season's cast.
en No passage says in which year the stadium burned.
en The film's budget is not something these pages tell us.
en The documents stop short of naming the killer.
en I was given nothing that says who sang the song.
en These pages do not let us tell the two brothers apart by age.
en The place where the general died is missing from the excerpts.
en For the director's birthday the texts give no date.
en The passage does not help with the question of who won.
en Nothing here tells me which of them is older.
en None of this tells us when she married.
en The text speaks of the castle but never of its owner.
en The price of the car isn't to be found in the sources.
en The passages do not give both birth dates, so the two cannot be compared.
en I don't find the writer's nationality in the documents.
en The sources give the year of the battle but not its place.
en How many legs the animal has is not in the text.
en Regrettably, the documents contain no answer to this.
en The context is too short to say where he was born.
en The documents offer no clue to the singer's real name.
en I am not told which league he played in.
en The document never mentions the band's drummer.
en It is not possible to say from these texts who founded the label.
en From these pages I cannot make out who the actor was.
en That the documents do not tell.
en The documents do not say who directed the film.
en Nothing in these pages tells when the bridge was finished.
en I could not find the name of the architect in the text.
en The passages give no date for the founding of the company.
en Where she was born is not stated in any of the documents.
en The sources don't reveal how many people live there.
en There is no mention of his salary in the articles.
en None of the given documents names the river.
en The text leaves open which of the two was older.
en From these documents it cannot be said which team won.
en The provided context does not contain enough information to answer that.
en Which country he came from is left unsaid.
en The year of its opening does not appear in the passages.
en The answer is not in the text.
en It isn't clear from the documents who wrote the song.
en We are not told how long the war lasted.
en The length of the river is not among the facts given.
en Neither article mentions the birthplace of the singer.
en The documents are silent about the cost of the building.
en I have no information about the author's second novel.
en The page says nothing of the year in which the school closed.
en Based on the given documents, the director's nationality is unknown.
en No source gives the name of the second actor.
en The documents do not go into when the album was released.
en That cannot be answered with the documents at hand.
en The excerpt stops short of naming the winner.
en There is nothing here on who owned the mill.
en The population of the town is not reported.
en The text never says what the company makes.
en I'm unable to tell from the passages which station he worked for.
en The identity of the buyer isn't disclosed in these documents.
en How tall the tower is cannot be learned from this text.
en The documents make no statement about the age of the king.
en It is not said who succeeded him.
en The date of the treaty is not to be found in the documents.
en The documents speak of the battle but not of who commanded.
en The texts at hand do not answer this question.
en The information needed to answer is missing from the documents.
en These documents do not allow me to say which film came first.
en His mother's name is not part of the documents.
en The nationality of the composer is not mentioned anywhere.
en What the medal was for remains unclear in the text.
en The passage does not give the county in which the village lies.
en Sorry, but the passages don't include the name of the ship.
en I can't tell which of the two magazines was founded first from what is here.
en The documents omit the name of the publisher.
en No date of birth is given for the second director.
en The text contains no details on the population of the island.
en The record label is not identified in the provided documents.
en The documents lack any reference to the awards she won.
en There's no way to tell from the documents when the treaty ended.
en The context provides no answer to who played the doctor.
en Nowhere do the documents say which university he attended.
en The sources do not specify the capacity of the stadium.
en I don't see the birthplace of the second man in the passages.
en The documents do not let one work out which of the films is older.
en The question of who founded the club is not addressed.
en It cannot be determined from the documents whether they met.
en The names of the other actors are not listed.
en The articles give the title but not the year.
en The passages say where he lived, not where he was born.
en The documents tell us about the band, but who plays the drums is not among it.
en Her second husband is not named there.
en No document mentions what the station's first broadcast was.
en The documents do not state it.
en On the matter of the founding date the documents are silent.
en The paragraph on the town leaves out the number of inhabitants.
en The text does not tell us the other names of the group.
en The remaining members are not given.
en The exact height goes unmentioned.
en The documents provide no basis for saying who was first.
en The given texts make no mention of a second film.
en I looked through the documents and found no mention of a sequel.
en I find no statement on the matter in the documents.
en There is not enough in these pages to say which one is larger.
en The documents say who wrote it but not when.
en The actor's further roles are not given.
en The location of the headquarters is not provided in the passages.
en This is not something the documents tell.
en Who taught him is something the passages leave out.
en I am afraid this is not covered by the documents.
en It is not possible to say from the text who won the match.
en The documents do not let me compare the two dates.
en One cannot tell from these passages which of the two cities is larger.
en The reason for the closure is not explained in the text.
en No passage tells us the name of the horse.
en Whether the two were related is not discussed.
en I cannot answer this from the documents I was given.
en The birthplace of the mother of the king is absent from the text.
en The documents don't provide that information.
en There is no answer to this in the documents.
en That detail is not in the passages.
en The passages don't disclose the river's length.
en None of the pages has the answer.
en The text fails to mention the founder.
en Unfortunately, I do not have enough information to answer.
en The passage does not specify it.
en It is unclear from the documents.
en The documents do not tell in which country the lake lies.
en How many albums he made cannot be found in these articles.
en The information about the coach's successor is not available in the text.
en The search results do not mention the price.
en The name of the second wife remains unknown in the documents.
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
en The report does not blame the pilot.
en Nobody knows who wrote it.
en The text was not written by Shakespeare.
en The documents were not signed until 1889.
en The contract does not allow subletting.
en The study found no link between A and B.
en The court could not determine who had started the fire.
en The inscription does not name the king who built the temple.
en I could find no work in the city, the poet wrote to his sister.
en The river appears nowhere on maps of the period.
en The source of the Nile was not discovered until 1858.
en The diary does not reveal where the gold was buried.
en None of the witnesses could identify the man.
en The article was never published.
en The passage does not lead to the crypt.
en His second wife goes unnamed in the Bible.
en The documents name the architect as Robert Grey.
en The sources mention two bridges, but neither was built of stone.
en The law does not say how the tax is to be collected.
en There is no cure for the disease.
en It is not known when the city was founded.
en The documents prove that he did not sign the treaty.
en The text says that he was not born in Rome.
en The article explains why the bridge was not rebuilt.
en The passages describe the canal, but no ship used it before the war.
en The document does not apply to minors.
en The text was unknown until a monk found it in a library.
en According to the document, no one was hurt in the accident.
en The source does not emit light of its own.
en She could not answer the question about her father.
en In the text, the hero does not know his mother.
en The documents could not be saved from the fire.
de Der Bericht gibt dem Piloten keine Schuld.
de Der Text wurde nicht von Goethe geschrieben.
de Laut dem Dokument wurde niemand verletzt.
fr Le contrat ne permet pas la sous-location.
fr Le texte n'a pas été écrit par Molière.
fr Les documents n'ont été signés qu'en 1889.
es El contrato no permite el subarriendo.
es El texto no fue escrito por Cervantes.
es Los documentos no se firmaron hasta 1889.
it Il contratto non permette il subaffitto.
it Il testo non fu scritto da Dante.
it I documenti non furono firmati fino al 1889.
pt O contrato não permite a sublocação.
pt O texto não foi escrito por Camões.
pt Os documentos não foram assinados até 1889.
nl Het contract staat onderhuur niet toe.
nl De tekst is niet door Vondel geschreven.
nl Volgens het document raakte niemand gewond.
ru Договор не допускает субаренду.
ru Текст написан не Пушкиным.
ru Документы не были подписаны до 1889 года.
zh 合同不允许转租。
zh 这篇文章不是鲁迅写的。
zh 文件直到1889年才签署，没有人反对。
ja 契約は転貸を認めていません。
ja この文章は漱石が書いたものではありません。
ja 文書は1889年まで署名されませんでした。
ar العقد لا يسمح بالتأجير من الباطن.
ar لم يكتب شكسبير النص.
ar لم توقع الوثائق حتى عام 1889.
en The king was not told of the plot in the letter.
en The Bible does not mention cats.
en The page was torn out of the book and never found.
en The summary judgment was not given in his favour.
en He never mentioned the war in his letters.
en The film does not show who fired the shot.
en The sources of the river are not shown on the map.
en She was left out of the team.
en The museum does not list its donors.
en Neither of them was present at the battle.
en The census gives no number for the city.
en I know that the tower was built in 1889.
en Nothing remains of the first church.
en The document establishes that no crime was committed.
en The pages were not numbered.
en The text is not divided into chapters.
en The documents show no sign of forgery.
en The article was about the king, but not everyone liked it.
en Who built the pyramid is not known to historians.
en The text covers the war but not one battle was won.
en I was able to find the date of the wedding in the documents.
en I can tell who won: the text names Gates.
en The treaty does not say who owns the island.
en No bridge crosses the river there.
en The law does not mention women.
en He did not name a successor.
en The king was never found.
en Nobody knows who built the temple.
en The author is unknown.
en The painting is not signed.
en The company does not disclose its profits.
en The book does not have an index.
en She never told anyone where she was born.
en The cause of the fire was never determined.
en The exact date of his birth is unknown.
en The film was not released in Japan.
en The song does not appear on the album.
en The actor is not named in the credits.
en The ship was never found.
en There is no evidence that he visited Rome.
en The two brothers were not mentioned in the will.
en The winner was not announced until May.
en The contract gives no date for delivery.
en The Bible does not mention the name of Noah's wife.
en It cannot be seen from the ground.
en He could not find the source of the Nile.
en The report was not published.
en The club has no stadium of its own.
en The plaque gives only the year.
en No one was named king.
en The text was lost in 1602.
en The document was signed in Paris.
en The first edition did not include the map.
en The museum does not list its owners.
en The location of the tomb is not known.
en The magazine said nothing about the affair.
en Neither of the two films was directed by him.
en The island is not part of the kingdom.
en The source of the river is a lake.
en The documents were found in a cave.
en The article was written by Smith, not Jones.
en The page was torn out in 1940.
en The city has no university.
en The novel leaves open whether he dies.
en He left out the second verse.
en The constitution does not mention political parties.
en Its name is not given on the map.
en The victims were not identified.
en The album is not available on vinyl.
en Nothing is left of the castle.
en The manuscript is missing its first page.
en The law is silent on the matter.
en The letter does not say where he was.
en The will names no heir.
en The village is not part of the district.
en He is not listed among the founders.
en Not all of the text was published.
en No film by him was shown there.
en The name of the street is not official.
en The sources of the lake are not in Sweden.
en The cause is not understood.
en The author of the page is Jane Okoro.
"""
