"""Words that say nothing about a topic, for the languages that a corpus is found to be in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_LISTS = {
    "en": """a about above after again against ago all almost along already also although always am
        among an and another any anyone anything are aren't around as at away back be
        became because been before being below between both but by came can can't
        cannot come could couldn't d did didn't do does doesn't doing don't done down
        during each either else enough etc even ever every everything few first for
        from further get gets getting give go goes going gone got had hadn't has
        hasn't have haven't having he he's her here hers herself him himself his how
        however i i'd i'll i'm i've if in instead into is isn't it it's its itself
        just keep know last least less let let's like ll look lot lots made make makes
        many may maybe me might mine more most much must my myself near need never no
        nor not nothing now of off often ok okay on once one ones only onto or other
        others our ours out over own per perhaps please put quite rather re really
        right s said same say says see seem seems seen shall she she's should
        shouldn't since so some someone something soon still such sure t take taken
        takes tell than that that's the their theirs them themselves then there
        there's these they they're they've thing things think this those though
        through till to together too took toward two under until up upon us use used
        using ve very want wants was wasn't way we we'd we'll we're we've well went
        were weren't what what's when where whether which while who whole whom whose
        why will with within without won't would wouldn't yes yet you you'd you'll
        you're you've your yours yourself im ive dont didnt doesnt cant wont isnt
        wasnt thats whats n't nt m'm gonna wanna two three four five six seven eight
        nine ten second third half hi hello hey thanks thank anybody everyone day days
        time times today year years""",
    "de": """aber alle allem allen aller alles als also am an ander andere anderen auch auf aus bei
        beim bin bis bist da damit dann das dass dazu dein deine dem den denn der des
        dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein
        eine einem einen einer eines er es etwas euch euer für gegen gewesen gibt ganz
        habe haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem
        ihren ihrer im immer in ins ist ja jede jedem jeden jeder jetzt kann kein
        keine keinen können könnte machen man mehr mein meine meinem meinen meiner
        mich mir mit muss nach nicht nichts noch nun nur ob oder ohne schon sehr sein
        seine seinem seinen seiner seit sich sie sind so sondern sonst über um und uns
        unser unsere unter viel vom von vor war waren warum was weil welche wenn wer
        werde werden wie wieder will wir wird wo wurde wurden zu zum zur zwar zwischen
        bitte""",
    "fr": """à ai aie alors après au aucun aussi autre aux avait avant avec avez avoir ayant bien c
        ça car ce cela ces cet cette ceux chaque chez ci comme comment d dans de
        depuis des deux dois donc dont du elle elles en encore entre es est et étaient
        était été être eu eux fait faire faut grand ici il ils j je jusqu l la le les
        leur leurs lors lui m ma mais me même mes moi mon n ne ni nos notre nous on
        ont ou où par parce pas peu peut peux plus pour pourquoi puis qu quand que
        quel quelle quelles quels qui quoi s sa sans se sera ses si son sont sous suis
        sur t ta tes toi ton tous tout toute toutes très trop tu un une vers veux voir
        vos votre vous y""",
    "es": """a al algo algún alguna ante antes aquí así aún aunque bien cada como cómo con cual
        cuál cuando cuándo de del desde después donde dónde dos e el él ella ellas
        ellos en entre era eran eres es esa esas ese eso esos está están estar estas
        este esto estos estoy fue fueron ha hace hacer han hasta hay he la las le les
        lo los más me mi mis mismo mucho muy nada ni no nos nosotros nuestra nuestro o
        otra otro para pero poco por porque puede puedo que qué quien quién quiero se
        sea según ser si sí sido sin sobre solo sólo son soy su sus también tan tanto
        te tengo tiene tienen toda todas todo todos tu tus un una uno unos usted ya yo""",
    "it": """a abbiamo ad ai al alla alle allo anche ancora avere aveva c'è che chi ci come con
        cosa così cui da dal dalla dalle dei del della delle dello di dopo dove due e
        è ed era essere fa fare gli ha hai hanno ho i il in io l la le lei li lo loro
        lui ma mi mia mio molto ne nei nel nella no noi non nostro o ogni per perché
        però più poi può qual quale quando quanto quella quelle quello questa queste
        questo qui se sei senza si sia solo sono sta su sua sul sulla suo te ti tra tu
        tutti tutto un una uno vi voi""",
    "pt": """a à ao aos as às até com como da das de dela dele depois do dos e é ela elas ele eles
        em entre era essa esse esta está estão estou eu foi foram há isso isto já lhe
        mais mas me mesmo meu meus minha muito na não nas nem no nos nós nossa nosso
        num numa o os ou para pela pelo pode por porque posso qual quando que quem se
        sem ser seu seus só sua suas também tem tenho ter um uma você vocês""",
    "nl": """aan al alle alles als altijd andere ben bij daar dan dat de der deze die dit doch doen
        door dus een eens en er ge geen geweest haar had heb hebben heeft hem het hier
        hij hoe hun ik in is ja je kan kon kunnen maar me meer men met mij mijn moet
        na naar niet niets nog nu of om omdat ons ook op over reeds te tegen toch toen
        tot u uit uw van veel voor want waren was wat we werd wie wij wil worden wordt
        zal ze zei zelf zich zij zijn zo zonder zou""",
    "pl": """a aby ale am bez być był była było były bym ci co czy dla do gdy gdzie go i ich im ja
        jak jako je jego jej jest jestem jeszcze już każdy kiedy kto która które który
        lub ma mam mi mnie mój może można na nad nam nas nie nic niż o od on ona one
        oni oraz po pod przed przez przy są się sobie ta tak także tam te tego tej ten
        to tu ty tych tylko tym u w we wszystko z za ze że""",
    "ru": """а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да
        даже для до его ее её если есть еще ещё же за здесь и из или им их к как ко
        когда кто ли либо мне может мой мы на над надо наш не него нее нет ни них но
        ну о об однако он она они оно от очень по под при с со так также такой там те
        тем то того тоже той только том ты у уже хотя чего чей чем что чтобы это этого
        этой этот эту я""",
    "sv": """alla att av bara blev bli blir de dem den denna deras dess det detta dig din dina där
        då efter ej eller en er ett från för ha hade han hans har hon hur här i icke
        in inte ja jag jag kan kunde man med men mig min mina mot mycket ni nu när
        något och om oss på sedan sig sin sitta ska skulle som så till upp ut utan var
        vara vi vid vill åt än är över""",
}
_WORDS = {language: frozenset(words.split()) for language, words in _LISTS.items()}

_SHARE = 0.08
"""Share of words that are stop words of a language from which a corpus counts as being in it; it is
a quarter to a half in its own language, and some percent in a neighbouring one."""


def stop_words(words: Iterable[str]) -> frozenset[str]:
    """The stop words of every language that a good share of the words belongs to.

    Args:
        words: Words of the corpus or a sample, case folded.

    Returns:
        English where no language is found, since English words turn up everywhere.
    """
    counts = Counter(words)
    total = sum(counts.values())
    # "is" and "of" are Dutch as well: what English has tells nothing about other languages.
    found = [
        listed
        for listed in _WORDS.values()
        if sum(counts[word] for word in listed - _WORDS["en"]) >= _SHARE * max(total, 1)
    ]
    return frozenset().union(_WORDS["en"], *found)
