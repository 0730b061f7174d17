"""The vocabulary: every word, number, letter and name of iGSM as tokens, and tokens as text.

Fixed phrases are one token each ("The number of", "times as much as"); a name is one token, or two where it has a
qualifier; a number below the modulus is one token. Ids run in this order:

    marks      <s> <solution> <answer>
    phrases    The number of · each · 's · equals · more than · ... · Define · as · so · BACK
    symbols    . , ; ? = + - *
    letters    a ... z A ... Z   (the first `letters` of them)
    numbers    0 ... modulus - 1
    categories Harbors Ships Goods ...   (three for each chain)
    nouns      min(names, 20) for each category
    qualifiers where names > 20
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physlm.igsm.bank import CATEGORIES, LEVELS, NOUNS, NOUNS_EACH, QUALIFIERS

LETTERS = string.ascii_lowercase + string.ascii_uppercase

FIXED = (
    *("<s>", "<solution>", "<answer>"),
    *("The number of", "each", "'s", "equals", "more than", "times as much as", "the sum of", "the difference of"),
    *("and", "How many", "does", "have", "Define", "as", "so", "BACK", ".", ",", ";", "?", "=", "+", "-", "*"),
)
SEPARATOR, SOLUTION, ANSWER = range(3)
NUMBER_OF, EACH, OF, EQUALS, MORE_THAN, TIMES, SUM_OF, DIFFERENCE_OF = range(3, 11)
AND, HOW_MANY, DOES, HAVE, DEFINE, AS, SO, BACK = range(11, 19)
STOP, COMMA, SEMICOLON, QUESTION, EQUAL, PLUS, MINUS, STAR = range(19, 27)
LETTER = len(FIXED)  # the first letter

_NO_SPACE_BEFORE = {"'s", ".", ",", ";", "?"}


class Words(NamedTuple):
    """The tokens that depend on the configuration, as numba reads them.

    number              the token of 0
    category  int32 [chains, 4]: the word for the things of a level; -1 for the first level
    name      int32 [chains, 4, names, 2]: the tokens of a name; the second is -1 where there is only one
    """

    number: int
    category: NDArray[np.int32]
    name: NDArray[np.int32]


class Lexicon:
    """The vocabulary of one configuration."""

    def __init__(self, modulus: int, letters: int, chains: int, names: int) -> None:
        self.modulus, self.letters, self.chains, self.names = modulus, letters, chains, names
        tokens = [*FIXED, *LETTERS[:letters]]
        number = len(tokens)
        tokens += [str(value) for value in range(modulus)]
        category = np.full((chains, LEVELS), -1, np.int32)
        for chain in range(chains):
            for level in range(1, LEVELS):
                category[chain, level] = len(tokens)
                tokens.append(CATEGORIES[chain][level])
        nouns = min(names, NOUNS_EACH)
        first_noun = len(tokens)
        tokens += [noun for chain in NOUNS[:chains] for level in chain for noun in level[:nouns]]
        qualifiers = -(-names // NOUNS_EACH) - 1
        first_qualifier = len(tokens)
        tokens += [qualifier for level in QUALIFIERS for qualifier in level[:qualifiers]]

        chain_, level_, name_ = np.indices((chains, LEVELS, names), np.int32)
        noun = first_noun + (chain_ * LEVELS + level_) * nouns + name_ % NOUNS_EACH
        qualified = name_ >= NOUNS_EACH
        qualifier = first_qualifier + level_ * qualifiers + name_ // NOUNS_EACH - 1
        self.tokens: Sequence[str] = tokens
        self.words = Words(
            number=number,
            category=category,
            name=np.stack([np.where(qualified, qualifier, noun), np.where(qualified, noun, -1)], axis=-1),
        )

    @property
    def name_length(self) -> int:
        """Tokens of the longest name."""
        return 1 if self.names <= NOUNS_EACH else 2

    @cached_property
    def names_by_tokens(self) -> Mapping[tuple[int, ...], tuple[int, int, int]]:
        """(chain, level, number) of each name, by its tokens."""
        return {
            tuple(token for token in tokens if token >= 0): (chain, level, name)
            for chain, levels in enumerate(self.words.name.tolist())
            for level, names in enumerate(levels)
            for name, tokens in enumerate(names)
        }

    @cached_property
    def categories_by_token(self) -> Mapping[int, tuple[int, int]]:
        """(chain, level) of each category word."""
        return {
            token: (chain, level)
            for chain, levels in enumerate(self.words.category.tolist())
            for level, token in enumerate(levels)
            if token >= 0
        }

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as English; ids that are no tokens read `<id?>`."""
        words = [self.tokens[t] if 0 <= t < len(self.tokens) else f"<{t}?>" for t in tokens]
        return "".join(word if i == 0 or word in _NO_SPACE_BEFORE else f" {word}" for i, word in enumerate(words))

    def parse(self, text: str) -> list[int]:
        """Tokens of a text; -1 stands for words that are no tokens."""
        ids = self._ids
        return [ids.get(word, -1) for word in self._pattern.findall(text)]

    @cached_property
    def _ids(self) -> Mapping[str, int]:
        return {word: i for i, word in enumerate(self.tokens)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.tokens, key=len, reverse=True)
        plain = "|".join(re.escape(word) for word in longest_first if word[0].isalnum())
        other = "|".join(re.escape(word) for word in longest_first if not word[0].isalnum())
        return re.compile(rf"(?<!\w)(?:{plain})(?!\w)|{other}|\S+")
