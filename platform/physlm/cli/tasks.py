"""Commands on tasks: what languages there are, what they look like, whether answers are right, data sets of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO, cast, get_args

import numpy as np
import typer
import yaml
from pydantic_core import to_jsonable_python
from rich.table import Table
from rich.text import Text

from physlm import runs, tasks
from physlm.cli import console, rendering
from physlm.cli.arguments import DEFAULT_STORE, Json, StoreOption
from physlm.datasets import answers, cards, evaluations, open_dataset, statistics, write_dataset, write_world
from physlm.errors import UserError
from physlm.steps.events import Event
from physlm.store import layout, open_store
from physlm.tasks import task as contract
from physlm.tasks.capabilities import Asks, supports
from physlm.tasks.task import Instances, Stream, Task, TaskConfig

Name = Annotated[str, typer.Argument(metavar="TASK", help="The task's name; `physlm tasks list` shows them.")]
Preset = Annotated[str | None, typer.Option("--preset", metavar="NAME", help="Begin with these published settings.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KNOB=VALUE", help="Set a knob, on top of the preset, to a value or @FILE; may be repeated."
    ),
]
Split = Annotated[str, typer.Option("--split", help="train, validation or test: they share no draw.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the stream (the world's is a knob).")]
Lines = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, for programs.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        name="tasks",
        help="The synthetic languages: look at them, check answers, write data sets.\n\n"
        "Example: physlm tasks sample mano --preset mano_10",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("list", epilog="Example: physlm tasks list")(list_)
    group.command(epilog="Example: physlm tasks show cfg --preset cfg3f")(show)
    group.command(epilog="Example: physlm tasks sample depo --preset tiny -n 2 --label hops")(sample)
    group.command(
        epilog="Example: physlm tasks sample mano --json -n 100 > questions.jsonl; "
        "physlm tasks verify mano questions.jsonl --completions answers.txt"
    )(verify)
    group.command(epilog="Example: physlm tasks stats brevo --preset tiny -n 2000")(stats)
    group.command(epilog="Example: physlm tasks write cfg --preset cfg3b --tokens 1e8 --workers 2 --store ./data")(
        write
    )
    group.command(epilog="Example: physlm tasks read worlds/.../streams/train-0/tokens-1000 --store ./data --text")(
        read
    )
    app.add_typer(group)


def _build(name: str, preset: str | None, settings: Sequence[str] | None) -> Task[Any]:
    """The task that the options describe. Raises UserError for what isn't known."""
    cls = tasks.registry.get(name)
    knobs: dict[str, Any] = {}
    if cls is not None and preset is not None:
        if preset not in cls.presets:
            raise UserError(f"{name} has no preset {preset!r}; there are {', '.join(cls.presets) or 'none'}")
        knobs.update(to_jsonable_python(dict(cls.presets[preset])))
    for setting in settings or ():
        knob, equals, text = setting.partition("=")
        if not equals or not knob:
            raise UserError(f"--set {setting}: must be KNOB=VALUE, such as --set seed=1")
        if text.startswith("@"):
            with _opened(Path(text[1:])) as file:
                text = file.read()
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):  # the latter for dates that there aren't
            raise UserError(f"--set {setting}: the value is neither a number, a word nor a list like [1, 2]") from None
        inner = knobs
        *path, last = knob.split(".")
        for part in path:
            inner[part] = dict(inner[part]) if isinstance(inner.get(part), dict) else {}
            inner = inner[part]
        inner[last] = value
    return runs.language(runs.task_config({**knobs, "type": name}))


def _stream(split: str, seed: int) -> Stream:
    if split not in get_args(contract.Split):
        raise UserError(f"--split {split}: must be one of {', '.join(get_args(contract.Split))}")
    return Stream(cast(contract.Split, split), seed)


# -- list and show -----------------------------------------------------------------------------------------------------


def list_(as_json: Json = False) -> None:
    """List the tasks, each with a sentence and its presets."""
    languages = tasks.registry
    if as_json:
        console.print_json(
            [
                {
                    "name": name,
                    "description": cards.title(task),
                    "presets": list(task.presets),
                    "asks": issubclass(task, Asks),
                    "knobs": _knobs(task.config_type),
                }
                for name, task in languages.items()
            ]
        )
        return
    for name, task in languages.items():
        console.output.print(Text.assemble((name, "bold cyan"), f"  {cards.title(task)}"))
        console.output.print(Text(f"    presets: {', '.join(task.presets) or 'none'}", "dim"))


def _knobs(config: type[TaskConfig]) -> dict[str, Any]:
    """Default and description of each knob."""
    return {
        knob: {
            "default": None
            if field.is_required()
            else to_jsonable_python(field.get_default(call_default_factory=True)),
            "description": field.description,
        }
        for knob, field in config.model_fields.items()
        if knob != "type"
    }


def show(name: Name, preset: Preset = None, settings: Set = None, as_json: Json = False) -> None:
    """Show all about a task: knobs, axes of difficulty, presets, evaluations, sizes, entropy floor, chance, labels."""
    task = _build(name, preset, settings)
    document: dict[str, Any] = {
        **cards.language(task),
        "knobs": _knobs(type(task.config)),
        "presets": to_jsonable_python(task.presets),
        "evaluations": to_jsonable_python(task.evaluations if supports(task, Asks) else {}),
        "reproduce": cards.command(task),
    }
    if as_json:
        console.print_json(document)
        return
    out = console.output
    out.print(Text.assemble((name, "bold cyan"), f"  world {document['world_id']}"))
    out.print(Text(cards.documentation(type(task))))
    rows = [
        (knob, _short(document["task"][knob]), _short(entry["default"]), entry["description"])
        for knob, entry in document["knobs"].items()
    ]
    _table("knobs", ("knob", "value", "default", ""), rows)
    _table("axes of difficulty", ("knob", "kind", ""), [(a.knob, a.kind, a.meaning) for a in task.axes])
    for title in ("presets", "evaluations"):
        _table(title, ("name", "knobs"), [(key, _settings(value)) for key, value in document[title].items()])
    out.print(Text("figures", "bold"))
    for line in cards.figures(document):
        out.print(f"  {line}")


def _settings(overrides: Mapping[str, Any]) -> str:
    return " ".join(f"{knob}={_short(value)}" for knob, value in overrides.items()) or "the defaults"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    console.output.print(Text(title, "bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, column in enumerate(columns):
        table.add_column(column, style="cyan" if i == 0 else "")
    for row in rows:
        table.add_row(*row)
    console.output.print(table)


# -- sample ------------------------------------------------------------------------------------------------------------


def sample(
    name: Name,
    preset: Preset = None,
    settings: Set = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many instances.")] = 3,
    first: Annotated[int, typer.Option(min=0, max=2**62, help="Place of the first one in the stream.")] = 0,
    split: Split = "test",
    seed: Seed = 0,
    label: Annotated[
        str | None, typer.Option(metavar="NAME", help="Colour tokens by this label instead of by what they are.")
    ] = None,
    as_json: Lines = False,
) -> None:
    """Show instances: on a terminal with colours for what is trained on and asked, elsewhere with rows of numbers."""
    task = _build(name, preset, settings)
    stream = _stream(split, seed)
    for begin in range(first, first + n, 256):
        indices = np.arange(begin, min(begin + 256, first + n), dtype=np.int64)
        instances = task.sample(stream, indices)
        if label is not None and label not in instances.labels:
            raise UserError(f"{name} has no label {label!r}; there are {', '.join(instances.labels) or 'none'}")
        if begin == first and not as_json:
            rendering.print_legend(task, instances, label)
        for i, index in enumerate(indices.tolist()):
            if as_json:
                sys.stdout.write(json.dumps(_row(task, stream, instances, i, index), ensure_ascii=False) + "\n")
            else:
                rendering.print_instance(task, instances, i, label)


def _row(task: Task[Any], stream: Stream, instances: Instances, i: int, index: int) -> dict[str, Any]:
    a, b = instances.offsets[i : i + 2]
    row = {
        "task": task.config.model_dump(mode="json", exclude_defaults=True) | {"type": task.name},
        "version": task.revision,
        "stream": {"split": stream.split, "seed": stream.seed},
        "index": index,
        "text": task.text(instances[i]),
        "tokens": instances[i].tolist(),
        "loss": instances.loss[a:b].astype(int).tolist(),
        "labels": {name: values[a:b].tolist() for name, values in instances.labels.items()},
    }
    if supports(task, Asks):
        question = evaluations.row(task, instances, i, index)
        row |= {**question, "truth": json.loads(question["truth"])}
    return row


# -- verify ------------------------------------------------------------------------------------------------------------


def verify(
    name: Name,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines as `sample --json` writes them; - for standard input.")
    ],
    completions: Annotated[
        Path | None, typer.Option(help="A text file with one completion a line, for each line of FILE.")
    ] = None,
    preset: Preset = None,
    settings: Set = None,
    as_json: Lines = False,
) -> None:
    """Say for each line whether its completion is right, and if not why.

    A line's "completion" is a list of tokens or a text; without one its own "answer" is judged. --preset and --set say
    the knobs of lines that don't carry them. The command ends with code 0 if all are right, 1 if any is wrong, 2 if
    the file can't be judged.
    """
    task = _build(name, preset, settings)
    right = total = 0
    with ExitStack() as stack:
        lines = sys.stdin if file == "-" else stack.enter_context(_opened(Path(file)))
        texts = None if completions is None else stack.enter_context(_opened(completions))
        try:
            for judged in answers.judge(lines, task, texts):
                right, total = right + judged.verdict.correct, total + 1
                _print_verdict(judged, as_json)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
    if total == 0:
        raise UserError(f"{file}: has no lines to judge")
    if not as_json:
        console.output.print(Text.assemble((f"{right:,} of {total:,} right", "bold"), f" ({right / total:.1%})"))
    if right < total:
        raise typer.Exit(1)


def _print_verdict(judged: answers.Judged, as_json: bool) -> None:
    verdict = judged.verdict
    if as_json:
        line = {"line": judged.line, "index": judged.index, **dataclasses.asdict(verdict)}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif verdict.correct:
        console.output.print(Text.assemble(f"line {judged.line}: ", ("right", "green")))
    else:
        reason = console.visible(f": {verdict.reason}")
        console.output.print(Text.assemble(f"line {judged.line}: ", ("wrong", "red"), reason))


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """A text file to read. Raises UserError, inside the block too, if it can't be read or is no text."""
    try:
        with path.open(encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text") from None


# -- stats -------------------------------------------------------------------------------------------------------------


def stats(
    name: Name,
    preset: Preset = None,
    settings: Set = None,
    n: Annotated[int, typer.Option("-n", "--number", min=2, help="How many instances.")] = 1000,
    split: Split = "test",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure a sample, beside what the task states: lengths, entropy, share trained on, chance, axes of difficulty."""
    task = _build(name, preset, settings)
    result = statistics.measure(task, n, _stream(split, seed))
    if as_json:
        figures = [{**dataclasses.asdict(figure), "agrees": figure.agrees} for figure in result.figures]
        axes = [dataclasses.asdict(axis) for axis in result.axes]
        console.print_json({"task": task.config.model_dump(mode="json"), "figures": figures, "axes": axes})
        return
    told = f"  {n:,} instances of {split}, seed {seed}; ± one standard error"
    console.output.print(Text.assemble((name, "bold cyan"), told))
    rows = [(f.name, _value(f), f.unit, *_stated(f)) for f in result.figures]
    _table("sample", ("figure", "measured", "unit", "stated", ""), rows)
    _table(
        "axes, all else by default",
        ("knob", "kind", "value", "tokens", "operations of an answer"),
        [
            (a.knob, a.kind, _short(a.value), _value(a.length), _value(a.operations) if a.operations else "")
            for a in result.axes
        ],
    )


def _value(figure: statistics.Figure) -> str:
    return f"{figure.mean:,.5g} ± {figure.stderr:.2g}" if figure.stderr else f"{figure.mean:,.5g}"


def _stated(figure: statistics.Figure) -> tuple[str, str]:
    if figure.stated is None:
        return "", ""
    return f"{'at most ' if figure.bound else ''}{figure.stated:,.5g}", "agrees" if figure.agrees else "DISAGREES"


# -- write -------------------------------------------------------------------------------------------------------------


def write(
    name: Name,
    store: StoreOption = DEFAULT_STORE,
    preset: Preset = None,
    settings: Set = None,
    instances: Annotated[
        int | None, typer.Option("-n", "--instances", min=1, help="How many instances of the stream.")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(min=1, max=1e15, help="Or as many as reach so many tokens, such as 1e8.")
    ] = None,
    split: Split = "train",
    seed: Seed = 0,
    labels: Annotated[bool, typer.Option("--labels", help="Store the per-token ground truth, too.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes; they change no byte.")] = 1,
    as_json: Json = False,
) -> None:
    """Write a data set: the world, its evaluation sets with truths, and so much of a stream as token shards.

    Without an amount only the world and its evaluation sets are written. What the store already holds is kept.
    """
    task = _build(name, preset, settings)
    stream = _stream(split, seed)
    opened = open_store(store)
    if instances is None and tokens is None:
        card = write_world(opened, task.config)
        key = layout.world_folder(card["world_id"])
        size = ""
    else:
        with console.progress(quiet=as_json) as on_event:
            data = write_dataset(
                opened,
                task.config,
                stream,
                instances=instances,
                tokens=None if tokens is None else int(tokens),
                labels=labels,
                workers=workers,
                on_progress=lambda done, total: on_event(Event("write", done, total)),
            )
        card, key = dict(data.card), data.key
        size = f"{data.instances:,} instances, {data.tokens:,} tokens, {len(data.shards):,} shards; "
    if as_json:
        console.print_json({"store": opened.url, "key": key, "card": card})
    else:
        console.output.print(f"{size}card: {opened.url}/{layout.card_text_key(key)}")


def read(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Where the data set is in the store, as `write` tells.")],
    store: StoreOption = DEFAULT_STORE,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="How many instances; all if not given.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="The first instance to read.")] = 0,
    text: Annotated[bool, typer.Option("--text", help="Print texts, one a line, instead of JSON.")] = False,
) -> None:
    """Print a stored data set, checking its checksums: JSON lines of tokens, mask and labels, or plain texts."""
    data = open_dataset(open_store(store), key.removesuffix("/").removesuffix("/card.json").removesuffix("/card.md"))
    left = data.instances if n is None else n
    for batch in data.batches(256, first=first, labels=data.labelled and not text):
        for i in range(min(len(batch), left)):
            if text:
                line = data.task.text(batch[i])
            else:
                a, b = batch.offsets[i : i + 2]
                row = {"index": first, "tokens": batch[i].tolist(), "loss": batch.loss[a:b].astype(int).tolist()}
                labels = {name: values[a:b].tolist() for name, values in batch.labels.items()}
                line = json.dumps({**row, "labels": labels} if labels else row)
            sys.stdout.write(f"{line}\n")
            first += 1
        left -= len(batch)
        if left <= 0:
            return
