"""Synthetic persons and the texts about them: pools of names and facts, worlds of any size, what is told of a person in
which sentences, a writer."""

from physlm.people.sentences import FULL_NAME, VALUES, SentenceSampler, Variation
from physlm.people.templates import ATTRIBUTES, Attribute
from physlm.people.world import FACTS, NAME_FACTS, World
from physlm.people.writer import AGAIN, Lexicon, Script, Written

__all__ = [
    "AGAIN",
    "ATTRIBUTES",
    "FACTS",
    "FULL_NAME",
    "NAME_FACTS",
    "VALUES",
    "Attribute",
    "Lexicon",
    "Variation",
    "Script",
    "SentenceSampler",
    "World",
    "Written",
]
