"""Knobs of probes in the experiment file: what they change, and how bad ones are refused."""

from __future__ import annotations

import pytest

from physlm import experiment, probes, steps
from physlm.errors import ExperimentError

FILE = """
apiVersion: physlm/v1
kind: Experiment
name: x
question: What is in it?
task: {type: igsm, max_op: 5, max_edges: 6, max_depth: 3, max_width: 3, modulus: 7, max_tokens: 256, chains: 1}
model: {type: gpt2, layers: 1, heads: 1, width: 16}
training: {tokens: 10000}
measure: [loss]
probe: PROBE
"""


def load(entry: str) -> experiment.Experiment:
    loaded = experiment.parse(FILE.replace("PROBE", entry), steps.known_names())
    steps.check(loaded)
    return loaded


def test_a_probe_with_knobs_keeps_its_observations_apart_and_without_stays_what_it_was() -> None:
    loaded = load("[linear, {type: v, steps: 40, rank: 4}]")
    assert loaded.probes == {"linear": {}, "v": {"steps": 40, "rank": 4}}
    changed, same, plain = (probes.make("v", knobs) for knobs in ({"steps": 40}, {"rank": 8}, {}))
    assert plain.source == same.source == "probe-v-v2"
    assert changed.source.startswith("probe-v-v2-")
    assert changed.source != probes.make("v", {"steps": 41}).source


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("[{type: w}]", "probe: 'w' is not known"),
        ("[3]", "probe: 3 names no probe; write a name"),
        ("[{steps: 3}]", "probe: {'steps': 3} names no probe"),
        ("[v, {type: v, steps: 3}]", "holds a value twice"),
        ("[{type: v, step: 3}]", "probe.v.step: unknown key; did you mean 'steps'?"),
        ("[{type: v, steps: 0}]", "probe.v.steps: 0 is not valid: input should be greater than or equal to 1"),
        ("[{type: linear, steps: 3}]", "probe.linear.steps: unknown key"),
        ("[p]", "probe: p can't be trained: igsm has no numbered places"),
    ],
)
def test_bad_knobs_are_refused_in_a_sentence(entry: str, sentence: str) -> None:
    with pytest.raises(ExperimentError) as error:
        load(entry)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
