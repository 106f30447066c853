"""The embedded language: texts follow from seeds, have one reading, and are as probable as said.

`Reader` shares only the word lists and the tables of probabilities with the generator: it takes the
words from left to right, decides by the next word alone, and finds the derivation and its -log p.
"""

from collections.abc import Callable
from functools import cache
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pruneexp.data import grammar
from pruneexp.data.grammar import Choice, Clause, Modifier, Phrase

CHOICES = {name: value for name, value in vars(grammar).items() if isinstance(value, Choice)}


def forms(pairs: tuple[tuple[str, str], ...]) -> dict[str, tuple[int, int]]:
    """Index and number of each form."""
    return {pair[number]: (index, number) for index, pair in enumerate(pairs) for number in (0, 1)}


NOUNS, VERBS = forms(grammar.NOUNS), forms(grammar.VERBS)
MODIFIERS = {  # what the word and the class inside are drawn from
    grammar.PLACED: (grammar.PREPOSITION, grammar.PLACE),
    grammar.AS_SUBJECT: (grammar.VERB_OF_SUBJECT, grammar.OBJECT_OF_VERB),
    grammar.AS_OBJECT: (grammar.VERB_OF_OBJECT, grammar.SUBJECT_OF_VERB),
}


class Reader:
    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.nats = 0.0

    def pay(self, choice: Choice, option: int, condition: int = 0) -> int:
        self.nats -= log(choice.probabilities[condition, option])
        return option

    def clause(self) -> Clause:
        subject = self.phrase()
        self.pay(grammar.SUBJECT, subject.noun // 12)
        verb = self.verb(subject)
        self.pay(grammar.VERB_OF_SUBJECT, verb, subject.noun // 12)
        thing = self.phrase()
        self.pay(grammar.OBJECT_OF_VERB, thing.noun // 12, verb)
        assert self.words.pop(0) == "<eos>"
        return Clause(subject, verb, thing)

    def verb(self, subject: Phrase) -> int:
        verb, number = VERBS[self.words.pop(0)]
        assert number == subject.number
        return verb

    def phrase(self) -> Phrase:
        determiner, adjective = self.words.pop(0), None
        if self.words[0] in grammar.ADJECTIVES:
            adjective = grammar.ADJECTIVES.index(self.words.pop(0))
        noun, number = NOUNS[self.words.pop(0)]
        phrase = Phrase(
            number, grammar.DETERMINERS[number].index(determiner), adjective, noun, None
        )
        self.pay(grammar.NUMBER, number)
        self.pay(grammar.DETERMINER, phrase.determiner, number)
        self.pay(grammar.DESCRIBED, int(adjective is not None))
        if adjective is not None:
            self.pay(grammar.ADJECTIVE, adjective, noun // 12)
        self.pay(grammar.NOUN, noun % 12)
        phrase.modifier = self.modifier(phrase)
        return phrase

    def modifier(self, head: Phrase) -> Modifier | None:
        if self.words[0] in grammar.PREPOSITIONS:
            role = grammar.PLACED
            word = grammar.PREPOSITIONS.index(self.words.pop(0))
            inside = self.phrase()
        elif self.words[0] != "that":
            self.pay(grammar.ROLE, grammar.NONE)
            return None
        elif self.words.pop(0) and self.words[0] in VERBS:
            role, word, inside = grammar.AS_SUBJECT, self.verb(head), self.phrase()
        else:
            role, inside = grammar.AS_OBJECT, self.phrase()
            word = self.verb(inside)
        self.pay(grammar.ROLE, role)
        word_given, inside_given = MODIFIERS[role]
        self.pay(word_given, word, head.noun // 12)
        self.pay(inside_given, inside.noun // 12, word)
        return Modifier(role, word, inside)


def sentences(text: grammar.GrammarText) -> list[list[str]]:
    return [f"{line} <eos>".split() for line in grammar.words(text.tokens).split("<eos>")[:-1]]


def test_a_text_follows_from_the_seed_and_the_split() -> None:
    first = grammar.draw(0, "train", 5000)
    assert first.tokens.dtype == np.int16
    again = grammar.draw(0, "train", 5000)
    assert np.array_equal(first.tokens, again.tokens) and first.nats == again.nats
    for other in (grammar.draw(1, "train", 5000), grammar.draw(0, "valid", 5000)):
        assert not np.array_equal(first.tokens[:50], other.tokens[:50])
    longer = grammar.draw(0, "train", 9000)
    assert np.array_equal(first.tokens, longer.tokens[: len(first.tokens)])


def test_a_text_is_the_fewest_whole_sentences_that_hold_the_tokens() -> None:
    text = grammar.draw(3, "test", 1000)
    (ends,) = np.nonzero(text.tokens == grammar.TOKENS["<eos>"])
    assert ends[-1] == len(text.tokens) - 1
    assert ends[-2] + 1 < 1000 <= len(text.tokens)


def test_the_language_is_the_one_that_results_were_made_with() -> None:
    text = grammar.draw(0, "train", 1)
    assert grammar.words(text.tokens) == (
        "the tall chair that needs one golden river describes this hollow needle <eos>"
    )
    assert grammar.entropy() == pytest.approx(2.5679855, abs=1e-7)  # a perplexity of 13.04


def test_every_word_has_one_category_and_all_splits_have_the_same_words() -> None:
    # <eos>, that, 7 determiners ("the" in both numbers), 7 prepositions, 32 adjectives, and two
    # forms of 16 * 12 nouns and 60 verbs: a word that stood in two lists would be missing here.
    assert len(grammar.NOUNS) == 16 * 12 and {
        len(line.split()) for line in grammar.NOUN_CLASSES
    } == {12}
    assert len(grammar.VERBS) == 60 and {len(line.split()) for line in grammar.VERB_CLASSES} == {5}
    assert len(grammar.VOCABULARY) == 1 + 1 + 7 + 7 + 32 + 2 * 192 + 2 * 60 == 552
    for split in ("train", "valid", "test"):
        tokens = grammar.draw(0, split, 100_000).tokens
        assert set(tokens.tolist()) == set(range(552))


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
def test_the_options_of_a_choice_sum_to_1_and_are_drawn_as_often_as_said(choice: Choice) -> None:
    assert (choice.probabilities > 0).all()
    assert choice.probabilities.sum(1) == pytest.approx(1, abs=1e-14)
    surprise = -np.log(choice.probabilities)
    assert choice.entropy == pytest.approx((choice.probabilities * surprise).sum(1), rel=1e-12)
    count = 20_000  # evenly spaced numbers hit each option as often as it is probable, 1 up or down
    for row, probabilities in enumerate(choice.probabilities[:3]):
        draws = grammar.Draws((index + 0.5) / count for index in range(count))
        options = [draws.take(choice, row) for _ in range(count)]
        hits = np.bincount(options, minlength=len(probabilities))
        assert abs(hits - count * probabilities).max() <= 1
        assert draws.nats == pytest.approx(-(hits * np.log(probabilities)).sum())


def test_relative_clauses_are_the_main_clauses_distribution_given_the_noun() -> None:
    # p(subject) p(verb | subject) p(object | verb) = p(object) p(verb | object) p(subject | verb)
    subject = grammar.SUBJECT.probabilities[0]
    joint = np.einsum(
        "s,sv,vo->svo",
        subject,
        grammar.VERB_OF_SUBJECT.probabilities,
        grammar.OBJECT_OF_VERB.probabilities,
    )
    turned = np.einsum(
        "o,ov,vs->svo",
        joint.sum((0, 1)),
        grammar.VERB_OF_OBJECT.probabilities,
        grammar.SUBJECT_OF_VERB.probabilities,
    )
    assert joint.sum() == pytest.approx(1)
    assert turned == pytest.approx(joint, rel=1e-12)


def test_a_sentence_by_hand() -> None:
    g = grammar
    lazy, help_, turn = g.ADJECTIVES.index("lazy"), VERBS["help"][0], VERBS["turn"][0]
    people, houses, trees = (NOUNS[word][0] // 12 for word in ("baker", "house", "oak"))
    taken = [
        *[(g.SUBJECT, 0, people), (g.NUMBER, 0, 1), (g.DETERMINER, 1, 0), (g.DESCRIBED, 0, 1)],
        *[(g.ADJECTIVE, people, lazy), (g.NOUN, 0, 0), (g.ROLE, 0, g.AS_SUBJECT)],
        *[(g.VERB_OF_SUBJECT, people, help_), (g.OBJECT_OF_VERB, help_, trees)],
        *[(g.NUMBER, 0, 0), (g.DETERMINER, 0, 2), (g.DESCRIBED, 0, 0), (g.NOUN, 0, 1)],
        *[(g.ROLE, 0, g.NONE)],
        *[(g.VERB_OF_SUBJECT, people, turn), (g.OBJECT_OF_VERB, turn, houses)],
        *[(g.NUMBER, 0, 0), (g.DETERMINER, 0, 0), (g.DESCRIBED, 0, 0), (g.NOUN, 0, 0)],
        *[(g.ROLE, 0, g.NONE)],
    ]
    draws = g.Draws(
        choice.cumulative[row][option] - choice.probabilities[row, option] / 2
        for choice, row, option in taken
    )
    words = g.source(g.draw_clause(draws))
    assert " ".join(words) == "the lazy bakers that help one elm turn the house <eos>"
    nouns = sum(1 / rank for rank in range(1, 13))  # the k-th noun of a class has weight 1 / k
    verbs = 1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6 + 54 * 0.004  # 6 favourites of 60
    things = 1 + 1 / 2 + 1 / 3 + 13 * 0.004  # 3 favourite classes of 16
    lazy_bakers = (1 / 8) / sum(1 / k for k in range(8, 24)) * 0.4 * 0.55 * 0.35
    lazy_bakers *= 1 / (1 + 1 / 2 + 1 / 3 + 1 / 4 + 28 * 0.004) / nouns  # 4 favourites of 32
    that_help = 0.13 / verbs  # their first favourite
    one_elm = 1 / things * 0.6 * 0.15 * 0.65 * (1 / 2) / nouns * 0.57
    turn_the_house = (1 / 2) / verbs * 1 / things * 0.6 * 0.55 * 0.65 / nouns * 0.57
    probability = lazy_bakers * that_help * one_elm * turn_the_house
    assert draws.nats == pytest.approx(-log(probability), rel=1e-12)
    reader = Reader(words)
    reader.clause()
    assert reader.nats == pytest.approx(-log(probability), rel=1e-12)


def phrases(inside: some.SearchStrategy[Phrase]) -> some.SearchStrategy[Phrase]:
    def modifiers(role: int) -> some.SearchStrategy[Modifier]:
        last = 6 if role == grammar.PLACED else 59
        return some.builds(Modifier, some.just(role), some.integers(0, last), inside)

    return some.builds(
        Phrase,
        number=some.integers(0, 1),
        determiner=some.integers(0, 3),
        adjective=some.none() | some.integers(0, 31),
        noun=some.integers(0, 191),
        modifier=some.none() | some.sampled_from(sorted(MODIFIERS)).flatmap(modifiers),
    )


PHRASES: some.SearchStrategy[Phrase] = some.deferred(lambda: phrases(PHRASES))


@settings(deadline=None)
@given(some.builds(Clause, PHRASES, some.integers(0, 59), PHRASES))
def test_any_derivation_whatever_can_be_read_from_its_words(clause: Clause) -> None:
    assert Reader(grammar.source(clause)).clause() == clause  # so no two have the same words


def test_a_text_agrees_in_number_and_is_as_probable_as_said() -> None:
    """Reader asserts agreement at every verb and every determiner.

    A text of N independent sentences of n nats and t tokens has the ratio sum(n) / sum(t). Around
    the entropy h its standard error is deviation(n - h t) / (sqrt(N) mean(t)); one text in 16,000
    lies more than four of them away, which are 0.36 % of h here.
    """
    text = grammar.draw(0, "train", 200_000)
    pairs = []
    for words in sentences(text):
        reader = Reader(list(words))
        reader.clause()
        pairs.append((reader.nats, len(words)))
    nats, lengths = np.array(pairs).T
    assert lengths.sum() == len(text.tokens)
    assert nats.sum() == pytest.approx(text.nats, rel=1e-10)
    entropy = grammar.entropy()
    error = (nats - entropy * lengths).std() / len(lengths) ** 0.5 / lengths.mean()
    assert error < 0.0025
    assert abs(text.nats / len(text.tokens) - entropy) < 4 * error


def mean(choice: Choice, row: int, after: Callable[[int], float] = lambda option: 0.0) -> float:
    """Expected -log p of a draw and of what is drawn after it."""
    options = enumerate(choice.probabilities[row].tolist())
    return sum(probability * (after(option) - log(probability)) for option, probability in options)


@cache
def phrase_nats(noun_class: int, levels: int) -> float:
    """Expected -log p of a phrase down to so many levels, by the definition of an expectation."""
    g = grammar

    def modifier_nats(role: int) -> float:
        if role == g.NONE or levels == 0:
            return 0.0
        word, inside = MODIFIERS[role]
        return mean(
            word, noun_class, lambda w: mean(inside, w, lambda c: phrase_nats(c, levels - 1))
        )

    return (
        mean(g.NUMBER, 0, lambda number: mean(g.DETERMINER, number))
        + mean(g.DESCRIBED, 0, lambda described: described * mean(g.ADJECTIVE, noun_class))
        + mean(g.NOUN, 0)
        + mean(g.ROLE, 0, modifier_nats)
    )


def test_the_entropy_is_exact() -> None:
    def after_subject(subject: int) -> float:
        return phrase_nats(subject, 30) + mean(grammar.VERB_OF_SUBJECT, subject, after_verb)

    def after_verb(verb: int) -> float:
        return mean(grammar.OBJECT_OF_VERB, verb, lambda thing: phrase_nats(thing, 30))

    nats, tokens = grammar._expected_sentence()
    assert nats == pytest.approx(mean(grammar.SUBJECT, 0, after_subject), rel=1e-10)  # 0.43 ** 31
    assert grammar.entropy() == nats / tokens


def test_the_expected_length_by_hand() -> None:
    # determiner, noun, adjective, preposition, and "that" with a verb; 0.43 phrases inside
    phrase = (2 + 0.35 + 0.2 + 2 * 0.23) / (1 - 0.43)
    assert grammar._expected_sentence()[1] == pytest.approx(2 * phrase + 2, rel=1e-12)
