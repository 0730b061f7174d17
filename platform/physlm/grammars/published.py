"""Published grammars by name, and the JSON form that grammars are published in.

`published.json` holds the rules of the grammars of Part 1 and Part 4.1, level by level. The JSON form has a list "all"
of levels, each a list of symbols {"depth", "id", "name", "children"}, where children are the right-hand sides, as
numbers of symbols of the next level from 0, and null at the last level. An implicit grammar has "multi_vocab" (linear
weights if it contains NU1) and "content_map", the tokens of each terminal.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from physlm.errors import UserError
from physlm.grammars.grammar import Grammar, Rules, Spelling

_LINEAR = "NU1"


@cache
def families() -> dict[str, dict[str, Any]]:
    """For each published grammar its knobs, as `random_grammar` has them, and its `rules`."""
    text = resources.files("physlm.grammars").joinpath("published.json").read_text("utf-8")
    grammars: dict[str, dict[str, Any]] = json.loads(text)["grammars"]
    return grammars


@cache
def published(name: str) -> Grammar:
    """A published grammar by name. Raises UserError naming those that there are."""
    if name not in families():
        raise UserError(f"no published grammar is called {name!r}; there are {', '.join(families())}")
    family = families()[name]
    return Grammar(_rules(family["rules"]), family["sizes"][-1])


def _rules(levels: Any) -> Rules:
    return tuple(tuple(tuple(tuple(rule) for rule in rules) for rules in symbols) for symbols in levels)


def read(text: str) -> Grammar:
    """The grammar that a JSON text of the published form describes. Raises UserError saying what is wrong with it."""
    try:
        form = json.loads(text)
    except ValueError as error:
        raise UserError(f"this is no JSON: {error}") from error
    if not isinstance(form, dict) or not isinstance(form.get("all"), list) or len(form["all"]) < 2:
        raise UserError('a grammar in the published form is a JSON object with a list "all" of at least two levels')
    if form.get("ptb") is not None or "content_depth" in form:
        raise UserError("grammars of the published form with ptb or content_depth aren't layered grammars of rules")
    try:
        levels = [[symbol["children"] for symbol in level] for level in form["all"]]
        rules = _rules(levels[:-1])
        if not all(isinstance(s, int) for symbols in rules for own in symbols for rule in own for s in rule):
            raise TypeError
    except (TypeError, KeyError) as error:
        raise UserError(
            'in the published form every symbol has "children": lists of symbol numbers, null at the last level'
        ) from error
    return Grammar(rules, len(levels[-1]), _spelling(form) if "content_map" in form else ())


def _spelling(form: dict[str, Any]) -> Spelling:
    linear = _LINEAR in str(form.get("multi_vocab", ""))
    try:
        return tuple(
            tuple((int(token), i if linear else 1) for i, token in enumerate(tokens, start=1))
            for tokens in form["content_map"]
        )
    except (TypeError, ValueError) as error:
        raise UserError('in the published form "content_map" lists the tokens of each terminal') from error


def _column(n: int) -> str:
    """The name of a spreadsheet's column n, from 0: A to Z, AA, AB, ..."""
    name = ""
    while n >= 0:
        name = chr(ord("A") + n % 26) + name
        n = n // 26 - 1
    return name


def write(grammar: Grammar) -> str:
    """The grammar in the published JSON form. Raises UserError for spellings that the form can't express."""
    implicit = grammar.spelling != tuple(((t + 1, 1),) for t in range(grammar.terminals))
    tokens = grammar.tokens if implicit else grammar.terminals
    # symbols are numbered from the last level up; three numbers after the tokens stay free
    number = tokens + 3 if implicit else 0
    idx: list[list[int]] = []
    for size in reversed(grammar.sizes):
        idx.insert(0, list(range(number + 1, number + size + 1)))
        number += size + (3 if len(idx) == 1 and not implicit else 0)
    lengths = [len(rule) for symbols in grammar.rules for rules in symbols for rule in rules]
    degrees = [len(rules) for symbols in grammar.rules for rules in symbols]
    per_level = [[rule for rules in symbols for rule in rules] for symbols in grammar.rules]
    form: dict[str, Any] = {
        "depth": grammar.depth,
        "num_sym": grammar.terminals,
        "vocab_size": tokens,
        "deg_min": min(degrees),
        "deg_max": max(degrees),
        "len_min": min(lengths),
        "len_max": max(lengths),
        "num_sym_mode": list(grammar.sizes),
        "disallow_duplicate_sym": all(len(set(rule)) == len(rule) for rules in per_level for rule in rules),
        "disallow_duplicate_seq": all(len(set(rules)) == len(rules) for rules in per_level),
        "eos_token": tokens + 1,
        "mask_token": tokens + 2,
        "sep_token": tokens + 3,
        "sizes": [*grammar.sizes, tokens] if implicit else list(grammar.sizes),
        "idx": idx,
    }
    if implicit:
        weights = {tuple(weight for _, weight in row) for row in grammar.spelling}
        if all(set(row) == {1} for row in weights):
            form["multi_vocab"] = "uniform"
        elif all(row == tuple(range(1, len(row) + 1)) for row in weights):
            form["multi_vocab"] = _LINEAR
        else:
            raise UserError("the published form knows only spellings with equal weights or weights 1, 2, 3, ...")
        form["content_map"] = [[token for token, _ in row] for row in grammar.spelling]
    form["all"] = [
        [
            {
                "depth": depth,
                "id": own,
                "name": _column(own + 25),
                "children": grammar.rules[depth][symbol] if depth < grammar.depth else None,
            }
            for symbol, own in enumerate(level)
        ]
        for depth, level in enumerate(idx)
    ]
    form["count"] = number
    return json.dumps(form)
