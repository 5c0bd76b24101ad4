"""Windows that arrived, or numbers of events, kept in tables of the ledger as ranges: neighbours are one row."""

from __future__ import annotations

import sqlite3

from edge_rai.events import Windows


def _around(connection: sqlite3.Connection, table: str, instance: str, windows: Windows) -> list[tuple[int, int]]:
    """First and count of the rows next to windows: the one after them, if they touch, and the one before or over."""
    query = (
        f"SELECT first, count FROM {table} WHERE (instance, epoch) = (?, ?) AND first <= ? ORDER BY first DESC LIMIT 2"
    )
    return connection.execute(query, (instance, windows.epoch, windows.first + windows.length)).fetchall()


def has_some(connection: sqlite3.Connection, table: str, instance: str, windows: Windows) -> bool:
    """Whether the table has any of them."""
    end = windows.first + windows.length
    return any(
        first < end and first + count > windows.first for first, count in _around(connection, table, instance, windows)
    )


def has_all(connection: sqlite3.Connection, table: str, instance: str, windows: Windows) -> bool:
    """Whether it has all of them: neighbours are one row, so one row has."""
    end = windows.first + windows.length
    return any(
        first <= windows.first and first + count >= end
        for first, count in _around(connection, table, instance, windows)
    )


def add_range(connection: sqlite3.Connection, table: str, instance: str, windows: Windows) -> None:
    """Notes windows, or numbers of events, none of which the table has, as one row with those that they touch."""
    first, end = windows.first, windows.first + windows.length
    for other, count in _around(connection, table, instance, windows):
        if other == end:
            connection.execute(
                f"DELETE FROM {table} WHERE (instance, epoch, first) = (?, ?, ?)", (instance, windows.epoch, other)
            )
            end += count
        elif other + count == first:
            first = other
    connection.execute(
        f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", (instance, windows.epoch, first, end - first)
    )
