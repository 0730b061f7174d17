"""Knowledge bits: exact at the extremes, right in between, the same in any company."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest
import torch

from physlm.catalog import Observation
from physlm.measures.knowledge_bits import KnowledgeBits, observations
from physlm.measures.measure import Member
from physlm.measures.windows import Scored, score
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.tasks import build, registry
from physlm.tasks.biod import NAME, VALUE, Biod, BiodConfig
from physlm.tasks.bios import Bios, BiosConfig
from physlm.tasks.task import Stream

TASK = Biod(BiodConfig(people=200, attributes=3, chunks=2, diversity=16, chunk_length=2, vocabulary=8, name_length=4))
MEMBER = Member(TASK, seed=0, context_length=TASK.max_length, parameters_counted=1000)


def planted(name_loss: float, chunk_losses: tuple[float, float], task: Biod = TASK) -> dict[str, Observation]:
    """Observations of a model with these losses, each spread evenly over its tokens."""
    instances = task.sample(Stream("test"), np.arange(task.config.people))
    part, chunk = instances.labels["part"], instances.labels["chunk"]
    nll = np.where(part == NAME, name_loss / task.config.name_length, 0.0)
    for number, loss in enumerate(chunk_losses):
        nll += np.where(chunk == number, loss / task.config.chunk_length, 0.0)
    scored = Scored(instances, nll, (part == VALUE) & (nll == 0))
    member = Member(task, 0, task.max_length, 1000)
    return {o.measure: o for o in observations(member, scored)}


def test_a_model_that_knows_everything_has_all_the_worlds_bits() -> None:
    found = planted(log(200), (0.0, 0.0))
    assert found["learned_bits"].value == pytest.approx(TASK.bits_max)
    assert found["bits_per_parameter"].value == pytest.approx(TASK.bits_max / 1000)
    assert found["memorizable_accuracy"].value == 1
    for term in ("name_bits", "value_bits"):
        assert found[term].value == pytest.approx(found[term].ceiling)


def test_a_model_that_knows_only_the_form_has_no_bits_of_names_and_values() -> None:
    found = planted(log(8**4), (log(16), log(16)))
    assert found["name_bits"].value == pytest.approx(0, abs=1e-9)
    assert found["value_bits"].value == pytest.approx(0, abs=1e-9)
    assert found["name_loss"].value == pytest.approx(found["name_loss"].chance)
    assert found["value_loss"].value == pytest.approx(found["value_loss"].chance)
    assert found["memorizable_accuracy"].value == 0


def test_the_formula_in_between() -> None:
    p1, p2, p3 = 6.1, 2.3, 0.9
    found = planted(p1, (p3, p2 - p3))
    n, k, d = 200, 3, 16
    terms = {
        "name_bits": n * log2(8**4 / np.exp(p1)),
        "value_bits": n * k * log2(d**2 / np.exp(p2)),
        "set_bits": k * d * log2(8**2 / (d * np.exp(p3))),
    }
    for name, expected in terms.items():
        assert found[name].value == pytest.approx(expected)
    assert found["learned_bits"].value == pytest.approx(sum(terms.values()))


def test_the_standard_error_is_that_of_persons() -> None:
    """Half the persons known, half not: the error of the sum is that of 200 coin tosses of known size."""
    instances = TASK.sample(Stream("test"), np.arange(200))
    person = instances.labels["person"]
    part = instances.labels["part"]
    nll = np.where((part == NAME) & (person % 2 == 0), 1.0, 0.0)
    found = {o.measure: o for o in observations(MEMBER, Scored(instances, nll, part == VALUE))}
    per_person = 200 * np.where(np.arange(200) % 2 == 0, 4.0, 0.0) / log(2)
    assert found["name_bits"].stderr == pytest.approx(per_person.std(ddof=1) / np.sqrt(200))


def make(seeds: list[int]) -> Decoder:
    decoder = Decoder(Gpt2Config(layers=1, heads=1, width=8), len(TASK.vocabulary), len(seeds))
    initialise(decoder, seeds)
    return decoder.eval()


@pytest.mark.parametrize("context", [TASK.max_length, 3 * TASK.max_length + 5])
def test_a_member_is_measured_as_it_would_be_alone(context: int) -> None:
    small = Biod(TASK.config.model_copy(update={"people": 150}))
    members = [Member(TASK, 4, context, 1000), Member(small, 5, context, 1000)]
    together = KnowledgeBits().evaluate(make([4, 5]), members)
    for i, seed in enumerate((4, 5)):
        alone = KnowledgeBits().evaluate(make([seed]), members[i : i + 1])[0]
        for a, b in zip(alone, together[i], strict=True):
            assert a.n == b.n
            assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-3)


BIOS = Bios(BiosConfig.model_validate({**Bios.presets["tiny"], "people": 200, "spelling": "subwords"}))


def planted_bios(task: Bios, name_loss: float, value_loss: float) -> dict[str, Observation]:
    """Observations of a model with this loss on each name, and on each of a person's values."""
    task = task.without_distractors
    instances = task.sample(Stream("test"), np.arange(task.config.people))
    told = task.knowledge.fact_of(instances)
    owner = np.repeat(np.arange(len(instances)), instances.lengths)
    which = owner * 10 + told
    tokens = np.bincount(which[told >= 0], minlength=10 * len(instances))[which]
    nll = np.select([told == 0, told > 0], [name_loss, value_loss], 0.7) / np.where(told >= 0, tokens, 1)
    nll[instances.offsets[:-1]] = np.nan
    found = observations(Member(task, 0, task.max_length, 1000), Scored(instances, nll, (told > 0) & (nll == 0)))
    return {o.measure: o for o in found}


def test_biographies_in_english_are_counted_by_the_formula_of_bios() -> None:
    for task in (BIOS, Bios(BIOS.config.model_copy(update={"fullname": True}))):
        s0 = 12 * 28 * 20 * 20 * 20 * 20 * 30 * (1 if task.config.fullname else 2)
        n0, n, k = 40 * 40 * 100, 200, 5 if task.config.fullname else 6
        everything = planted_bios(task, log(n), 0.0)
        assert everything["learned_bits"].value == pytest.approx(n * log2(n0 / n) + n * log2(s0))
        assert everything["learned_bits"].value == pytest.approx(task.bits_max)
        assert everything["memorizable_accuracy"].value == 1
        p1, p2 = 7.7, 0.9
        between = planted_bios(task, p1, p2)
        assert between["name_bits"].value == pytest.approx(n * log2(n0 / np.exp(p1)))
        assert between["value_bits"].value == pytest.approx(n * log2(s0 / np.exp(k * p2)))
        assert between["value_loss"].value == pytest.approx(p2)
        assert between["memorizable_accuracy"].value == 0
        assert "set_bits" not in between
        nothing = planted_bios(task, log(n0), log(s0) / k)
        assert nothing["learned_bits"].value == pytest.approx(0, abs=1e-6)


def test_what_tells_each_fact_is_told_once() -> None:
    instances = BIOS.sample(Stream("test"), np.arange(200))
    told = BIOS.knowledge.fact_of(instances)
    for i in range(200):
        row = told[slice(*instances.offsets[i : i + 2])]
        starts = row[np.flatnonzero(np.diff(row, prepend=-1) != 0)]
        # the birth date has a comma between day and year
        assert sorted(starts[starts >= 0]) in ([0, 1, 1, 2, 3, 4, 5, 6],)


def test_members_of_one_language_are_measured_together_and_questions_left_out() -> None:
    asking = Bios(BIOS.config.model_copy(update={"qa_fraction": 0.5, "junk_people": 50, "junk_fraction": 0.5}))
    decoder = Decoder(Gpt2Config(layers=1, heads=1, width=8), len(BIOS.vocabulary), 1)
    initialise(decoder, [0])
    plain, mixed = (KnowledgeBits().evaluate(decoder.eval(), [Member(task, 4, 80, 1000)])[0] for task in (BIOS, asking))
    assert plain == mixed
    assert {o.measure: o for o in plain}["learned_bits"].value < 0
    assert KnowledgeBits.unsupported_reason(asking) is None
    assert KnowledgeBits.unsupported_reason(build(registry["mano"].config_type())) == "mano has no facts to count"


def test_junk_is_not_scored() -> None:
    mixed = Biod(TASK.config.model_copy(update={"junk_people": 500, "junk_fraction": 0.8}))
    members = [Member(task, 4, TASK.max_length, 1000) for task in (TASK, mixed)]
    plain, found = (KnowledgeBits().evaluate(make([4]), [member])[0] for member in members)
    assert plain == found


def test_an_untrained_model_knows_nothing() -> None:
    found = {o.measure: o for o in KnowledgeBits().evaluate(make([0]), [MEMBER])[0]}
    assert found["learned_bits"].value < 0
    assert found["memorizable_accuracy"].value < 0.05


def test_scores_are_those_of_the_plain_model() -> None:
    """Against a loop over instances with torch's own cross-entropy."""
    decoder = make([0])
    (scored,) = score(decoder, [MEMBER], 20)
    for i in range(20):
        tokens = torch.from_numpy(scored.instances[i].astype(np.int64))
        with torch.no_grad():
            logits = decoder.logits(decoder(tokens[None, None, :-1]))[0]
        expected = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="none")
        start, stop = scored.instances.offsets[i : i + 2]
        assert np.isnan(scored.nll[start])
        assert scored.nll[start + 1 : stop] == pytest.approx(expected.numpy(), rel=1e-4)
