"""Observations of many runs as one sorted table, of which only a part is in memory at a time.

An external merge sort: rows are read until they fill a spill, which is sorted and put aside in a temporary folder; then
range after range of runs is taken out of all spills, sorted, and written as one part of the table.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from physlm.catalog.batches import batches, concurrently
from physlm.catalog.observations import OBSERVATION_SCHEMA, read, whole
from physlm.errors import CorruptObject, MissingObject
from physlm.store import layout
from physlm.store.store import Store

_CELLS = 1 << 23  # of a spill and of a part: some 100 MB
_ROW_GROUP = 1 << 13  # of a spill: a range of runs reads little beside its own rows
_ORDER = ("run_id", "source", "measure", "layer", "position", "tokens")


def collect(store: Store, runs: Sequence[str], sources: Sequence[str]) -> pl.DataFrame:
    """The observations of these runs from these sources, sorted by run, source, measure and tokens, all in memory.

    Runs that lack a source are left out: a law may be fitted to what is there. Knobs that some runs don't have are
    null. Raises CorruptObject for a damaged file.
    """
    with gathered(store, runs, sources) as table:
        return table.collect()


@contextmanager
def gathered(
    store: Store, runs: Sequence[str], sources: Sequence[str], *, cells: int = _CELLS
) -> Iterator[pl.LazyFrame]:
    """The same table to be scanned within the block; memory doesn't grow with the rows.

    cells: rows times columns that are held at once.
    """
    with tempfile.TemporaryDirectory(prefix="physlm-") as folder:
        spills = _Spills(Path(folder), cells)
        for source in sources:
            for table in _tables(store, sorted(set(runs)), source):
                spills.add(table)
        yield spills.merged()


@contextmanager
def scanned(store: Store, object_key: str) -> Iterator[pl.LazyFrame]:
    """A stored table to be scanned within the block: columns and rows that aren't asked for are not read.

    Columns that are younger than the table are null. Raises MissingObject or CorruptObject.
    """
    with tempfile.TemporaryDirectory(prefix="physlm-") as folder:
        path = Path(folder) / "table.parquet"
        store.get_file(object_key, path)
        table = pl.scan_parquet(path)
        try:
            names = table.collect_schema().names()
        except pl.exceptions.PolarsError as error:
            raise CorruptObject(f"{object_key} is not a Parquet table: {error}") from None
        yield whole(table, names)


def write_scanned(store: Store, table: pl.LazyFrame, object_key: str) -> int:
    """Store a table that is scanned; returns how many rows it has."""
    with tempfile.TemporaryDirectory(prefix="physlm-") as folder:
        path = Path(folder) / "table.parquet"
        table.sink_parquet(path, compression="zstd")
        store.put_file(object_key, path)
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def _tables(store: Store, runs: Sequence[str], source: str) -> Iterator[pl.DataFrame]:
    placed = batches(store, source)
    wanted: dict[str, list[str]] = defaultdict(list)
    for run_id in runs:
        if run_id in placed:
            wanted[placed[run_id]].append(run_id)
    for at, held in sorted(wanted.items()):
        yield read(store, at).filter(pl.col("run_id").is_in(held))

    def own(run_id: str) -> pl.DataFrame | None:
        try:
            return read(store, layout.run_observations_key(run_id, source))
        except MissingObject:
            return None

    for table in concurrently(own, (run_id for run_id in runs if run_id not in placed)):
        if table is not None:
            yield table


class _Spills:
    """Sorted parts of a table, in a folder."""

    def __init__(self, folder: Path, cells: int) -> None:
        self.folder, self.cells = folder, cells
        self.columns = pl.Schema(OBSERVATION_SCHEMA)  # of all tables so far
        self.rows: dict[str, int] = defaultdict(int)  # of each run
        self.waiting: list[pl.DataFrame] = []
        self.held = 0  # cells that wait
        self.paths: list[Path] = []

    def add(self, table: pl.DataFrame) -> None:
        if table.schema != self.columns:
            self.columns = _joined([pl.DataFrame(schema=self.columns), table.clear()]).schema
        for run_id, count in table.group_by("run_id").len().iter_rows():
            self.rows[run_id] += count
        self.waiting.append(table)
        self.held += table.height * table.width
        if self.held >= self.cells:
            self._spill()

    def _spill(self) -> None:
        self.paths.append(self.folder / f"spill-{len(self.paths):06d}.parquet")
        _sorted(self.waiting).write_parquet(self.paths[-1], compression="lz4", row_group_size=_ROW_GROUP)
        self.waiting, self.held = [], 0

    def merged(self) -> pl.LazyFrame:
        if not self.paths:
            return _fitted(_sorted([pl.DataFrame(schema=self.columns), *self.waiting]), self.columns).lazy()
        if self.waiting:
            self._spill()
        spills = [pl.scan_parquet(path) for path in self.paths]
        parts: list[Path] = []
        for first, last in self._ranges():
            inside = pl.col("run_id").is_between(pl.lit(first), pl.lit(last))
            found = pl.collect_all([spill.filter(inside) for spill in spills])
            parts.append(self.folder / f"part-{len(parts):06d}.parquet")
            _fitted(_sorted(found), self.columns).write_parquet(parts[-1], compression="lz4")
        return pl.scan_parquet(parts)

    def _ranges(self) -> Iterator[tuple[str, str]]:
        """First and last of consecutive runs that have so many cells together."""
        most = max(1, self.cells // len(self.columns))
        first, last, count = "", "", 0
        for run_id, rows in sorted(self.rows.items()):
            if count and count + rows > most:
                yield first, last
                count = 0
            first = first if count else run_id
            last, count = run_id, count + rows
        if count:
            yield first, last


def _joined(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(tables, how="diagonal_relaxed")


def _sorted(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return _joined(tables).sort(_ORDER, maintain_order=True)


def _fitted(table: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The table with all of these columns, in their order."""
    return table.select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in columns.items()
    )
