"""Data set cards: what the data are, as JSON for programs and as Markdown for people."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Mapping
from math import log
from typing import Any

import physlm
from physlm import docstrings
from physlm.runs import world_id
from physlm.store import layout
from physlm.store.store import Store
from physlm.tasks.capabilities import Asks, HasEntropy, Probed, supports
from physlm.tasks.task import Stream, Task

LICENCE = "Apache-2.0"


def language(task: Task[Any]) -> dict[str, Any]:
    """What a language is: knobs, axes, sizes, entropy floor in nats, chance."""
    return {
        "world_id": world_id(task.config),
        "task": task.config.model_dump(mode="json"),
        "version": task.revision,
        "description": title(type(task)),
        "axes": [{"knob": axis.knob, "kind": axis.kind, "meaning": axis.meaning} for axis in task.axes],
        "vocabulary": len(task.vocabulary),
        "used_tokens": task.used_tokens,
        "separator": task.separator,
        "max_length": task.max_length,
        "population": task.population,
        "entropy_floor_nats": task.floor() if supports(task, HasEntropy) else None,
        "chance": task.chance if supports(task, Asks) else None,
        "probe_targets": dict(task.probe_targets) if supports(task, Probed) else {},
        "licence": LICENCE,
        "made_by": physlm.__version__,
    }


def documentation(task: type[Task[Any]]) -> str:
    """What the task's file says of it."""
    return docstrings.of_module(task.__module__)


def title(task: type[Task[Any]]) -> str:
    """The first paragraph of that."""
    return documentation(task).split("\n\n")[0].replace("\n", " ")


def command(task: Task[Any], *more: str) -> str:
    """The command that writes the data anew, into any store."""
    knobs = task.config.model_dump(mode="json", exclude_defaults=True)
    sets = [f"--set {shlex.quote(f'{k}={json.dumps(v)}')}" for k, v in knobs.items() if k != "type"]
    return " ".join(["physlm tasks write", task.name, *sets, *more, "--store ADDRESS"])


def stream_options(stream: Stream) -> str:
    """The stream in the terms of that command."""
    return f"--split {stream.split} --seed {stream.seed}"


def put(store: Store, folder: str, card: Mapping[str, Any]) -> None:
    """Store a card in both forms, the JSON last: it is the sign that all is there."""
    store.put(layout.card_text_key(folder), markdown(card).encode())
    store.put_json(layout.card_key(folder), card)


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people, with the header that data set hubs read."""
    task = card["task"]
    knobs = [f"| `{knob}` | `{json.dumps(value)}` |" for knob, value in task.items() if knob != "type"]
    lines = [
        "---",
        f"license: {card['licence'].lower()}",
        f"pretty_name: {json.dumps(task['type'] + ' ' + card['world_id'])}",
        "tags: [synthetic, physlm]",
        "---",
        "",
        f"# {task['type']}, world {card['world_id']}",
        "",
        card["description"],
        "",
        *_contents(card),
        "## Language",
        "",
        "| knob | value |",
        "| --- | --- |",
        *knobs,
        "",
        *(f"- {line}" for line in figures(card)),
        "",
        "Axes of difficulty:",
        "",
        *(f"- `{axis['knob']}` ({axis['kind']}): {axis['meaning']}" for axis in card["axes"]),
        "",
        "## Reproduce",
        "",
        f"Version {card['version']} of the task, physlm {card['made_by']}; equal knobs give equal data:",
        "",
        "```console",
        f"$ {card['reproduce']}",
        "```",
        "",
        f"Licence: {card['licence']}, as the generator's.",
        "",
    ]
    return "\n".join(lines)


def figures(card: Mapping[str, Any]) -> list[str]:
    """Sizes, floor, chance and labels of a language in words."""
    lines = [
        f"vocabulary of {card['vocabulary']:,} tokens, {card['used_tokens']:,} in use; token {card['separator']} "
        "separates instances",
        f"an instance has at most {card['max_length']:,} tokens",
    ]
    if card["population"] is not None:
        lines.append(f"{card['population']:,} instances, shown over and over")
    if card["entropy_floor_nats"] is not None:
        nats = card["entropy_floor_nats"]
        lines.append(f"entropy floor of an instance: {nats:.4g} nats ({nats / log(2):.4g} bits)")
    if card["chance"] is not None:
        lines.append(f"accuracy of the best answer that ignores the question: {card['chance']:.4g}")
    if card["probe_targets"]:
        targets = ", ".join(f"{name} ({classes:,} classes)" for name, classes in card["probe_targets"].items())
        lines.append(f"ground truth for probes: {targets}")
    return lines


def _contents(card: Mapping[str, Any]) -> list[str]:
    if "shards" in card:
        return [
            f"Instances {0:,} to {card['instances'] - 1:,} of the stream {card['stream']['split']}, seed "
            f"{card['stream']['seed']}: {card['tokens']:,} tokens, {card['trained']:,} of them trained on, in "
            f"{len(card['shards']):,} shards of safetensors (tokens, offsets, loss"
            + ("; labels beside them)." if card["labels"] else ").")
            + " The words by token are in the world's vocabulary.json.",
            "",
            "| file | instances | tokens | bytes | SHA-256 |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| {file['name']} | {shard['stop'] - shard['first']:,} | {shard['tokens']:,} | {file['bytes']:,} "
                f"| {file['sha256']} |"
                for shard in card["shards"]
                for file in (shard["data"], shard["labels"])
                if file
            ),
            "",
        ]
    rows = [
        f"| evaluations/{name}.parquet | {_shown(entry['overrides'])} | {entry['instances']:,} | {entry['bytes']:,} "
        f"| {entry['sha256']} |"
        for name, entry in card["evaluations"].items()
    ]
    lines = [f"The words by token in vocabulary.json; SHA-256 {card['vocabulary_sha256']}.", ""]
    if card["facts"]:
        arrays = ", ".join(f"`{name}` {fact['dtype']} {fact['shape']}" for name, fact in card["facts"].items())
        lines += [f"Hidden facts in facts.safetensors: {arrays}; SHA-256 of their content {card['sha256']}.", ""]
    if rows:
        columns = inspect.cleandoc(
            """Evaluation sets, from the stream test of seed 0: prompt, answer and their texts, and the truth that
            decides whether any other answer is right, as JSON."""
        ).replace("\n", " ")
        lines += [columns, "", "| file | knobs | instances | bytes | SHA-256 |", "| --- | --- | --- | --- | --- |"]
        lines += [*rows, ""]
    return lines


def _shown(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"`{knob}={json.dumps(value)}`" for knob, value in overrides.items()) or "as below"
