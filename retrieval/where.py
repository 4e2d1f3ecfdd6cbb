"""A search narrowed by what is known of documents and passages: `{"document": "report.pdf", "page": {"$gte": 3}}`.

The filter becomes one SQL condition over the store; both searches then look only at the passages that fit, so as many
come back as were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import BadFilter
from retrieval.stored import LibraryStore

Where = Mapping[str, Any]

COLUMNS = {
    "document": "d.name", "document_id": "d.document_id", "collection": "d.collection", "path": "d.path",
    "added": "d.added", "sha256": "d.sha256", "page": "c.page", "position": "c.position", "start": 'c."start"',
    "end": 'c."end"', "chunk_id": "c.id",
}  # fmt: skip
COMPARED = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_JOINED = {"$and": " AND ", "$or": " OR "}
_MOST_DEPTH = 20


class Condition:
    """A filter as SQL over `chunks c JOIN documents d`, with the values for its marks."""

    def __init__(self, where: Where) -> None:
        """Read a filter.

        Raises:
            BadFilter: an operator or a value that is not known.
        """
        self.values: list[Any] = []
        self.of_chunks = False
        """Whether it tells passages of one document apart."""
        self.sql = self._all(where, _MOST_DEPTH)

    def _all(self, where: Any, depth: int) -> str:
        if not isinstance(where, Mapping):
            raise BadFilter(f"{where!r} stands where names and values were expected")
        if not depth:
            raise BadFilter(f"it is nested more than {_MOST_DEPTH} deep")
        return " AND ".join(self._one(str(name), wanted, depth) for name, wanted in where.items()) or "TRUE"

    def _one(self, name: str, wanted: Any, depth: int) -> str:
        if name in _JOINED:
            if not isinstance(wanted, Sequence) or isinstance(wanted, str):
                raise BadFilter(f"{name} takes a list of filters")
            parts = [f"({self._all(part, depth - 1)})" for part in wanted]
            return f"({_JOINED[name].join(parts)})" if parts else ("TRUE" if name == "$and" else "FALSE")
        if name == "$not":
            return f"NOT ({self._all(wanted, depth - 1)})"
        if name.startswith("$"):
            raise BadFilter(f"{name} is no operator that is known here")
        if isinstance(wanted, Mapping):
            return " AND ".join(self._compared(name, sign, value) for sign, value in wanted.items()) or "TRUE"
        return self._compared(name, "$in" if is_list(wanted) else "$eq", wanted)

    def _compared(self, name: str, sign: str, value: Any) -> str:
        if sign == "$contains":
            return self._contains(name, value)
        column = self._column(name)
        if sign in ("$eq", "$ne"):
            self.values.append(plain(value))
            return f"{column} IS {'NOT ' if sign == '$ne' else ''}?"
        if sign in ("$in", "$nin"):
            if not is_list(value):
                raise BadFilter(f"{sign} takes a list")
            self.values.append(_listed(value))
            inside = f"{column} IN (SELECT value FROM json_each(?))"
            return f"coalesce({inside}, 0)" if sign == "$in" else f"NOT coalesce({inside}, 0)"
        if sign in COMPARED:
            self.values.append(plain(value))
            # SQL puts every text above every number; here the two have no order.
            kind = "text" if isinstance(value, str) else "number"
            return f"{column} {COMPARED[sign]} ? AND (typeof({self._column(name)}) = 'text') = {int(kind == 'text')}"
        raise BadFilter(f"{sign} is no operator that is known here")

    def _contains(self, name: str, value: Any) -> str:
        """Whether a list in the metadata holds a value."""
        path = checked_name(name)
        self.values += [path, plain(value)]
        return "EXISTS(SELECT 1 FROM json_each(d.metadata, ?) m WHERE m.value IS ?)"

    def _column(self, name: str) -> str:
        """The place of a name: a column, else the person's metadata, else what the file says of itself."""
        if name in COLUMNS:
            self.of_chunks |= COLUMNS[name].startswith("c.")
            return COLUMNS[name]
        path = checked_name(name)
        # Names have no marks or quotes in them (checked), so they may stand in the statement.
        return f"coalesce(json_extract(d.metadata, '{path}'), json_extract(d.facts, '{path}'))"


def allowed_chunks(store: LibraryStore, where: Where, collections: Sequence[str]) -> NDArray[np.int64]:
    """Ids of the passages that fit a filter in these collections, sorted.

    Raises:
        BadFilter: the filter has a form that is not known.
    """
    condition = Condition(where)
    columns, join, order = ("d.first_chunk, d.last_chunk", "", "d.first_chunk")
    if condition.of_chunks:
        columns, join, order = ("c.id, c.id", "JOIN chunks c ON c.document = d.id", "c.id")
    # The plus signs keep SQLite from walking all documents through the index of collections, out of their order.
    query = (
        f"SELECT {columns} FROM documents d {join} WHERE +d.status = 'ready' AND d.chunks > 0"
        f" AND +d.collection IN ({','.join('?' * len(collections))}) AND ({condition.sql}) ORDER BY {order}"
    )
    ranges = np.array(store.rows(query, [*collections, *condition.values]), np.int64).reshape(-1, 2)
    lengths = ranges[:, 1] - ranges[:, 0] + 1
    # Each range counted up from its first: one running number less the numbers before it.
    starts = np.repeat(ranges[:, 0] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    allowed: NDArray[np.int64] = starts + np.arange(len(starts))
    return allowed


def is_list(value: Any) -> bool:
    """Whether a filter's value is a list of values."""
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str)


def plain(value: Any) -> Any:
    """A value that can be compared with.

    Raises:
        BadFilter: it is none.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    raise BadFilter(f"{value!r} cannot be compared with; use a text, a number, true, false or null")


def _listed(values: Any) -> str:
    """A list of values as JSON, as a statement of SQL may have too few marks for each to get one.

    Raises:
        BadFilter: one cannot be compared with.
    """
    try:
        return json.dumps([plain(value) for value in values], allow_nan=False)
    except ValueError as error:
        raise BadFilter("a list holds a number that is infinite or none at all") from error


def checked_name(name: str) -> str:
    """A name of the metadata as SQLite's JSON functions take it.

    Raises:
        BadFilter: it holds a character that names may not have.
    """
    if any(mark in name for mark in "\"'\\") or not name.isprintable():
        raise BadFilter(f"the name {name!r} holds a character that names may not have")
    return f'$."{name}"'
