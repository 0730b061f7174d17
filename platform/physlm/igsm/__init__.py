"""The parts of the iGSM language (Part 2.1, 2.2); `physlm.tasks.igsm` puts them together.

bank         names of things: four chains of four categories
lexicon      the vocabulary: words, numbers, letters and names as tokens, and as text
structure    which things there are and what contains what
dependency   which numbers depend on which: the necessary ones, their order, the others, the values, the template
rendering    a problem and its solution as tokens, with retries, loss mask and labels
probing      the truth that V-probes ask for
checker      what a reader of the problem can say about a solution: right or wrong, where, and why
"""
