"""Runs the fleet's queries over its Parquet files: DuckDB in this process, or Spark for a fleet that outgrows it.

ibis writes the SQL and nothing more, so neither pandas nor PyArrow is needed to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import ibis
import ibis.config
from ibis.expr.types import Table

from edge_rai.errors import RuntimeMissingError, StoreError
from edge_rai.fleet.roll import DATASETS, day, locked, read_parquet, roll
from edge_rai.fleet.store import Store, require_store

ENGINES: Final = ("duckdb", "spark")

Row = dict[str, Any]


class Engine(Protocol):
    """Something that answers queries."""

    def rows(self, query: Table) -> list[Row]:
        """The rows of a query, by column."""


class _DuckDb:
    def __init__(self, files: dict[str, list[Path]]) -> None:
        self.connection = duckdb.connect()
        for dataset, paths in files.items():
            self.connection.execute(f'CREATE VIEW "{dataset}" AS FROM {read_parquet(paths)}')

    def rows(self, query: Table) -> list[Row]:
        try:
            found = self.connection.execute(str(ibis.to_sql(query, dialect="duckdb", pretty=False)))
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            raise StoreError(f"the facts cannot be read: {error}") from error

    def close(self) -> None:
        self.connection.close()


class _SparkOptions(ibis.config.Config):  # type: ignore[misc]  # which carries no types
    """What ibis looks up when it writes SQL for Spark; its own Spark backend, which needs pandas, would set it."""

    treat_nan_as_null: bool = False


class _Spark:
    def __init__(self, files: dict[str, list[Path]]) -> None:
        if find_spec("pyspark") is None:
            raise RuntimeMissingError("the engine spark needs PySpark and Java: pip install pyspark")
        from pyspark.sql import SparkSession

        ibis.options.pyspark = _SparkOptions()
        try:
            self.session = SparkSession.builder.appName("edge-rai fleet").getOrCreate()
        except Exception as error:  # what PySpark raises without Java is RuntimeError or one of its own
            raise RuntimeMissingError(f"Spark cannot be started, is Java installed? {error}") from error
        for dataset, paths in files.items():
            self.session.read.parquet(*map(str, paths)).createOrReplaceTempView(dataset)

    def rows(self, query: Table) -> list[Row]:
        sql = str(ibis.to_sql(query, dialect="pyspark", pretty=False))
        return [row.asDict() for row in self.session.sql(sql).collect()]

    def close(self) -> None:
        self.session.stop()


@contextmanager
def opened(directory: Path, engine: str = "duckdb", *, since_unix_ns: int | None = None) -> Iterator[Engine]:
    """Opens the facts of a store, also beside its collector; what waits in the ledger is among them.

    Args:
        directory: Of the store.
        engine: One of ENGINES. Spark is configured as ever, by spark-defaults.conf and the environment.
        since_unix_ns: Files that hold only what was received before the day of that time are left out.

    Raises:
        StoreError: There is no store, or it cannot be read or written.
        RuntimeMissingError: The engine is not installed.
    """
    require_store(directory)
    store = Store(directory)
    try:
        roll(store)
        with opened_beside(store, engine, since_unix_ns=since_unix_ns) as found:
            yield found
    finally:
        store.close()


@contextmanager
def opened_beside(store: Store, engine: str = "duckdb", *, since_unix_ns: int | None = None) -> Iterator[Engine]:
    """The same of a store that is open and rolled by somebody else."""
    earliest = "" if since_unix_ns is None else day(since_unix_ns)
    with locked(store.directory, exclusive=False):
        with store.transaction() as connection:
            query = "SELECT dataset, path FROM part WHERE day >= ? OR level < 0 ORDER BY path"
            parts: Sequence[tuple[str, str]] = connection.execute(query, (earliest,)).fetchall()
        files: dict[str, list[Path]] = {dataset: [] for dataset in DATASETS}
        for dataset, path in parts:
            files[dataset].append(store.directory / path)
        try:
            found = _Spark(files) if engine == "spark" else _DuckDb(files)
        except duckdb.Error as error:
            raise StoreError(f"the facts cannot be read: {error}") from error
        try:
            yield found
        finally:
            found.close()
