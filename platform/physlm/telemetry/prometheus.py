"""Prometheus as a source of observations.

    with Prometheus("http://localhost:9090") as prometheus:
        table = prometheus.observations("capacity")

The table is the one of `physlm.telemetry.conditions.per_condition`: a law fitted from it is the catalogue's law.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import httpx
import polars as pl

from physlm.errors import TelemetryError, UserError
from physlm.telemetry import metrics as m
from physlm.telemetry.conditions import arrange, key_name, key_value

_COLUMNS = {metric.name: column for column, metric in m.STATISTICS.items()}
_OTHERS = (m.CONDITION_INFO, m.CONDITION_SIZE, m.EXPERIMENT_CONDITIONS, m.OBSERVATIONS_WITHHELD)
_NAMES = "|".join((*_COLUMNS, *(metric.name for metric in _OTHERS)))


class Prometheus:
    """A Prometheus server, or anything else that answers its HTTP API.

    address: such as `http://localhost:9090`, with the path prefix if there is one; may hold `user:password@`.
    at: seconds since the epoch, to find what was exported then; None for now.
    """

    def __init__(self, address: str, at: float | None = None, timeout_seconds: float = 30) -> None:
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise UserError(f"{address!r} is no address of a Prometheus; write it like 'http://localhost:9090'")
        self.address = str(url.copy_with(username=None, password=None)).rstrip("/")
        self._at = {} if at is None else {"time": f"{at:.3f}"}
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """The series of an instant query, as labels and value. Raises TelemetryError, or UserError for bad PromQL."""
        try:
            response = self._client.post("api/v1/query", data={"query": promql, **self._at})
        except httpx.TimeoutException:
            raise TelemetryError(f"Prometheus at {self.address} did not answer in time") from None
        except httpx.HTTPError as error:
            raise TelemetryError(f"Prometheus at {self.address} can't be reached: {error}") from None
        try:
            answer = response.json()
            status = answer["status"]
        except (ValueError, TypeError, KeyError):
            raise TelemetryError(
                f"{self.address} does not answer as Prometheus does (HTTP {response.status_code}); is it the right one?"
            ) from None
        if status != "success":
            kind = UserError if answer.get("errorType") == "bad_data" else TelemetryError
            raise kind(f"Prometheus at {self.address} refused {promql!r}: {answer.get('error', 'no reason given')}")
        if answer["data"]["resultType"] != "vector":
            raise UserError(f"{promql!r} gives a {answer['data']['resultType']} where an instant vector is needed")
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def observations(self, experiment: str, matchers: Mapping[str, str] | None = None) -> pl.DataFrame:
        """What an experiment's `ExperimentMetrics` exported: the table of `per_condition`.

        matchers: further labels that the series must have, such as `{"namespace": "research"}`.
        Raises UserError where there is nothing, no values, or more than one version of them.
        """
        labels = {m.EXPERIMENT.name: experiment, **(matchers or {})}
        selector = ",".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
        found = self.query(f'{{__name__=~"{_NAMES}",{selector}}}')
        if not found:
            self._refuse_unknown(experiment)
        numbers: dict[tuple[str, str, str], float] = {}  # by name, condition, and measure or quantity
        varied: dict[str, dict[str, Any]] = {}
        for labels, number in found:
            name, condition = labels["__name__"], labels.get(m.CONDITION.name, "")
            if name == m.CONDITION_INFO.name:
                values = {
                    key_name(label): key_value(text) for label, text in labels.items() if "__" in label.strip("_")
                }
                _put(varied, condition, values, experiment)
            else:
                kind = labels.get(m.MEASURE.name) or labels.get(m.QUANTITY.name, "")
                _put(numbers, (name, condition, kind), number, experiment)
        conditions = numbers.get((m.EXPERIMENT_CONDITIONS.name, "", ""), 0)
        if numbers.get((m.OBSERVATIONS_WITHHELD.name, "", "")) == 1:
            raise UserError(
                f"{experiment!r} has {conditions:,.0f} conditions, and above {m.MAX_CONDITIONS:,} only the catalogue "
                "carries the values: read them from there"
            )
        table = _table(numbers, varied)
        present = table["condition"].n_unique()
        if present != conditions:
            raise TelemetryError(
                f"Prometheus at {self.address} holds {present} of the {conditions:.0f} conditions of {experiment!r}; "
                "ask again after its next scrape"
            )
        return table

    def _refuse_unknown(self, experiment: str) -> NoReturn:
        known = self.query(f"group by ({m.EXPERIMENT.name}) ({m.EXPERIMENT_CONDITIONS.name})")
        names = ", ".join(sorted(labels[m.EXPERIMENT.name] for labels, _ in known)) or "none"
        raise UserError(
            f"Prometheus at {self.address} now holds no observations of {experiment!r}; the experiments it has: {names}"
        )


Key = TypeVar("Key")
Found = TypeVar("Found")


def _put(merged: dict[Key, Found], key: Key, value: Found, experiment: str) -> None:
    """Several targets may export the same; they must agree. NaN agrees with itself."""
    if repr(merged.setdefault(key, value)) != repr(value):
        raise UserError(
            f"two targets export different observations of {experiment!r}; choose one by a label, such as its job"
        )


def _table(numbers: Mapping[tuple[str, str, str], float], varied: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    rows: dict[tuple[str, str], dict[str, float]] = {}
    sizes: dict[str, dict[str, float]] = {}
    for (name, condition, kind), number in numbers.items():
        if name in _COLUMNS:
            rows.setdefault((condition, kind), {})[_COLUMNS[name]] = number
        elif name == m.CONDITION_SIZE.name:
            sizes.setdefault(condition, {})[kind] = number
    measured = pl.DataFrame(
        [{"condition": condition, "measure": measure, **row} for (condition, measure), row in rows.items()],
        {"condition": pl.String, "measure": pl.String, **dict.fromkeys(m.STATISTICS, pl.Float64)},
    )
    sized = pl.DataFrame(
        [{"condition": condition, **row} for condition, row in sizes.items()],
        {"condition": pl.String, **dict.fromkeys(m.QUANTITIES, pl.Float64)},
    )
    told_apart = pl.DataFrame(
        [{"condition": condition, **values} for condition, values in varied.items()] or {"condition": []},
        infer_schema_length=None,
    )
    return arrange(measured.join(told_apart, on="condition").join(sized, on="condition"))
