"""`physlm tasks ...` as people and programs use it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from physlm import cli, grammars
from physlm.cli import console
from physlm.cli.app import app
from physlm.errors import StoreError, UserError
from physlm.store.local import LocalStore
from physlm.tasks import Asks, registry, supports

ASKING = [name for name, cls in registry.items() if issubclass(cls, Asks)]
ANSI = re.compile(r"\x1b\[[0-9;]*m")
every_task = pytest.mark.parametrize("name", list(registry))
every_question = pytest.mark.parametrize("name", ASKING)


def physlm(*arguments: str | Path, stdin: str | None = None) -> Result:
    """Run `physlm tasks ...` in this process; errors of the user are raised."""
    return CliRunner().invoke(app, ["tasks", *map(str, arguments)], input=stdin, catch_exceptions=False)


def ok(*arguments: str | Path) -> str:
    result = physlm(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal with colours."""
    coloured = Console(force_terminal=True, color_system="standard", highlight=False, soft_wrap=True)
    monkeypatch.setattr(console, "output", coloured)


# -- looking -----------------------------------------------------------------------------------------------------------


def test_the_list_has_every_task() -> None:
    text = ok("list")
    documents = json.loads(ok("list", "--json"))
    assert [document["name"] for document in documents] == list(registry)
    for document in documents:
        cls = registry[document["name"]]
        assert f"{document['name']}  {document['description']}"[:60] in text
        assert document["presets"] == list(cls.presets)
        assert document["asks"] == (document["name"] in ASKING)
        assert document["knobs"].keys() == cls.config_type.model_fields.keys() - {"type"}


@pytest.mark.slow
@every_task
def test_show_tells_knobs_axes_presets_and_figures(name: str) -> None:
    text = ok("show", name, "--preset", "tiny")
    document = json.loads(ok("show", name, "--preset", "tiny", "--json"))
    cls = registry[name]
    task = cls(cls.config_type.model_validate(cls.presets["tiny"]))
    assert document["task"] == task.config.model_dump(mode="json")
    assert document["chance"] == (task.chance if supports(task, Asks) else None)
    assert document["evaluations"].keys() == (task.evaluations if supports(task, Asks) else {}).keys()
    for word in (*cls.config_type.model_fields.keys() - {"type"}, *cls.presets, document["world_id"]):
        assert word in text
    assert f"{len(task.vocabulary):,} tokens" in text


@every_task
def test_samples_are_the_stream_in_rows(name: str) -> None:
    documents = rows(ok("sample", name, "--preset", "tiny", "-n", "3", "--first", "5", "--seed", "2", "--json"))
    cls = registry[name]
    task = cls(cls.config_type.model_validate(cls.presets["tiny"]))
    assert [document["index"] for document in documents] == [5, 6, 7]
    for document in documents:
        assert document["stream"] == {"split": "test", "seed": 2}
        assert task.parse(document["text"]).tolist() == document["tokens"]
        assert len(document["loss"]) == len(document["tokens"])
        assert all(len(label) == len(document["tokens"]) for label in document["labels"].values())
        if name in ASKING:
            assert {"prompt", "answer", "prompt_text", "answer_text", "truth"} <= document.keys()


@pytest.mark.slow
@every_task
def test_elsewhere_than_on_a_terminal_samples_are_aligned_rows(name: str) -> None:
    lines = ok("sample", name, "--preset", "tiny", "-n", "1").splitlines()
    (document,) = rows(ok("sample", name, "--preset", "tiny", "-n", "1", "--json"))
    shown = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert shown["loss"] == [str(x) for x in document["loss"]]
    for label, values in document["labels"].items():
        if label != "answer":  # mqar, depo: the row of the answer's text comes after it
            assert shown[label] == [str(x) for x in values]
    assert not any(ANSI.search(line) for line in lines)


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_colours_for_the_mask_and_the_answer_with_a_legend() -> None:
    legend, text = ok("sample", "copying", "--preset", "tiny", "-n", "1").splitlines()
    (document,) = rows(ok("sample", "copying", "--preset", "tiny", "-n", "1", "--json"))
    assert ANSI.sub("", legend).startswith("legend: trained on  not trained on  the answer that is asked for")
    shown = re.findall(r"\x1b\[([0-9;]*)m(\S+)\x1b\[0m", text)
    assert [word for _, word in shown] == document["text"].split()
    start = len(document["prompt"])
    assert {style for style, _ in shown[start:]} == {"1;32"}
    expected = ["1" if trained else "2" for trained in document["loss"][:start]]
    assert [style for style, _ in shown[:start]] == expected


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_colours_for_the_classes_of_a_label() -> None:
    legend, text = ok("sample", "cfg", "-n", "1", "--label", "symbol_2").splitlines()
    (document,) = rows(ok("sample", "cfg", "-n", "1", "--json"))
    key = {word: style for style, word in re.findall(r"\x1b\[([0-9;]*)m(none|\d+)\x1b\[0m", legend)}
    shown = re.findall(r"\x1b\[([0-9;]*)m(\S+)\x1b\[0m", text)
    labels = ["none" if value < 0 else str(value) for value in document["labels"]["symbol_2"]]
    assert [style for style, _ in shown] == [key[label] for label in labels]
    assert len(set(key.values())) == len(key) >= 3


@pytest.mark.slow
@every_task
def test_stats_agree_with_what_is_stated(name: str) -> None:
    document = json.loads(ok("stats", name, "--preset", "tiny", "-n", "300", "--json"))
    figures = {figure["name"]: figure for figure in document["figures"]}
    assert all(figure["agrees"] is not False for figure in document["figures"])
    assert figures["length"]["n"] == 300
    assert 0 < figures["share trained on"]["mean"] <= 1
    if name in ASKING:
        assert figures["answers that verify"]["mean"] == 1
    cls = registry[name]
    task = cls(cls.config_type.model_validate(cls.presets["tiny"]))
    measured = [(axis["knob"], axis["length"]["mean"]) for axis in document["axes"]]
    assert [knob for knob, _ in measured] == [axis.knob for axis in task.axes if axis.harder for _ in range(2)]


def test_stats_read_well() -> None:
    text = ok("stats", "cfg", "--preset", "cfg3b", "-n", "200")
    for pattern in (r"length +27\d\.\d+ ± \d", r"entropy +11\d\.\d+ ± \S+ +nats per instance +117\.\d+ +agrees"):
        assert re.search(pattern, text), text
    assert "DISAGREES" not in text


# -- verifying ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def questions(tmp_path: Path) -> Callable[..., Path]:
    """Write the questions of a task to a file, with completions in them if given."""

    def write(name: str, *completions: Any, **knobs: str) -> Path:
        lines = rows(ok("sample", name, "--preset", "tiny", "-n", str(max(1, len(completions))), "--json"))
        for line, completion in zip(lines, completions, strict=False):
            line["completion"] = line["answer"] if completion == "right" else completion
        path = tmp_path / "questions.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


@every_question
def test_right_answers_verify(name: str, questions: Callable[..., Path]) -> None:
    result = physlm("verify", name, questions(name, "right", "right"))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "2 of 2 right (100.0%)")


@pytest.mark.slow
@every_question
def test_wrong_completions_of_any_kind_are_told_why(name: str, questions: Callable[..., Path]) -> None:
    path = questions(name, "right", [], "no such words", [-1, 10**30], [0] * 100_000)
    result = physlm("verify", name, path)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0] == "line 1: right"
    assert all(re.match(rf"line {i}: wrong: \S", lines[i - 1]) for i in range(2, 6))
    assert lines[-1] == "1 of 5 right (20.0%)"
    result = physlm("verify", name, path, "--json")
    verdicts = rows(result.stdout)
    assert result.exit_code == 1
    assert [verdict["correct"] for verdict in verdicts] == [True, False, False, False, False]
    assert [verdict["line"] for verdict in verdicts] == [1, 2, 3, 4, 5]


def test_a_line_without_completion_is_judged_by_its_answer(questions: Callable[..., Path]) -> None:
    assert physlm("verify", "mano", questions("mano")).exit_code == 0


def test_completions_may_lie_beside_the_questions(questions: Callable[..., Path], tmp_path: Path) -> None:
    path = questions("mano", "right", "right", "right")
    texts = [row["answer_text"] for row in rows(path.read_text())]
    beside = tmp_path / "answers.txt"
    beside.write_text("\n".join([texts[0], "oops", texts[2]]) + "\n")
    result = physlm("verify", "mano", path, "--completions", beside)
    assert result.exit_code == 1
    assert [line.partition(": ")[2][:5] for line in result.stdout.splitlines()[:3]] == ["right", "wrong", "right"]
    for text, message in [("\n".join(texts[:2]), "line 3: there is no completion"), ("a\n" * 4, "in line 4 has none")]:
        beside.write_text(text)
        with pytest.raises(UserError, match=message):
            physlm("verify", "mano", path, "--completions", beside)


def test_questions_may_come_from_standard_input_and_of_several_languages() -> None:
    lines = [ok("sample", "cfg", "-n", "2", "--set", f"cut={cut}", "--json") for cut in (0, 4)]
    result = physlm("verify", "cfg", "-", stdin="\n".join(lines))
    assert result.exit_code == 0
    assert "4 of 4 right" in result.stdout


def test_knobs_of_bare_lines_come_from_the_options() -> None:
    (row,) = rows(ok("sample", "mano", "--preset", "tiny", "-n", "1", "--json"))
    bare = json.dumps({"index": row["index"], "prompt": row["prompt_text"], "completion": row["answer_text"]})
    assert physlm("verify", "mano", "-", "--preset", "tiny", stdin=bare).exit_code == 0
    with pytest.raises(UserError, match=r"line 1: its prompt isn't that of instance 0 .* another version of physlm"):
        physlm("verify", "mano", "-", stdin=bare)


LINE = {"index": 0, "completion": [1]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: must be a JSON object"),
        ("[" * 100_000, "line 1: must be a JSON object"),
        ("7", "line 1: must be a JSON object"),
        ("{}", "line 1: index must be the question's place"),
        (json.dumps(LINE | {"index": -1}), "line 1: index must be"),
        (json.dumps(LINE | {"index": 10**30}), "line 1: index must be"),
        (json.dumps(LINE | {"index": True}), "line 1: index must be"),
        (json.dumps({"index": 0}), "line 1: has neither completion nor answer"),
        (json.dumps(LINE | {"stream": {"split": "dev", "seed": 0}}), "line 1: stream must be like"),
        (json.dumps(LINE | {"stream": 3}), "line 1: stream must be like"),
        (json.dumps(LINE | {"task": {"type": "cfg"}}), "line 1: task must be the knobs of mano"),
        (json.dumps(LINE | {"task": {"type": "mano", "modulu": 3}}), "line 1: task.modulu: unknown key; did you mean"),
        (json.dumps(LINE | {"completion": [0.5]}), "line 1: completion must be a list of tokens"),
        (json.dumps(LINE | {"completion": {"a": 1}}), "line 1: completion must be a list of tokens"),
        (json.dumps(LINE | {"prompt": 5}), "line 1: prompt must be a list of tokens"),
        ("\n\n", "has no lines to judge"),
    ],
)
def test_lines_that_are_no_questions_are_refused(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        physlm("verify", "mano", "-", stdin=line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        physlm("verify", "mano", tmp_path / "none.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        physlm("verify", "mano", tmp_path / "binary")


def test_a_task_without_questions_verifies_nothing(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("{}\n")
    for name in set(registry) - set(ASKING):
        with pytest.raises(UserError, match=f"{name} asks no questions"):
            physlm("verify", name, tmp_path / "lines")


# -- writing -----------------------------------------------------------------------------------------------------------


def test_write_stores_a_world_and_then_a_data_set(tmp_path: Path) -> None:
    text = ok("write", "mano", "--preset", "tiny", "--store", tmp_path)
    assert re.fullmatch(rf"card: {tmp_path}/worlds/\w+/card.md\n", text)
    document = json.loads(ok("write", "mano", "--preset", "tiny", "--tokens", "1e3", "--store", tmp_path, "--json"))
    assert document["card"]["tokens"] >= 1000
    assert f"{document['key']}/card.json" in list(LocalStore(tmp_path).list())
    text = ok("write", "mano", "--preset", "tiny", "-n", "20", "--labels", "--store", tmp_path)
    assert text.startswith("20 instances, ")


def test_the_command_on_the_card_writes_the_same(tmp_path: Path) -> None:
    grid = ["write", "cfg", "--set", "sizes=[1,2,2]", "--set", "implicit=disjoint", "--split", "test", "-n", "9"]
    first = json.loads(ok(*grid, "--store", tmp_path / "a", "--json"))
    command = shlex.split(first["card"]["reproduce"].replace("ADDRESS", str(tmp_path / "b")))
    assert command[:2] == ["physlm", "tasks"]
    second = json.loads(ok(*command[2:], "--json"))
    assert (second["key"], second["card"]) == (first["key"], first["card"])


@pytest.mark.slow
@pytest.mark.parametrize("labels", [[], ["--labels"]])
def test_what_is_written_is_read_as_tokens_or_text(labels: list[str], tmp_path: Path) -> None:
    written = ["write", "mano", "--preset", "tiny", "-n", "600", "--split", "test", *labels, "--store", tmp_path]
    key = json.loads(ok(*written, "--json"))["key"]
    expected = rows(ok("sample", "mano", "--preset", "tiny", "-n", "600", "--json"))
    kept = ["index", "tokens", "loss", *(["labels"] if labels else [])]
    assert rows(ok("read", key, "--store", tmp_path)) == [{name: row[name] for name in kept} for row in expected]
    texts = ok("read", f"{key}/card.md", "--store", tmp_path, "--text", "--first", "250", "-n", "300").splitlines()
    assert texts == [row["text"] for row in expected[250:550]]
    with pytest.raises(StoreError, match=r"there is no object worlds/x/card\.json"):
        physlm("read", "worlds/x", "--store", tmp_path)


def test_knobs_may_lie_in_files(tmp_path: Path) -> None:
    """The published form of a grammar, for instance."""
    (tmp_path / "own.json").write_text(grammars.write(grammars.published("cfg3h")))
    shown = [
        json.loads(ok("show", "cfg", *options, "--json"))
        for options in (["--set", f"rules=@{tmp_path}/own.json"], ["--set", "grammar=cfg3h"])
    ]
    assert shown[0]["task"]["rules"] == json.loads(json.dumps(grammars.published("cfg3h").rules))
    assert shown[0]["entropy_floor_nats"] == shown[1]["entropy_floor_nats"]
    (tmp_path / "binary").write_bytes(b"\xff")
    for file, message in [("none", "No such file"), ("binary", "not UTF-8 text")]:
        with pytest.raises(UserError, match=message):
            physlm("show", "cfg", "--set", f"rules=@{tmp_path}/{file}")


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "mnao"], "task.type: 'mnao' is not known; did you mean 'mano'?"),
        (["sample", "mano", "--preset", "huge"], "mano has no preset 'huge'; there are tiny, mano_10"),
        (["sample", "mano", "--set", "modulus"], "--set modulus: must be KNOB=VALUE"),
        (["sample", "mano", "--set", "modulu=3"], "task.modulu: unknown key; did you mean 'modulus'?"),
        (["sample", "mano", "--set", "modulus=[1"], "the value is neither a number, a word nor a list"),
        (["sample", "mano", "--set", "modulus=1"], "task.modulus: 1 is not valid: input should be greater than"),
        (["sample", "mano", "--split", "dev"], "--split dev: must be one of train, validation, test"),
        (["sample", "mano", "--label", "nece"], "mano has no label 'nece'; there are value, operations, ended"),
        (["write", "mano", "-n", "3", "--tokens", "3"], "give one of them"),
    ],
)
def test_mistakes_are_told_in_one_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    if arguments[0] == "write":
        arguments = [*arguments, "--store", str(tmp_path / "store")]
    with pytest.raises(UserError) as caught:
        physlm(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_a_mistake_ends_with_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["physlm", "tasks", "show", "nothing"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_wrong_answer_ends_the_process_with_code_1() -> None:
    line = json.dumps({"index": 0, "completion": []})
    command = [sys.executable, "-m", "physlm.cli", "tasks", "verify", "mano", "-"]
    done = subprocess.run(command, input=line, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["list", "show", "sample", "verify", "stats", "write", "read"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: physlm tasks {'sample mano --json' if command == 'verify' else command}" in ok(command, "--help")
