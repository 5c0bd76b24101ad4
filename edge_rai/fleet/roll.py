"""Facts from the ledger into Parquet files, a directory a data set and a day.

Every file is written whole, synced and renamed before the ledger lists it, in the transaction that forgets what it was
made of. Killed anywhere, a roll leaves files that nobody lists, which the next roll removes, and facts that it makes
again. Eight files of one day and level become one of the next level, so that a day is a few files however often it was
rolled. Whoever reads holds the same lock, shared: no file is removed under it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import duckdb

from edge_rai.errors import StoreError
from edge_rai.fleet.attributes import MOST_BINS
from edge_rai.fleet.store import FOLDER, Store, sync_directory

BINS: Final = tuple(f"bin_{index}" for index in range(MOST_BINS))

_LOCK: Final = "facts.lock"
_ENOUGH_BYTES: Final = 32 << 20  # of facts for one file: they are in memory several times over
_FAN_IN: Final = 8
_SHORTEST_BUFFER_BYTES: Final = 1 << 20
_LABELS: Final = "instance, site, firmware, model_version, model_digest, guard_digest, received_unix_ns, hour"
_HOUR: Final = "received_unix_ns // 3600000000000 AS hour"  # since 1970, exact: some engines divide as floats
_BATCH: Final = {
    "received_unix_ns": "BIGINT",
    "site": "VARCHAR",
    "firmware": "VARCHAR",
    "model_version": "VARCHAR",
    "instance": "VARCHAR",
    "epoch": "BIGINT",
    "sequence": "BIGINT",
    "model_digest": "VARCHAR",
    "guard_digest": "VARCHAR",
    "start_unix_ns": "BIGINT",
    "end_unix_ns": "BIGINT",
    "duration_ns": "BIGINT",
    "windows": "BIGINT[][]",
    "calls": "BIGINT",
    "errors": "BIGINT",
    "latency_sum_ns": "BIGINT",
    "drift_evidence": "DOUBLE",
    "drift_rows": "BIGINT",
    "drift_alarm": "BOOLEAN",
    "rows": "BIGINT",
    "drifts": "VARCHAR[][]",
    "counts": "VARCHAR[][]",
    "features": "VARCHAR[][]",
}
_EVENT: Final = {
    "received_unix_ns": "BIGINT",
    "instance": "VARCHAR",
    "epoch": "BIGINT",
    "number": "BIGINT",
    "name": "VARCHAR",
    "unix_ns": "BIGINT",
    "severity": "BIGINT",
    "model_digest": "VARCHAR",
    "said": "VARCHAR",
}
_REFERENCE: Final = {
    "received_unix_ns": "BIGINT",
    "digest": "VARCHAR",
    "guard_digest": "VARCHAR",
    "feature": "VARCHAR",
    "bounds": "DOUBLE[]",
    "counts": "BIGINT[]",
}
_COLUMNS: Final = {"batch": _BATCH, "event": _EVENT, "reference": _REFERENCE}
# Histograms are wide, a column a bin: engines add up columns several times faster than lists.
_SELECT: Final = {
    "batches": f"SELECT * EXCLUDE (windows, drifts, counts, features), {_HOUR}, "
    "list_sum(list_transform(windows, lambda w: w[3]))::BIGINT AS windows FROM facts",
    "counts": f"SELECT {_LABELS}, one[1] AS kind, one[2] AS name, one[3]::BIGINT AS count "
    f"FROM (SELECT *, {_HOUR}, unnest(counts) AS one FROM facts)",
    "features": f"SELECT {_LABELS}, one[1] AS feature, one[2] AS reference, one[3]::BIGINT AS not_finite, "
    "one[4]::BIGINT AS z_sum, one[5]::BIGINT AS z_sum_squares, "
    + ", ".join(f"one[{6 + index}]::BIGINT AS {name}" for index, name in enumerate(BINS))
    + f" FROM (SELECT *, {_HOUR}, unnest(features) AS one FROM facts)",
    "drifts": f"SELECT {_LABELS}, epoch, sequence, one[1] AS feature, one[2]::DOUBLE AS evidence "
    f"FROM (SELECT *, {_HOUR}, unnest(drifts) AS one FROM facts)",
    "events": "FROM facts",
    "references": "FROM facts",
}
_ORDER: Final = {
    "batches": "instance, epoch, sequence",
    "counts": "kind, name, instance, received_unix_ns",
    "features": "feature, instance, received_unix_ns",
    "drifts": "instance, epoch, sequence, feature",
    "events": "received_unix_ns, instance, epoch, number",
    "references": "guard_digest, feature, digest",
}
_DATASETS: Final = {
    "batch": ("batches", "counts", "features", "drifts"),
    "event": ("events",),
    "reference": ("references",),
}

DATASETS: Final = tuple(_SELECT)


@contextmanager
def locked(directory: Path, *, exclusive: bool) -> Iterator[None]:
    """Holds the lock of the Parquet files."""
    with (directory / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def roll(store: Store) -> int:
    """Puts all pending facts into Parquet files. Any process, beside any other.

    Returns:
        How many facts.

    Raises:
        StoreError: The ledger or the disk cannot be written.
    """
    rolled = 0
    try:
        with locked(store.directory, exclusive=True), duckdb.connect() as engine:
            remove_unlisted(store)
            _begin(store, engine)
            while count := _roll_some(store, engine):
                rolled += count
            while _merge_some(store, engine):
                pass
            remove_unlisted(store)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"facts cannot be put into Parquet files: {error}") from error
    return rolled


def _begin(store: Store, engine: duckdb.DuckDBPyConnection) -> None:
    """Writes a file without rows of every data set that has none: an engine learns the columns there."""
    with store.transaction() as connection:
        begun = {dataset for (dataset,) in connection.execute("SELECT DISTINCT dataset FROM part")}
    for kind, datasets in _DATASETS.items():
        for dataset in (one for one in datasets if one not in begun):
            _load(engine, kind, [])
            path = _write(store.directory, engine, dataset, _SELECT[dataset], "none", "empty")
            with store.transaction() as connection:
                connection.execute("INSERT INTO part VALUES (?, ?, 'none', -1)", (path, dataset))


def _roll_some(store: Store, engine: duckdb.DuckDBPyConnection) -> int:
    pending = _some_pending(store)
    if not pending:
        return 0
    groups: dict[tuple[str, str], list[str]] = {}
    for _, kind, received, facts in pending:
        groups.setdefault((kind, day(received)), []).append(f'{{"received_unix_ns": {received}, {facts[1:]}')
    first, last = pending[0][0], pending[-1][0]
    parts = []
    for (kind, on), lines in groups.items():
        _load(engine, kind, lines)
        for dataset in _DATASETS[kind]:
            path = _write(store.directory, engine, dataset, _SELECT[dataset], on, f"{first:012}-{last:012}-0")
            parts.append((path, dataset, on))
    with store.transaction() as connection:
        connection.executemany("INSERT INTO part VALUES (?, ?, ?, 0)", parts)
        connection.execute("DELETE FROM pending WHERE id BETWEEN ? AND ?", (first, last))
    return len(pending)


def _some_pending(store: Store) -> list[tuple[int, str, int, str]]:
    """The oldest: id, kind, time of receipt and facts."""
    pending, size = [], 0
    query = "SELECT id, kind, received_unix_ns, facts FROM pending ORDER BY id"
    with store.transaction() as connection, closing(connection.execute(query)) as rows:
        for row in rows:
            pending.append(row)
            size += len(row[3])
            if size >= _ENOUGH_BYTES:
                break
    return pending


def _merge_some(store: Store, engine: duckdb.DuckDBPyConnection) -> bool:
    """Makes one file of eight of one level; False: there are no eight."""
    with store.transaction() as connection:
        query = "SELECT dataset, day, level FROM part GROUP BY 1, 2, 3 HAVING count(*) >= ? LIMIT 1"
        full = connection.execute(query, (_FAN_IN,)).fetchone()
        if not full:
            return False
        query = "SELECT path FROM part WHERE (dataset, day, level) = (?, ?, ?) ORDER BY path LIMIT ?"
        small = [path for (path,) in connection.execute(query, (*full, _FAN_IN))]
    dataset, on, level = full
    select = f"FROM {read_parquet(store.directory / path for path in small)}"
    first, last = Path(small[0]).name.split("-")[0], Path(small[-1]).name.split("-")[1]
    path = _write(store.directory, engine, dataset, select, on, f"{first}-{last}-{level + 1}")
    with store.transaction() as connection:
        connection.executemany("DELETE FROM part WHERE path = ?", [(one,) for one in small])
        connection.execute("INSERT INTO part VALUES (?, ?, ?, ?)", (path, dataset, on, level + 1))
    return True


def _load(engine: duckdb.DuckDBPyConnection, kind: str, lines: list[str]) -> None:
    """Makes the table `facts` of JSON objects."""
    columns = _COLUMNS[kind]
    engine.execute(f"CREATE OR REPLACE TEMP TABLE facts ({', '.join(f'{name} {of}' for name, of in columns.items())})")
    if not lines:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        # DuckDB allocates buffers of twice this; characters are bytes, for the JSON is ASCII.
        longest = max(_SHORTEST_BUFFER_BYTES, *map(len, lines))
        engine.execute(
            f"INSERT INTO facts SELECT {', '.join(columns)} FROM read_json({_quoted(file.name)}, "
            f"format = 'newline_delimited', columns = {columns}, maximum_object_size = {longest + 1})"
        )


def _write(directory: Path, engine: duckdb.DuckDBPyConnection, dataset: str, select: str, on: str, name: str) -> str:
    """Writes a Parquet file durably; its path within the store."""
    folder = directory / FOLDER / dataset / f"day={on}"
    for parent in (folder.parent.parent, folder.parent, folder):
        if not parent.exists():
            parent.mkdir()
            sync_directory(parent.parent)
    path, temporary = folder / f"{name}.parquet", folder / f".{name}.parquet"
    engine.execute(
        f"COPY (SELECT * FROM ({select}) ORDER BY {_ORDER[dataset]}) TO {_quoted(temporary)} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.link(temporary, path)  # which fails where there is a file: none is ever replaced
    temporary.unlink()
    sync_directory(folder)
    return str(path.relative_to(directory))


def read_parquet(paths: Iterable[Path]) -> str:
    """DuckDB's words for the rows of files."""
    return f"read_parquet([{', '.join(map(_quoted, paths))}], hive_partitioning = false)"


def _quoted(given: str | Path) -> str:
    """As a text in SQL."""
    return "'" + str(given).replace("'", "''") + "'"


def remove_unlisted(store: Store) -> None:
    """Removes files that the ledger does not list. Whoever calls it holds the lock."""
    with store.transaction() as connection:
        listed = {path for (path,) in connection.execute("SELECT path FROM part")}
    for path in (store.directory / FOLDER).glob("*/*/*.parquet"):
        if str(path.relative_to(store.directory)) not in listed:
            path.unlink()


def day(unix_ns: int) -> str:
    """UTC, as 2026-11-22."""
    return f"{datetime.fromtimestamp(unix_ns // 10**9, timezone.utc):%Y-%m-%d}"
