"""Laws that a fit would refuse whatever is observed are refused by the plan, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from physlm import experiment as experiments
from physlm import laws, steps
from physlm.errors import ExperimentError
from physlm.laws.variables import Variable
from physlm.steps.plan import Plan
from physlm.store import LocalStore

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: laws
question: Can this law be told from these runs?
task: {type: biod, people: 20, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1}
training: {batch_size: 8}
vary:
  model.width: [8, 12, 16]
  training.exposures: [20, 40, 80]
seeds: [0, 1]
measure: [knowledge_bits, loss]
laws: [capacity]
hold_out: {model.width: [16]}
"""


def plan(text: str, folder: Path) -> None:
    Plan().run(LocalStore(folder), experiments.parse(text, steps.known_names()))


def test_a_law_that_can_be_identified_is_planned(tmp_path: Path) -> None:
    plan(TEXT, tmp_path)
    assert list(tmp_path.rglob("plan.json"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "[knowledge_bits, loss]",
            "[loss]",
            r"laws: the law capacity needs .*, which no measure or probe asked for gives; add .knowledge_bits.",
        ),
        (
            "[20, 40, 80]",
            "[20, 40]",
            r"laws: the law capacity needs at least 3 values of E .*, and the runs that aren't held out have 2 in "
            r"training\.exposures",
        ),
        ("{model.width: [16]}", "{model.width: [12, 16]}", r"laws: .* at least 2 values of P .* have 1 in parameters_"),
        (
            "seeds: [0, 1]",
            "seeds: [0]",
            r"laws: the law capacity is given one run of each condition, .* at least 2 seeds",
        ),
        (
            "seeds: [0, 1]\nmeasure: [knowledge_bits, loss]\nlaws: [capacity]\nhold_out: {model.width: [16]}",
            "measure: [loss]\nlaws: [skill]",
            r"laws: the law skill needs .*, which no measure or probe asked for gives",
        ),
    ],
)
def test_a_law_that_can_not_is_refused_and_nothing_is_written(
    old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    assert old in TEXT
    with pytest.raises(ExperimentError, match=sentence):
        plan(TEXT.replace(old, new), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_misspelt_column_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = Variable("E", "times each fact was shown", "exposures", column="training.exposure", levels=3)
    variables = [wrong if variable.name == "E" else variable for variable in laws.registry["capacity"].variables]
    monkeypatch.setattr(laws.registry["capacity"], "variables", variables)
    with pytest.raises(
        ExperimentError, match=r"reads E .* from the column 'training.exposure', .* 'training.exposures'"
    ):
        plan(TEXT, tmp_path)
