"""Lano: sentences of a layered context-free grammar (Part 1; Part 4.1, appendix A).

The root is rewritten level by level until terminals are reached; each symbol's rules are equally likely. Sentences
follow one another, each after a separator; a model must learn a grammar that no rule book gives it, and what counts
is whether what it writes is a sentence.

    config       sizes=[1,2,2,3] degree=[2,2] length=[2,3] seed=0
    level 1      0 → 1 0 | 0 1                        a rule's symbols are those of the next level
    level 2      0 → 0 0 | 1 1    1 → 1 0 | 0 1
    level 3      0 → 0 1 | 2 1    1 → 0 0 | 2 0 1     terminal t is the token t + 1
    tree                      0
                      1               0
                   1     0         0     0
    text         <s>  1  1  1  2  3  2  1  2
    loss           1  1  1  1  1  1  1  1  1           every token but the window's first is predicted
    symbol_2      -1  1  1  1  1  0  0  0  0           the symbol of level 2 that the token stands under
    symbol_3      -1  1  1  0  0  0  0  0  0
    index_3       -1  0  0  1  1  2  2  3  3           that symbol's place in its level
    boundary_3    -1  0  1  0  1  0  1  0  1           the symbol ends here
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import grammars
from physlm.errors import UserError
from physlm.grammars import Derivations, Estimate, Grammar, Noise, Perturbation
from physlm.tasks.capabilities import Asks, HasGrammar, HasWorld, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

Rules = tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
Spelling = tuple[tuple[tuple[int, int], ...], ...]

_NOISE = {"none": Noise.NONE, "terminals": Noise.TERMINALS, "symbols": Noise.SYMBOLS, "siblings": Noise.SIBLINGS}
_GENERATOR = ("sizes", "degree", "length", "distinct_symbols", "distinct_rules")


class CfgConfig(TaskConfig):
    """Knobs of the language. `grammar` or `rules` give the rules; without them `sizes` and what follows draw them."""

    type: Literal["cfg"] = "cfg"
    grammar: str | None = Field(None, description="a published grammar by name: cfg3b, cfg3f, cfg3k, ...")
    rules: Rules | None = Field(
        None, description="the rules themselves: right-hand sides by level and symbol, or the published JSON form"
    )
    sizes: tuple[int, ...] = Field(
        (1, 3, 3, 3, 3), min_length=2, description="symbols of each level, the root's 1 first"
    )
    degree: tuple[int, int] = Field((2, 3), description="fewest and most rules of a symbol")
    length: tuple[int, int] = Field((2, 3), description="fewest and most symbols of a rule")
    distinct_symbols: bool = Field(False, description="no symbol twice within a rule")
    distinct_rules: bool = Field(True, description="no two rules of a level alike")
    implicit: Literal["none", "disjoint", "overlap"] = Field(
        "none", description="whether terminals are spelt as one of many tokens, of their own or shared"
    )
    implicit_tokens: int = Field(300, ge=1, le=60_000, description="tokens that spell an implicit grammar's terminals")
    implicit_weights: Literal["uniform", "linear"] = Field(
        "uniform", description="how often a terminal takes each of its tokens: equally, or as 1 : 2 : 3 ..."
    )
    spelling: Spelling | None = Field(None, description="(token, weight) pairs of each terminal, given with rules")
    perturbation: Literal["none", "terminals", "symbols", "siblings"] = Field(
        "none",
        description="errors of the training text: other terminals, other symbols at any level, or the next symbol",
    )
    perturbed: float = Field(1.0, ge=0, le=1, description="τ, fraction of the training sentences that have errors")
    error_rate: float = Field(0.1, ge=0, le=1, description="γ, errors per symbol in such a sentence")
    cut: int = Field(0, ge=0, le=10_000, description="c, tokens of a sentence that the model is given to go on from")

    @model_validator(mode="before")
    @classmethod
    def _published_form(cls, knobs: Any) -> Any:
        if not isinstance(knobs, dict) or not isinstance(knobs.get("rules"), dict):
            return knobs
        try:
            grammar = grammars.read(json.dumps(knobs["rules"]))
        except UserError as error:
            raise ValueError(f"rules: {error}") from error
        spelt = {"spelling": grammar.spelling} if "content_map" in knobs["rules"] else {}
        return {**knobs, "rules": grammar.rules, **spelt}

    @model_validator(mode="after")
    def _makes_a_grammar(self) -> CfgConfig:
        for knob in ("degree", "length"):
            lo, hi = getattr(self, knob)
            if not 1 <= lo <= hi <= 50:
                raise ValueError(f"{knob}: must be two numbers from 1 to 50, the smaller first, got [{lo}, {hi}]")
        if self.sizes[0] != 1 or not all(1 <= size <= 1000 for size in self.sizes):
            raise ValueError(f"sizes: must be 1 for the root, then 1 to 1000 a level, got {list(self.sizes)}")
        if self.grammar is not None and self.rules is not None:
            raise ValueError("rules: the grammar has its rules already; leave one of grammar and rules out")
        if self.grammar is not None or self.rules is not None:
            for knob in _GENERATOR:
                if getattr(self, knob) != type(self).model_fields[knob].default:
                    raise ValueError(f"{knob}: only random grammars have it; leave it out, or grammar and rules")
        if self.spelling is not None and (self.rules is None or self.implicit != "none"):
            raise ValueError("spelling: can be given only with rules, and without implicit")
        try:
            grammars.longest(build_grammar(self), self.errors)
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def errors(self) -> Perturbation:
        """What the training text has of them."""
        return Perturbation(_NOISE[self.perturbation], self.perturbed, self.error_rate)

    @classmethod
    def of(cls, grammar: Grammar, **knobs: Any) -> CfgConfig:
        """The config of a grammar that was imported or made elsewhere."""
        return cls(rules=grammar.rules, spelling=grammar.spelling, **knobs)


@lru_cache(maxsize=64)
def build_grammar(config: CfgConfig) -> Grammar:
    """The grammar of a config. Raises UserError where the knobs make none."""
    c = config
    if c.grammar is not None:
        grammar = grammars.published(c.grammar)
    elif c.rules is not None:
        named = (s for symbols in c.rules[-1:] for rules in symbols for rule in rules for s in rule)
        terminals = len(c.spelling) if c.spelling else 1 + max(named, default=0)
        grammar = Grammar(c.rules, terminals, c.spelling or ())
    else:
        grammar = grammars.random_grammar(
            c.sizes,
            c.degree,
            c.length,
            c.seed,
            distinct_symbols=c.distinct_symbols,
            distinct_rules=c.distinct_rules,
        )
    if c.implicit == "none":
        return grammar
    spelling = grammars.random_spelling(grammar.terminals, c.implicit_tokens, c.implicit, c.implicit_weights, c.seed)
    return Grammar(grammar.rules, grammar.terminals, spelling)


def _presets() -> dict[str, dict[str, Any]]:
    """Each published grammar under its name; random grammars of the same make under NAME-family."""
    presets: dict[str, dict[str, Any]] = {"tiny": {}}
    for name, family in grammars.families().items():
        presets[name] = {"grammar": name}
        presets[f"{name}-family"] = {knob: family[knob] for knob in _GENERATOR}
    return presets


@register
class Cfg(Asks[CfgConfig], HasGrammar[CfgConfig], HasWorld[CfgConfig], Probed[CfgConfig]):
    """Sentences of a layered context-free grammar, with their trees, their probabilities and an exact parser."""

    config_type = CfgConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = _presets()

    @cached_property
    def grammar(self) -> Grammar:
        """The rules, and how terminals are spelt."""
        return build_grammar(self.config)

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s>`, then the tokens `1 2 ...`."""
        return ["<s>", *(str(token) for token in range(1, self.grammar.tokens + 1))]

    @property
    def separator(self) -> int:
        return 0

    @property
    def max_length(self) -> int:
        return 1 + grammars.longest(self.grammar, self.config.errors)

    @property
    def used_tokens(self) -> int:
        return 1 + len(self.grammar.used_tokens)

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("sizes", "difficulty", "levels of structure and symbols in each", ((1, 3, 3, 3), (1, 3, 3, 3, 3, 3))),
            Axis("length", "difficulty", "symbols of a rule", ((2, 2), (3, 3))),
            Axis("degree", "amount", "rules to know; more of them make a sentence more ambiguous"),
            Axis("perturbation", "type", "what errors the training text has"),
            Axis("implicit", "format", "how terminals are spelt"),
        )

    @cached_property
    def string_entropy(self) -> Estimate:
        """Entropy of a sentence, its end included, in nats, with its standard error; unperturbed."""
        return grammars.string_entropy(self.grammar)

    def floor(self) -> float:
        """Entropy of an unperturbed sentence as a string, in nats: see `string_entropy`."""
        return self.string_entropy.value

    def end_surprisal(self, instances: Instances) -> NDArray[np.float64]:
        """A sentence may be the beginning of others."""
        ends = self.next_token(instances.tokens, instances.offsets)[instances.offsets[1:] - 1, self.separator]
        return np.asarray(-np.log(ends))

    def surprisal(self, instances: Instances) -> NDArray[np.float64] | None:
        """-ln P of each sentence, its end included, summed over all its trees; None for a perturbed language."""
        if self.config.perturbation != "none":
            return None
        sentences = np.delete(instances.tokens, instances.offsets[:-1])
        offsets = instances.offsets - np.arange(len(instances.offsets))
        return -grammars.parse(self.grammar, sentences, offsets).log_probability

    def facts(self) -> Mapping[str, NDArray[Any]]:
        """The grammar as arrays.

        `sizes` int64 [L]; rule r rewrites symbol `rule_symbol[r]` of depth `rule_depth[r]` (the root's is 0) as the
        symbols `right[right_start[r]:right_start[r + 1]]` of the next; terminal t is spelt as the tokens
        `spelling[spelling_start[t]:spelling_start[t + 1]]` with the probabilities `spelling_share`.
        """
        t, rules = self.grammar.tables, self.grammar.rules
        owners = [
            (depth, symbol) for depth, symbols in enumerate(rules) for symbol, own in enumerate(symbols) for _ in own
        ]
        depth, symbol = np.array(owners, np.int32).T
        return {
            "sizes": t.sizes,
            "rule_depth": depth,
            "rule_symbol": symbol,
            "right_start": t.right_start,
            "right": t.right,
            "spelling_start": t.spelling_start,
            "spelling": t.spelling,
            "spelling_share": t.spelling_share,
        }

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh sentences. Only "train" is ever perturbed; its labels then tell the derivation with its errors."""
        drawn = grammars.sample(
            self.grammar,
            stream.key("cfg", "sentences", self.config.seed),
            indices,
            lead=1,
            perturbation=self.config.errors if stream.split == "train" else Perturbation(),
        )
        offsets, cut = drawn.trees.offsets, self.config.cut
        return Instances(
            tokens=drawn.tokens,
            offsets=offsets,
            loss=np.ones(len(drawn.tokens), np.bool_),
            labels=self._labels(drawn.trees),
            truth=[
                tuple(drawn.tokens[a + 1 : min(a + 1 + cut, b)].tolist()) if cut else ()
                for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
            ],
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """Whole sentences, and going on from 50 tokens (from all but one where the shortest has fewer)."""
        cuts = {"start": 0, "continue": min(50, self.grammar.min_length - 1)}
        return {name: {"cut": cut} for name, cut in cuts.items() if cut != self.config.cut}

    @property
    def _label_levels(self) -> range:
        """Levels between the root's and the terminals', and the terminals' too where tokens don't tell them."""
        return range(2, len(self.grammar.sizes) + (self.grammar.tokens > self.grammar.terminals))

    def _labels(self, trees: Derivations) -> dict[str, NDArray[np.int32]]:
        labels = {}
        for level in self._label_levels:
            labels[f"symbol_{level}"] = trees.symbols[level - 2]
            labels[f"index_{level}"] = trees.indices[level - 2]
            labels[f"boundary_{level}"] = trees.boundaries(level)
        return labels

    @property
    def probe_targets(self) -> Mapping[str, int]:
        """s_ℓ and b_ℓ of Part 1, section 4: the symbol of each level, and whether it ends here."""
        targets = {}
        for level in self._label_levels:
            targets[f"symbol_{level}"] = self.grammar.sizes[level - 1]
            targets[f"boundary_{level}"] = 2
        return targets

    @property
    def probe_ends(self) -> Mapping[str, str]:
        """A symbol can be told for certain once it has ended."""
        return {f"symbol_{level}": f"boundary_{level}" for level in self._label_levels}

    @property
    def chance(self) -> None:
        """Not told: any sentence is an answer."""
        return

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The separator and the first `cut` tokens of the sentence."""
        return instances[i][: 1 + self.config.cut]

    @property
    def temperature(self) -> float:
        """1, as published: the likeliest tokens make one and the same sentence, valid or not."""
        return 1.0

    def completion(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The rest of the sentence and the separator that ends it."""
        return np.append(super().completion(instances, i), np.int32(self.separator))

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the given tokens and the completion are a sentence, ended by the separator. No partial credit.

        truth: the sentence's given tokens. Counts: `parses` (exact up to 2⁵³), `tokens` of the whole, and of a wrong
        one `valid_tokens`, how many from the start on are the beginning of some sentence.
        """
        written = np.asarray(completion)
        if written.ndim != 1 or written.dtype.kind not in "iu" or len(written) == 0:
            return Verdict(False, "there are no tokens to check")
        ends = np.flatnonzero(written == self.separator)
        if len(ends) != 1 or ends[0] != len(written) - 1:
            return Verdict(False, "a completion must end with the separator and have it nowhere else")
        length = len(truth) + len(written) - 1
        if length > self.grammar.max_length:
            return Verdict(
                False,
                f"{length} tokens are more than the longest sentence has, {self.grammar.max_length}",
                {"parses": 0.0, "tokens": length},
            )
        written = np.where((written > 0) & (written <= self.grammar.tokens), written, -1).astype(np.int32)
        sentence = np.concatenate([np.array(truth, np.int32), written[:-1]])
        parses = float(self._parse(sentence).parses[0])
        counts = {"parses": parses, "tokens": float(length)}
        if parses:
            return Verdict(True, counts=counts)
        valid = grammars.valid_prefix(self.grammar, sentence)
        reason = (
            f"no sentence ends after these {length} tokens"
            if valid == length
            else f"no sentence begins with the first {valid + 1} tokens"
        )
        return Verdict(False, reason, counts | {"valid_tokens": float(valid)})

    def _parse(self, sentence: NDArray[np.int32]) -> grammars.Parses:
        return grammars.parse(self.grammar, sentence, np.array([0, len(sentence)], np.int64))

    def log_probability(self, tokens: NDArray[np.int32]) -> float:
        """ln P of the tokens as one whole sentence, its end included, without separators; -inf if they are none."""
        return float(self._parse(tokens).log_probability[0])

    def next_token(self, tokens: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """The true distribution of the next token after every token of n beginnings of instances.

        Beginning i is tokens[offsets[i]:offsets[i + 1]], a separator and any number of tokens. Returns float64
        [total, vocabulary], row j being what follows token j; the separator's column is the sentence's end. Rows are 0
        where no sentence begins so. Unperturbed. Raises UserError for a beginning without its separator.
        """
        first = offsets[:-1]
        if (np.diff(offsets) < 1).any() or (tokens[first] != self.separator).any():
            raise UserError("next_token: every beginning must start with the separator")
        sentences = np.delete(tokens, first)
        return grammars.next_token(self.grammar, sentences, offsets - np.arange(len(offsets)))
