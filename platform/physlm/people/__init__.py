"""Synthetic persons and the texts about them: pools of names and facts, sentences, worlds of any size, a writer."""

from physlm.people.wordings import ATTRIBUTES, Attribute
from physlm.people.world import FACTS, World
from physlm.people.writing import AGAIN, Lexicon, Script, Written

__all__ = ["AGAIN", "ATTRIBUTES", "FACTS", "Attribute", "Lexicon", "Script", "World", "Written"]
