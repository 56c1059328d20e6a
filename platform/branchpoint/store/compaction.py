"""Few large files in place of many small ones, while others write and read.

The new file is visible before the old ones vanish, and a reader takes one row for each key, so that it sees each row
once at any moment. Nothing is coordinated: two compactions of the same files give two files with the same rows, and a
crash leaves both old and new ones; either is put right by the next compaction.
"""

from __future__ import annotations

from branchpoint.store import encoding
from branchpoint.store.data_file import DataFile, new_origin
from branchpoint.store.files import Files
from branchpoint.store.schema import Table

FAN_IN = 8
FINAL_ROWS = 65_536


def due(files: list[DataFile], fan_in: int = FAN_IN) -> list[DataFile]:
    """Files to merge now, or none: at least ``fan_in`` small ones, and each next one that is not larger than they are.

    A row is thereby copied about log2(FINAL_ROWS / fan_in) times, and about that many files remain beside the final
    ones. Files of FINAL_ROWS rows are never touched again, which bounds the memory of a merge.
    """
    chosen: list[DataFile] = []
    rows = 0
    for file in sorted(files, key=lambda file: (file.rows, file)):
        enough = rows >= FINAL_ROWS or (len(chosen) >= fan_in and file.rows > rows)
        if enough or file.rows >= FINAL_ROWS:
            break
        chosen.append(file)
        rows += file.rows
    return chosen if len(chosen) >= fan_in or rows >= FINAL_ROWS else []


def merge(files: Files, table: Table, group: list[DataFile]) -> DataFile | None:
    """One file in place of ``group`` (of one study).

    Returns:
        the new file; None where another compaction was faster, or a file cannot be used: it stays where it is.
    """
    try:
        parts = files.map(lambda file: files.read(table, file, None), group)
    except Exception:
        if not files.any_gone(group) and not files.leave_out_unusable({table.name: group}):
            raise
        return None
    rows = encoding.newest(encoding.unite(table, parts, keep_all=True), table.key)
    written_ns = max(file.written_ns for file in group)
    merged = files.put(table.name, group[0].study, written_ns, rows.num_rows, "c" + new_origin(), encoding.encode(rows))
    files.delete(group)
    return merged


def compact(files: Files, table: Table, study: str, fan_in: int = FAN_IN) -> None:
    """Merges files of ``study`` until fewer than ``fan_in`` are left that a merge would shrink."""
    while group := due(files.data_files(table.name, study), fan_in):
        if merge(files, table, group) is None:
            return
