"""The command line as people and programs use it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from physlm import cli, steps

TINY = """
apiVersion: physlm/v1
kind: Experiment
name: tiny
question: Does it run?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1}
training: {batch_size: 8, optimizer: {lr: 1e-2}}
vary:
  model.width: [8, 16]
  training.exposures: [10, 20]
seeds: [0, 1]
measure: [knowledge_bits, loss]
"""


def start(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as people start it."""
    command = [sys.executable, "-m", "physlm.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def physlm(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, which has imported everything already."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["physlm", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laptop")
    (path / "tiny.yaml").write_text(TINY)
    return path


@pytest.fixture(scope="module")
def first(folder: Path) -> subprocess.CompletedProcess[str]:
    return start("run", "tiny.yaml", folder=folder)


@pytest.mark.slow
def test_a_run_ends_with_its_page(folder: Path, first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stderr
    page = Path(first.stdout.split("page: ")[1].strip())
    assert page.is_relative_to(folder)
    assert "Does it run?" in page.read_text()
    assert "train: 100 %" in first.stderr


@pytest.mark.slow
def test_the_second_run_trains_nothing_and_says_so(folder: Path, first: subprocess.CompletedProcess[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("physlm-store/runs/**/*") if path.is_file()}
    again = physlm("run", "tiny.yaml", folder=folder)
    assert again.returncode == 0
    assert "nothing to train: all 8 runs are in the store" in again.stderr
    assert again.stdout == first.stdout
    after = {path: path.stat().st_mtime_ns for path in folder.glob("physlm-store/runs/**/*") if path.is_file()}
    assert after == before


@pytest.mark.slow
def test_train_stops_after_training_and_run_goes_on(folder: Path) -> None:
    """With two ranks, under torchrun; the figures are those of the store."""
    (folder / "trained.yaml").write_text(TINY.replace("name: tiny", "name: trained").replace("[8, 16]", "[8]"))
    result = physlm("train", "trained.yaml", "--store", "trained", "--nproc", "2", "--json", folder=folder)
    assert result.returncode == 0, result.stderr
    totals = json.loads(result.stdout)
    assert totals["runs"] == 4
    assert totals["diverged"] == 0
    assert totals["tokens"] == 2 * (10 + 20) * 60 * 8
    assert len(list(folder.glob("trained/runs/*/trained.json"))) == 4
    assert not list(folder.glob("trained/**/observations.parquet"))
    again = physlm("train", "trained.yaml", "--store", "trained", folder=folder)
    assert "nothing to train: all 4 runs are in the store" in again.stderr
    assert "4 runs are trained: 28,800 tokens" in again.stdout


@pytest.mark.slow
def test_one_more_size_trains_that_size_alone(folder: Path, first: subprocess.CompletedProcess[str]) -> None:
    (folder / "more.yaml").write_text(TINY.replace("[8, 16]", "[8, 16, 12]"))
    before = {path.name for path in folder.glob("physlm-store/runs/*")}
    result = physlm("run", "more.yaml", "--json", folder=folder)
    assert result.returncode == 0, result.stderr
    fresh = {path.name for path in folder.glob("physlm-store/runs/*")} - before
    assert len(fresh) == 4
    widths = {json.loads((folder / f"physlm-store/runs/{run}/run.json").read_text())["model"]["width"] for run in fresh}
    assert widths == {12}


@pytest.mark.slow
def test_json_is_all_that_is_on_standard_output(folder: Path, first: subprocess.CompletedProcess[str]) -> None:
    result = physlm("run", "tiny.yaml", "--json", folder=folder)
    document = json.loads(result.stdout)
    assert document["experiment"] == "tiny"
    assert Path(document["report"]).exists()
    assert result.stderr == ""


@pytest.mark.slow
def test_measures_and_probes_are_taken_from_trained_models_alone(
    folder: Path, first: subprocess.CompletedProcess[str]
) -> None:
    (folder / "probed.yaml").write_text(TINY.replace("measure:", "probe: [linear]\nmeasure:"))
    measured = physlm("measure", "probed.yaml", "--json", folder=folder)
    assert measured.returncode == 0, measured.stderr
    names = {row["measure"] for row in json.loads(measured.stdout)["observations"]}
    assert {"loss", "bits_per_parameter"} <= names
    probed = physlm("probe", "probed.yaml", "--json", folder=folder)
    assert probed.returncode == 0, probed.stderr
    rows = json.loads(probed.stdout)["observations"]
    assert {row["measure"] for row in rows} >= {"probe.linear.part"}
    assert len({row["run_id"] for row in rows}) == 8
    written = {path: path.stat().st_mtime_ns for path in folder.glob("physlm-store/observations/probe-linear-*/*")}
    assert written
    again = physlm("probe", "probed.yaml", folder=folder)
    assert "probe.linear.part" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_what_is_not_trained_or_not_asked_for_is_not_probed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    unasked = physlm("probe", "tiny.yaml", folder=tmp_path)
    assert unasked.returncode == 2
    assert "probe: names no probe; known are depth, linear" in unasked.stderr
    (tmp_path / "probed.yaml").write_text(TINY.replace("measure:", "probe: [linear]\nmeasure:"))
    untrained = physlm("probe", "probed.yaml", folder=tmp_path)
    assert untrained.returncode == 2
    assert "8 of 8 runs are not trained there; physlm run trains them" in untrained.stderr
    (tmp_path / "unsuited.yaml").write_text(TINY.replace("measure:", "probe: [position_diagonal]\nmeasure:"))
    unsuited = physlm("plan", "unsuited.yaml", folder=tmp_path)
    assert unsuited.returncode == 2
    assert "probe: position_diagonal can't be trained: biod has no labels of spans" in unsuited.stderr


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    result = physlm("plan", "tiny.yaml", "--json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["runs"] == 8
    assert plan["conditions"] == 4
    assert plan["tokens"] == 2 * 2 * 60 * (10 + 20) * 8
    assert all(seconds > 0 for seconds in plan["seconds"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_plan_reads_well(folder: Path) -> None:
    result = physlm("plan", "tiny.yaml", folder=folder)
    for part in ("Does it run?", "8 (4 conditions, 0 runs held out)", "time on this machine", "tokens"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("people: 60", "peple: 60", "tiny.yaml: task.peple: unknown key; did you mean 'people'?"),
        ("[knowledge_bits, loss]", "[knowledge]", "tiny.yaml: measure: 'knowledge' is not known; did you mean"),
        ("measure:", "laws: [capacty]\nmeasure:", "tiny.yaml: laws: 'capacty' is not known; did you mean 'capacity'?"),
        ("width: [8, 16]", "width: [8, 15]", "tiny.yaml: model.width: 15 can't be split into 1 heads of even size"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_bad_file_ends_with_code_2_and_nothing_written(
    command: str, old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace(old, new))
    result = physlm(command, "tiny.yaml", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {sentence}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.slow
def test_an_address_that_is_no_store_is_refused(folder: Path) -> None:
    result = start("run", "tiny.yaml", "--store", "ftp://host/x", folder=folder)
    assert result.returncode == 2
    assert "must be a folder's path, file:///a/path or s3://bucket/prefix, not ftp://" in result.stderr


@pytest.mark.parametrize("command", ["run", "submit", *steps.registry])
def test_help_has_an_example(command: str, folder: Path) -> None:
    assert f"Example: physlm {command} " in physlm(command, "--help", folder=folder).stdout


@pytest.mark.slow
def test_nothing_asked_shows_the_help(folder: Path) -> None:
    assert "Example: physlm run" in start(folder=folder).stdout
