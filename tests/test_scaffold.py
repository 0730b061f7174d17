"""`make new` writes files that work as they are, and refuses what can't be one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from physlm import scaffold
from physlm.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the folders of parts and nothing in them."""
    for kind in scaffold.KINDS.values():
        (tmp_path / kind.folder).mkdir(parents=True, exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_a_new_part_is_one_file_with_its_name(kind: str, package: Path) -> None:
    path = scaffold.write(kind, "broken_power", package)
    assert [file for file in package.rglob("*") if file.is_file()] == [path]
    assert path == package / scaffold.KINDS[kind].folder / "broken_power.py"
    text = path.read_text()
    compile(text, str(path), "exec")
    assert "class BrokenPower(" in text
    assert '"broken_power"' in text
    assert (ROOT / scaffold.KINDS[kind].test).exists()


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("lwa", "broken_power", "no kind of part 'lwa'; did you mean 'law'"),
        ("house", "broken_power", "valid are law, measure, mixer, mlp, probe, step, task"),
        ("law", "BrokenPower", "'BrokenPower' can't be the name of a law: use small letters"),
        ("law", "class", "'class' can't be the name"),
        ("law", "../law", "can't be the name"),
        ("law", "", "can't be the name"),
        ("probe", "p", "there is a probe 'p' already, in .*p_probe.py"),
        ("law", "capacity", "there is a law 'capacity' already"),
    ],
)
def test_what_can_be_no_part_is_refused_and_nothing_written(kind: str, name: str, sentence: str, package: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        scaffold.write(kind, name, package)
    assert not [file for file in package.rglob("*") if file.is_file()]


def test_an_existing_file_is_left_as_it_is(package: Path) -> None:
    path = package / "laws/mine.py"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"mine\.py exists already"):
        scaffold.write("law", "mine", package)
    assert path.read_text() == "mine"


def test_the_command_refuses_with_one_sentence_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scaffold.main(["lwa", "broken_power"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: there is no kind of part 'lwa'; did you mean 'law'?\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with a new part of each kind, written by the command."""
    root = tmp_path_factory.mktemp("copy")
    caches = shutil.ignore_patterns("__pycache__", "benchmarks")
    for folder in ("platform", "components", "pipelines", "tests", "docs"):
        shutil.copytree(ROOT / folder, root / folder, ignore=caches)
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, root)
    for kind, name in NEW.items():
        told = run(root, sys.executable, "-m", "physlm.scaffold", kind, name)
        assert f"wrote platform/physlm/{scaffold.KINDS[kind].folder}/{name}.py" in told
    return root


NEW = {kind: f"newest_{kind}" for kind in scaffold.KINDS}


def run(root: Path, *command: str) -> str:
    """What a program prints that is run in the copy; it must end well."""
    paths = os.pathsep.join(str(root / folder) for folder in ("platform", "components", "pipelines"))
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_new_parts_pass_style_and_types(copy: Path) -> None:
    files = [f"platform/physlm/{scaffold.KINDS[kind].folder}/{name}.py" for kind, name in NEW.items()]
    run(copy, sys.executable, "-m", "ruff", "check", *files)
    run(copy, sys.executable, "-m", "ruff", "format", "--check", *files)
    modules = [
        option
        for file in files
        for option in ("-m", file.removeprefix("platform/").removesuffix(".py").replace("/", "."))
    ]
    run(copy, sys.executable, "-m", "mypy", "--cache-dir", str(copy / "cache"), *modules)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", NEW)
def test_a_new_part_passes_its_contract_test(kind: str, copy: Path) -> None:
    told = run(copy, sys.executable, "-m", "pytest", "-q", scaffold.KINDS[kind].test, "-k", NEW[kind])
    assert " passed" in told, f"no test was found for the new {kind}"
