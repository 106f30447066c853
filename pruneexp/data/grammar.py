"""An embedded language: English-like sentences from a grammar that knows its own exact entropy.

A sentence is first drawn as a record (`Clause`), then put into words by `source`:

    <clause>   = <phrase> verb <phrase> <eos>
    <phrase>   = determiner [adjective] noun [<modifier>]
    <modifier> = preposition <phrase> | "that" verb <phrase> | "that" <phrase> verb

Nouns come in classes, and everything chooses by class: a noun its adjectives and prepositions, a
preposition its noun, a verb its subject and its object. Verbs agree in number with their subject,
however long its modifier. What goes with what is drawn once from `LANGUAGE` and has nothing to do
with meaning; the `seed` of a text says which sentences are drawn.

Each word belongs to one category, a noun has at most one modifier, and behind a whole phrase stands
a verb or <eos>, never a preposition or "that". So the next word always tells which rule applies
(the grammar is LL(1)), a text has one derivation, and its probability is that of the draws made.

    python -c "from pruneexp.data import grammar as g; print(g.words(g.draw(0, 'train', 9).tokens))"
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pruneexp import seeds

LANGUAGE = 0  # what goes with what; another value is another language

EOS = "<eos>"
THAT = "that"
DETERMINERS = ("the", "this", "one", "every"), ("the", "these", "some", "many")  # by number
PREPOSITIONS = ("near", "behind", "beside", "above", "below", "with", "beyond")
ADJECTIVES = tuple(
    word
    for line in (
        "old small red quiet bright round tall green heavy golden gentle brave warm blue curious",
        "wooden shy proud yellow sleepy cheerful ancient hollow tiny lazy silver soft cold clever",
        "white famous grey",
    )
    for word in line.split()
)
NOUN_CLASSES = (  # a line each, the most frequent noun first; the plural adds an s
    "baker farmer teacher doctor singer sailor painter tailor gardener weaver miller potter",
    "dog cat horse cow goat rabbit bear badger otter camel donkey lion",
    "house barn tower castle cottage temple cabin palace windmill lighthouse tavern stable",
    "apple pear plum melon lemon orange grape fig apricot olive banana lime",
    "uncle cousin brother sister mother father aunt daughter son nephew niece grandmother",
    "boat cart train wagon ship carriage sledge tractor canoe barge raft bicycle",
    "river hill lake forest valley meadow mountain island desert cave cliff pond",
    "sparrow owl crow duck swan robin heron eagle raven pigeon parrot wren",
    "table chair lamp stool mirror cupboard drawer desk cradle carpet curtain cushion",
    "coat hat shirt boot glove sock skirt jacket apron bonnet mitten slipper",
    "kettle spoon plate bowl cup jug pan teapot ladle jar tray saucer",
    "oak elm pine maple willow cedar poplar alder hazel aspen walnut sycamore",
    "soup cake pie stew salad pudding pancake dumpling waffle biscuit omelette muffin",
    "hammer spade ladder needle chisel shovel anvil trowel sickle lever pulley crowbar",
    "drum flute violin harp trumpet guitar piano bell fiddle clarinet organ lute",
    "bee ant beetle spider moth cricket snail worm wasp gnat ladybird earwig",
)
VERB_CLASSES = (  # a line each: these choose their objects alike; the singular adds an s
    "see hear notice observe remember",
    "help thank greet comfort trust",
    "lift turn pull bring join",
    "paint draw describe admire imitate",
    "clean mend repair adorn restore",
    "choose collect count keep weigh",
    "follow chase avoid meet visit",
    "build measure design surround enter",
    "find need seek prefer recall",
    "fear love adore dread like",
    "hide cover wrap conceal shelter",
    "praise blame invite question warn",
)
NOUNS = tuple((word, word + "s") for line in NOUN_CLASSES for word in line.split())  # by number
VERBS = tuple((word + "s", word) for line in VERB_CLASSES for word in line.split())  # by number

VOCABULARY = tuple(  # a word's index is its token
    dict.fromkeys(
        word
        for words in ([EOS, THAT], *DETERMINERS, PREPOSITIONS, ADJECTIVES, *NOUNS, *VERBS)
        for word in words
    )
)
TOKENS = {word: token for token, word in enumerate(VOCABULARY)}


class Choice:
    """Options to choose from: a row of positive weights for everything that may be given.

    The numbers come of sums, products and quotients in a fixed order, which IEEE 754 rounds in one
    way, so that every machine draws the same text.
    """

    def __init__(self, weights: np.ndarray) -> None:
        sums = weights.cumsum(1)
        self.probabilities = weights / sums[:, -1:]  # (given, options)
        nats = -np.log(self.probabilities)
        self.entropy = (self.probabilities * nats).sum(1)  # (given,), in nats
        self.nats: list[list[float]] = nats.tolist()
        self.cumulative: list[list[float]] = (sums / sums[:, -1:]).tolist()


def _preferences(purpose: str, given: int, options: int, favourites: int) -> np.ndarray:
    """Weights: each row has favourites of its own, Zipf's law between them; the rest is rare."""
    random = seeds.generator(LANGUAGE, f"grammar {purpose}")
    ranks = random.random((given, options)).argsort(1).argsort(1)
    return np.where(ranks < favourites, 1 / (1 + ranks), 0.004)


# The figures from here on are ours; with them the exact perplexity of the language is 13.
CLASSES, RANKS = len(NOUN_CLASSES), len(NOUNS) // len(NOUN_CLASSES)
NUMBER = Choice(np.array([[0.6, 0.4]]))  # singular, plural
DETERMINER = Choice(np.array([[0.55, 0.2, 0.15, 0.1]] * 2))  # given the number
DESCRIBED = Choice(np.array([[0.65, 0.35]]))  # without an adjective, with one
ADJECTIVE = Choice(_preferences("adjectives", CLASSES, len(ADJECTIVES), 4))  # given a class
NOUN = Choice(1 / np.arange(1.0, 1 + RANKS)[None])  # its rank in its class

# A clause is one joint draw: class of the subject, verb, class of the object. A relative clause
# lacks its subject or its object, the noun before "that"; it is a draw given that noun's class.
SUBJECT = Choice(1 / np.arange(8.0, 8 + CLASSES)[None])
VERB_OF_SUBJECT = Choice(_preferences("verbs", CLASSES, len(VERBS), 6))
OBJECT_OF_VERB = Choice(
    _preferences("objects", len(VERB_CLASSES), CLASSES, 3).repeat(
        len(VERBS) // len(VERB_CLASSES), axis=0
    )
)
_SUBJECT_AND_VERB = SUBJECT.probabilities.T * VERB_OF_SUBJECT.probabilities
SUBJECT_OF_VERB = Choice(_SUBJECT_AND_VERB.T)
VERB_OF_OBJECT = Choice((_SUBJECT_AND_VERB.sum(0)[:, None] * OBJECT_OF_VERB.probabilities).T)

PREPOSITION = Choice(_preferences("prepositions", CLASSES, len(PREPOSITIONS), 3))
PLACE = Choice(_preferences("places", len(PREPOSITIONS), CLASSES, 3))

# What a noun is to its modifier. Below a half in sum: a modifier brings one more phrase, which may
# have a modifier in turn, so that n levels below each other have a probability of 0.43 ** n.
NONE, PLACED, AS_SUBJECT, AS_OBJECT = range(4)
ROLE = Choice(np.array([[0.57, 0.2, 0.13, 0.1]]))
MODIFIERS = {  # the word given the noun's class, the class of the phrase inside given the word
    PLACED: (PREPOSITION, PLACE),
    AS_SUBJECT: (VERB_OF_SUBJECT, OBJECT_OF_VERB),
    AS_OBJECT: (VERB_OF_OBJECT, SUBJECT_OF_VERB),
}


@dataclass(slots=True)
class Phrase:
    """A noun and what belongs to it. All fields are indices into what they are called after."""

    number: int
    determiner: int
    adjective: int | None
    noun: int
    modifier: "Modifier | None"


@dataclass(slots=True)
class Modifier:
    role: int  # of the noun that is modified
    word: int  # preposition or verb
    phrase: Phrase


@dataclass(slots=True)
class Clause:
    subject: Phrase
    verb: int
    object: Phrase


class Draws:
    """Draws from uniform numbers, and the -log p of all that was drawn."""

    def __init__(self, uniforms: Iterator[float]) -> None:
        self.uniforms = uniforms
        self.nats = 0.0

    def take(self, choice: Choice, given: int = 0) -> int:
        option = bisect_right(choice.cumulative[given], next(self.uniforms))
        self.nats += choice.nats[given][option]
        return option


def draw_clause(draws: Draws) -> Clause:
    noun_class = draws.take(SUBJECT)
    subject = _phrase(draws, noun_class)
    verb = draws.take(VERB_OF_SUBJECT, noun_class)
    return Clause(subject, verb, _phrase(draws, draws.take(OBJECT_OF_VERB, verb)))


def _phrase(draws: Draws, noun_class: int) -> Phrase:
    number = draws.take(NUMBER)
    return Phrase(
        number=number,
        determiner=draws.take(DETERMINER, number),
        adjective=draws.take(ADJECTIVE, noun_class) if draws.take(DESCRIBED) else None,
        noun=noun_class * RANKS + draws.take(NOUN),
        modifier=_modifier(draws, noun_class),
    )


def _modifier(draws: Draws, noun_class: int) -> Modifier | None:
    role = draws.take(ROLE)
    if role == NONE:
        return None
    word_given, inside_given = MODIFIERS[role]
    word = draws.take(word_given, noun_class)
    return Modifier(role, word, _phrase(draws, draws.take(inside_given, word)))


def source(clause: Clause) -> list[str]:
    """A clause in words, in English order."""
    subject, verb = clause.subject, VERBS[clause.verb][clause.subject.number]
    return [*_source_phrase(subject), verb, *_source_phrase(clause.object), EOS]


def _source_phrase(phrase: Phrase) -> list[str]:
    words = [DETERMINERS[phrase.number][phrase.determiner]]
    if phrase.adjective is not None:
        words.append(ADJECTIVES[phrase.adjective])
    words.append(NOUNS[phrase.noun][phrase.number])
    modifier = phrase.modifier
    if modifier is None:
        return words
    inside = _source_phrase(modifier.phrase)
    if modifier.role == PLACED:
        return [*words, PREPOSITIONS[modifier.word], *inside]
    if modifier.role == AS_SUBJECT:
        return [*words, THAT, VERBS[modifier.word][phrase.number], *inside]
    return [*words, THAT, *inside, VERBS[modifier.word][modifier.phrase.number]]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrammarText:
    tokens: np.ndarray  # (n,) int16, indices into VOCABULARY
    nats: float  # the generator's own -log p of exactly these tokens, summed


def draw(seed: int, split: str, tokens: int) -> GrammarText:
    """Whole sentences, an <eos> behind each, until there are `tokens` tokens or some more.

    A longer text of the same seed and split begins with the shorter one.
    """
    draws = Draws(uniforms(seeds.generator(seed, f"grammar {split}")))
    drawn: list[str] = []
    while len(drawn) < tokens:
        drawn += source(draw_clause(draws))
    return GrammarText(tokens=np.array([TOKENS[word] for word in drawn], np.int16), nats=draws.nats)


def uniforms(random: np.random.Generator) -> Iterator[float]:
    while True:
        yield from random.random(4096).tolist()  # a block at once is many times faster


def words(tokens: np.ndarray) -> str:
    return " ".join(VOCABULARY[token] for token in tokens)


def _expected_sentence() -> tuple[float, float]:
    """-log p and number of tokens of a sentence, both expected, exactly.

    For phrases, by class of the noun: what a phrase has itself, plus what the phrase inside has,
    weighted by how probable its class is; that is x = own + inside @ x, solved for x.
    """
    described, roles = DESCRIBED.probabilities[0, 1], ROLE.probabilities[0]
    own = np.empty((CLASSES, 2))  # nats, tokens
    own[:, 0] = NUMBER.entropy + NUMBER.probabilities @ DETERMINER.entropy + DESCRIBED.entropy
    own[:, 0] += described * ADJECTIVE.entropy + NOUN.entropy + ROLE.entropy
    own[:, 1] = 2 + described + roles[PLACED] + 2 * (roles[AS_SUBJECT] + roles[AS_OBJECT])
    inside = np.zeros((CLASSES, CLASSES))
    for role, (word, phrase) in MODIFIERS.items():
        own[:, 0] += roles[role] * (word.entropy + word.probabilities @ phrase.entropy)
        inside += roles[role] * word.probabilities @ phrase.probabilities
    by_class = np.linalg.solve(np.eye(CLASSES) - inside, own)

    subject, verb = SUBJECT.probabilities[0], VERB_OF_SUBJECT.probabilities
    choices = SUBJECT.entropy[0] + subject @ (
        VERB_OF_SUBJECT.entropy + verb @ OBJECT_OF_VERB.entropy
    )
    objects = subject @ verb @ OBJECT_OF_VERB.probabilities
    nats, tokens = (subject + objects) @ by_class
    return float(choices + nats), float(tokens + 2)  # the verb and <eos>


def entropy() -> float:
    """Nats per token of a long text: no model does better in the mean. Its exp is a perplexity."""
    nats, tokens = _expected_sentence()
    return nats / tokens
