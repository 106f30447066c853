"""Pairs of sentences from the embedded grammar: the same clause in English order, and in a language
whose verbs come last and whose cases say who does what.

    <clause>   = <phrase, nominative> <phrase, accusative> verb
    <phrase>   = determiner [adjective] noun [<modifier>], determiner and noun in its case
    <modifier> = <phrase, locative> postposition
               | relative, nominative <phrase, accusative> verb
               | relative, accusative <phrase, nominative> verb

Nothing is lost either way: what a clause says follows from its words in each language, so that for
each sentence there is exactly one translation.

    python -c "from pruneexp.data import grammar_pairs as g; print(g.draw(0, 'train', 3))"
"""

from pruneexp import seeds
from pruneexp.data import grammar
from pruneexp.data.grammar import ADJECTIVES, DETERMINERS, EOS, NOUNS, PREPOSITIONS, VERBS

NOMINATIVE, ACCUSATIVE, LOCATIVE = range(3)
NUMBERS = range(2)  # singular, plural
ENDINGS = (("", "um", "es"), ("i", "im", "is"))  # of nouns and determiners, by number and case
RELATIVES = ("taht", "tahtum")  # in the nominative and the accusative

Pair = tuple[list[str], list[str]]  # words in English order, and verb-final


def _turned(word: str) -> str:
    """A word of the other language: the letters backwards."""
    return word[::-1]


def noun(index: int, number: int, case: int) -> str:
    """A noun in a case."""
    return _turned(NOUNS[index][0]) + ENDINGS[number][case]


def determiner(index: int, number: int, case: int) -> str:
    """A determiner in a case, another in the plural even where English has one word for both."""
    return _turned(DETERMINERS[number][index]) + ENDINGS[number][case]


def verb(index: int, number: int) -> str:
    """A verb that agrees with its subject."""
    return _turned(VERBS[index][1]) + ("t" if number == 0 else "nt")


ENGLISH = tuple(word for word in grammar.VOCABULARY if word != EOS)
VERB_FINAL = tuple(
    dict.fromkeys(
        [
            *RELATIVES,
            *map(_turned, [*PREPOSITIONS, *ADJECTIVES]),
            *(
                determiner(index, number, case)
                for number in NUMBERS
                for index in range(len(DETERMINERS[number]))
                for case in range(3)
            ),
            *(
                noun(index, number, case)
                for index in range(len(NOUNS))
                for number in NUMBERS
                for case in range(3)
            ),
            *(verb(index, number) for index in range(len(VERBS)) for number in NUMBERS),
        ]
    )
)
WORDS = tuple(dict.fromkeys([*ENGLISH, *VERB_FINAL]))


def verb_final(clause: grammar.Clause) -> list[str]:
    """A clause in words of the other language, the verb at its end."""
    return [
        *_phrase(clause.subject, NOMINATIVE),
        *_phrase(clause.object, ACCUSATIVE),
        verb(clause.verb, clause.subject.number),
    ]


def _phrase(phrase: grammar.Phrase, case: int) -> list[str]:
    words = [determiner(phrase.determiner, phrase.number, case)]
    if phrase.adjective is not None:
        words.append(_turned(ADJECTIVES[phrase.adjective]))
    words.append(noun(phrase.noun, phrase.number, case))
    modifier = phrase.modifier
    if modifier is None:
        return words
    inside = modifier.phrase
    if modifier.role == grammar.PLACED:
        return [*words, *_phrase(inside, LOCATIVE), _turned(PREPOSITIONS[modifier.word])]
    if modifier.role == grammar.AS_SUBJECT:
        acts = verb(modifier.word, phrase.number)
        return [*words, RELATIVES[0], *_phrase(inside, ACCUSATIVE), acts]
    acts = verb(modifier.word, inside.number)
    return [*words, RELATIVES[1], *_phrase(inside, NOMINATIVE), acts]


def draw(seed: int, split: str, count: int, longest: int = 16) -> list[Pair]:
    """So many pairs. Those of a longer draw begin with the shorter one.

    Arguments:
        longest: words of a sentence; longer ones are drawn again.
    """
    random = seeds.generator(seed, f"grammar pairs {split}")
    draws = grammar.Draws(grammar.uniforms(random))
    pairs: list[Pair] = []
    while len(pairs) < count:
        clause = grammar.draw_clause(draws)
        english = grammar.source(clause)[:-1]  # without <eos>
        if len(english) <= longest:
            pairs.append((english, verb_final(clause)))
    return pairs
