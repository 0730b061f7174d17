"""Adding a task, mixer, measure, probe, law or step is adding one file, and what is wrong with it is said.

Tried as a newcomer would, in a copy of the repository: the files of tests/newcomers are put where they belong, nothing
else is touched, and contract tests and an experiment run there. Then mistakes are made in them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEWCOMERS = Path(__file__).parent / "newcomers"
COPIED = ("platform", "components", "pipelines", "tests", "docs", "pyproject.toml", "README.md")
PLACE = re.compile(r"^# Belongs to (\S+)$", re.MULTILINE)

EXPERIMENT = """
apiVersion: physlm/v1
kind: Experiment
name: newcomers
question: Does a moving average sort?
task: {type: sorting, length: 3, symbols: 4}
model: {type: gpt2, mixer: ema, positions: none, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, optimizer: {lr: 1e-2}}
vary: {training.tokens: [100, 200, 400, 800, 1600, 3200, 6400, 12800]}
seeds: [0, 1]
measure: [loss, calibration]
probe: [nearest_centroid]
laws: [broken_power]
"""

CONTRACTS = {
    "task": "tests/contracts/test_task.py tests/contracts/test_task_answers.py",
    "mixer": "tests/contracts/test_model.py",
    "measure": "tests/contracts/test_measure.py",
    "probe": "tests/contracts/test_probe.py",
    "law": "tests/contracts/test_law.py tests/contracts/test_law_tables.py",
    "step": "tests/contracts/test_step.py",
}
"""The contract tests of each noun."""

MISTAKES: Mapping[str, tuple[str, str, str, str, str]] = {
    # what: noun, old text, new text, the tests that tell it (files, and -k where that is quicker), the sentence
    "a loss mask one token late": (
        "task",
        "loss[:, 2 + c.length :] = True",
        "loss[:, 3 + c.length :] = True",
        "tests/contracts/test_task_answers.py -k sorting",
        r"sorting: the loss mask leaves out token 0 of the answer to instance 0",
    ),
    "a floor of 99": (
        "task",
        "        return 0.0\n",
        "        return 99.0\n",
        "tests/contracts/test_task_answers.py -k sorting",
        r"sorting: floor\(\) is 99 nats, but the mean surprisal\(\)",
    ),
    "a chance of 0.9": (
        "task",
        "return float(ways / c.symbols**c.length)",
        "return 0.9",
        "tests/contracts/test_task_answers.py -k sorting",
        r"sorting: it states a chance of 0.9, but no answer that ignores the question comes near it",
    ),
    "a forgotten registration": (
        "law",
        "@register\n",
        "",
        "tests/test_registry.py -k registered",
        r"physlm.laws.broken_power.\w+ is not registered: put @register in front of the class",
    ),
    "a name that is taken": (
        "mixer",
        'name = "ema"',
        'name = "gla"',
        "tests/test_registry.py -k registered",
        r"two files define the mixer 'gla': .*ema.py and .*gla.py",
    ),
    "a misspelt column": (
        "law",
        'column="tokens"',
        'column="token"',
        "tests/contracts/test_law_tables.py -k broken_power",
        r"from the column 'token', which no run has; did you mean 'tokens'\?",
    ),
    "LaTeX that is another formula": (
        "law",
        r"\right)^{-s c}",
        r"\right)^{s c}",
        "tests/contracts/test_law.py -k broken_power",
        r"the LaTeX of the law broken_power isn't its formula: it gives \S+ where predict gives",
    ),
    "a misspelt parameter": (
        "law",
        "p.D_0",
        "p.D_O",
        "tests/contracts/test_law.py -k broken_power",
        r"the law broken_power has no parameter 'D_O'; did you mean 'D_0'\?",
    ),
    "a mixer that sees later tokens": (
        "mixer",
        "values.unbind(2)",
        "values.flip(2).unbind(2)",
        "tests/contracts/test_model.py -k 'ema and future'",
        r"ema.*(later|future|ahead)",
    ),
    "a wrong count of parameters": (
        "mixer",
        "parameters=width,",
        "parameters=width + 1,",
        "tests/contracts/test_model.py -k 'ema and parameter_count'",
        r"ema.*parameters",
    ),
    "a wrong unit": (
        "measure",
        '"calibration.confidence",\n                "1"',
        '"calibration.confidence",\n                "nats"',
        "tests/contracts/test_measure.py -k 'calibration and copying'",
        r"calibration.confidence.*(unit|nats)",
    ),
    "a chance that a blind model doesn't get": (
        "measure",
        "1 / m.task.used_tokens",
        "0.9",
        "tests/contracts/test_measure.py -k 'calibration and copying and chance'",
        r"calibration.confidence of copying says that chance is 0.9 .* but models that read nothing get",
    ),
    "a probe's chance that its blind twin doesn't get": (
        "probe",
        "return reading.read_tokens(self.name, decoder, sample(members, targets), solve)",
        "from dataclasses import replace\n\n"
        "        found = reading.read_tokens(self.name, decoder, sample(members, targets), solve)\n"
        "        return [[replace(o, chance=None if o.chance is None else 0.9) for o in rows] for rows in found]",
        "tests/contracts/test_probe.py -k 'nearest_centroid and blind'",
        r"says that chance is 0.900, but a model that doesn't see its tokens gets",
    ),
    "a label among a probe's features": (
        "probe",
        "            for v in range(labels.shape[1]):",
        "            features = features + 9 * labels[:, :1, 0, :, None].to(features.dtype)\n"
        "            for v in range(labels.shape[1]):",
        "tests/contracts/test_probe.py -k 'nearest_centroid and controls'",
        r"nearest_centroid reads 1.000 .* where a guess gives 0.25, in models that don't see their tokens",
    ),
    "a key that nobody writes": (
        "step",
        "layout.experiment_file_key, layout.observations_key)",
        "layout.facts_key, layout.registration_key)",
        "tests/contracts/test_step.py -k 'place or depend'",
        r"the step 'export' .* reads registration_key, which no other step writes",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the newcomers' files in their places."""
    folder = tmp_path_factory.mktemp("newcomers") / "repository"
    folder.mkdir()
    leave = shutil.ignore_patterns("newcomers", "benchmarks", ".hypothesis", "*.egg-info")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=leave)  # with compiled code, and times as they were
        else:
            shutil.copy2(source, folder / name)
    for file in sorted(NEWCOMERS.glob("*.py")):
        shutil.copy2(file, _place(folder, file.stem))
    return folder


def _place(folder: Path, noun: str) -> Path:
    found = PLACE.search((NEWCOMERS / f"{noun}.py").read_text())
    assert found is not None, f"the head of tests/newcomers/{noun}.py must say where it belongs"
    return folder / found[1]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the copy, with the copy's packages."""
    path = os.pathsep.join(str(folder / name) for name in ("platform", "components", "pipelines"))
    return subprocess.run(
        [sys.executable, "-P", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )


def check(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    files, _, chosen = tests.partition(" -k ")
    return run(
        folder, "-m", "pytest", "-q", "-p", "no:xdist", *files.split(), *(["-k", chosen.strip("'")] if chosen else [])
    )


@pytest.fixture
def mistaken(copy: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, str, str]]:
    """The copy with one mistake in it, the tests that tell it, and the sentence."""
    noun, old, new, tests, sentence = MISTAKES[request.param]
    path = _place(copy, noun)
    right = path.read_text()
    assert old in right, f"{old!r} isn't in tests/newcomers/{noun}.py: the mistake can't be made"
    path.write_text(right.replace(old, new))
    yield copy, tests, sentence
    path.write_text(right)


@pytest.mark.slow
def test_their_contract_tests_are_green_without_touching_another_file(copy: Path) -> None:
    files = " ".join(["tests/test_registry.py", *(CONTRACTS[file.stem] for file in sorted(NEWCOMERS.glob("*.py")))])
    names = " or ".join([*(_place(copy, file.stem).stem for file in sorted(NEWCOMERS.glob("*.py"))), "registered"])
    done = check(copy, f"{files} -k {names}")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_an_experiment_runs_with_all_of_them(copy: Path) -> None:
    (copy / "newcomers.yaml").write_text(EXPERIMENT)
    done = run(copy, "-m", "physlm.cli", "run", "newcomers.yaml", "--processes", "1")
    assert "page: " in done.stdout, done.stderr
    (folder,) = copy.glob("physlm-store/experiments/newcomers/*")
    page = (folder / "report.html").read_text()
    for shown in ("calibration", "nearest", "broken_power"):
        assert shown in page, f"the page says nothing of {shown}"
    assert (folder / "observations.csv").read_text().count("\n") > 16
    told = run(copy, "-m", "physlm.cli", "--help").stdout
    assert re.search(r"^\W*export ", told, re.MULTILINE), told


@pytest.mark.slow
@pytest.mark.parametrize("mistaken", MISTAKES, indirect=True)
def test_a_mistake_is_told_in_a_sentence(mistaken: tuple[Path, str, str]) -> None:
    folder, tests, sentence = mistaken
    done = check(folder, f"{tests}")
    assert done.returncode != 0, f"{tests} passes in spite of the mistake"
    assert re.search(sentence, done.stdout + done.stderr), done.stdout[-5000:] + done.stderr[-2000:]
