#!/usr/bin/env python3
"""Puts old rows back into a store, as somebody can who may write its file and has an old copy, but no key.

Independent of slotfs: it knows SQLite and the names of two columns, `slot` and `generation`. The store may be mounted.

    rollback.py copy STORE COPY              a copy of the whole store, as a snapshot has it
    rollback.py rows STORE COPY SLOT         the old rows of one slot: every table with a column `slot`, objects aside
    rollback.py row STORE COPY SLOT TABLE    the old rows of the slot in one table alone
    rollback.py whole STORE COPY             all the content of the file, page by page
    rollback.py set STORE SLOT COLUMN VALUE  one column of the slot's own row, in clear
"""

import sqlite3
import sys
from contextlib import closing

# Objects and what counts them: the slot keeps no list of them, so putting these back is another matter.
OBJECTS = {"objects", "trash", "usage", "trash_usage"}


def connect(path, **options):
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, **options)
    # Cascades would take the objects along.
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


def tables_of_slots(connection):
    """Every table that has rows of single slots."""
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    for (table,) in tables.fetchall():
        columns = [column[1] for column in connection.execute(f'PRAGMA table_info("{table}")')]
        if "slot" in columns:
            yield table, columns


def put_back(store, copy, slot, wanted):
    with closing(connect(store)) as there, closing(connect(copy)) as old:
        tables = [(table, columns) for table, columns in tables_of_slots(old) if wanted(table)]
        assert tables, "nothing to put back"
        there.execute("BEGIN IMMEDIATE")
        # The triggers that make a slot's counters: they are there already.
        there.execute("PRAGMA recursive_triggers = OFF")
        for table, columns in tables:
            names = ", ".join(f'"{column}"' for column in columns)
            rows = old.execute(f'SELECT {names} FROM "{table}" WHERE slot = ?', [slot]).fetchall()
            if table == "slots":
                # Not removed and inserted: that would run the triggers.
                for row in rows:
                    changes = ", ".join(f'"{column}" = ?' for column in columns)
                    there.execute(f"UPDATE slots SET {changes} WHERE slot = ?", [*row, slot])
            else:
                there.execute(f'DELETE FROM "{table}" WHERE slot = ?', [slot])
                holes = ", ".join("?" * len(columns))
                there.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({holes})', rows)
            print(f"{table}: {len(rows)} rows of slot {slot} put back")
        there.execute("COMMIT")


def copy_all(source, target):
    with closing(connect(source)) as old, closing(connect(target)) as new:
        old.backup(new)


def main(arguments):
    match arguments:
        case ["copy", store, copy]:
            copy_all(store, copy)
        case ["whole", store, copy]:
            copy_all(copy, store)
        case ["rows", store, copy, slot]:
            put_back(store, copy, int(slot), lambda table: table not in OBJECTS)
        case ["row", store, copy, slot, table]:
            put_back(store, copy, int(slot), lambda name: name == table)
        case ["set", store, slot, column, value]:
            with closing(connect(store)) as there:
                done = there.execute(f'UPDATE slots SET "{column}" = ? WHERE slot = ?', [int(value), int(slot)])
                assert done.rowcount == 1, "no such slot"
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
