"""Facts in one file, for whoever asks questions of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from edge_rai.errors import StoreError
from edge_rai.fleet.roll import locked, read_parquet, roll
from edge_rai.fleet.store import Store, require_store

_FORMATS: Final = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".ndjson": "FORMAT json",
}


def export(directory: Path, dataset: str, to: Path, *, since_unix_ns: int | None = None) -> int:
    """Writes a data set into a file, which appears whole or not at all.

    Args:
        directory: Of the store.
        dataset: One of roll.DATASETS.
        to: Ends in .parquet, .csv or .ndjson.
        since_unix_ns: Only what was received then or later.

    Returns:
        Its rows.

    Raises:
        ValueError: The file's name ends otherwise.
        StoreError: There is no store, or it cannot be read, or the file cannot be written.
    """
    if to.suffix not in _FORMATS:
        raise ValueError(f"{to} must end in {', '.join(_FORMATS)}: that says in which format it is written")
    require_store(directory)
    store = Store(directory)
    temporary = to.with_name(f".{to.name}")
    try:
        roll(store)
        with locked(directory, exclusive=False), duckdb.connect() as engine:
            with store.transaction() as connection:
                query = "SELECT path FROM part WHERE dataset = ? ORDER BY path"
                parts = [directory / path for (path,) in connection.execute(query, (dataset,))]
            select = f"SELECT * FROM {read_parquet(parts)} WHERE received_unix_ns >= {since_unix_ns or 0}"
            quoted = str(temporary).replace("'", "''")
            copied = engine.execute(f"COPY ({select}) TO '{quoted}' ({_FORMATS[to.suffix]})").fetchone()
        temporary.rename(to)
    except duckdb.Error as error:
        raise StoreError(f"{to} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
        store.close()
    return int(copied[0]) if copied else 0
