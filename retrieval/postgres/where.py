"""The filter of a search as PostgreSQL's SQL; what it means is said, and tested, once for both stores.

A name's value is looked up as JSON: a number equals a number however it is written, and true counts as 1.
"""

from __future__ import annotations

import json
from typing import Any

from retrieval.errors import BadFilter
from retrieval.where import COLUMNS, COMPARED, Condition, checked_name, is_list, plain


class PostgresCondition(Condition):
    """A filter as SQL over `chunks c JOIN documents d`, with the values for its marks."""

    def _compared(self, name: str, sign: str, value: Any) -> str:
        if sign == "$contains":
            return self._contains(name, value)
        column = self._column(name)
        if sign in ("$eq", "$ne"):
            self.values.append(_json(value))
            return f"{column} IS {'NOT ' if sign == '$eq' else ''}DISTINCT FROM ?::jsonb"
        if sign in ("$in", "$nin"):
            if not is_list(value):
                raise BadFilter(f"{sign} takes a list")
            self.values.append([made for made in map(_json, value) if made is not None])
            return f"{'' if sign == '$in' else 'NOT '}coalesce({column} = ANY(?::text[]::jsonb[]), FALSE)"
        if sign in COMPARED:
            return self._ordered(column, COMPARED[sign], plain(value))
        raise BadFilter(f"{sign} is no operator that is known here")

    @staticmethod
    def _of_kind(column: str, kind: str, then: str) -> str:
        """A comparison that is made only where the value is of a kind, as others have no order with it."""
        return f"CASE WHEN jsonb_typeof({column}) = '{kind}' THEN {then} ELSE FALSE END"

    def _ordered(self, column: str, sign: str, value: Any) -> str:
        if isinstance(value, str):
            self.values.append(value)
            return self._of_kind(column, "string", f"({column} #>> '{{}}') COLLATE \"C\" {sign} ?::text")
        self.values.append(None if value is None else str(value + 0))
        number = self._of_kind(column, "number", f"({column})::numeric {sign} ?::numeric")
        return f"CASE WHEN {column} IS NOT NULL THEN {number} END"

    def _contains(self, name: str, value: Any) -> str:
        """Whether a list in the metadata holds a value."""
        checked_name(name)
        self.values += [name, name, _json(value)]
        one = f"(CASE jsonb_typeof(m) {_BOOLEAN.format('m')} ELSE m END)"
        return (
            "EXISTS(SELECT 1 FROM jsonb_array_elements(CASE jsonb_typeof(d.metadata::jsonb -> ?) WHEN 'array'"
            f" THEN d.metadata::jsonb -> ? ELSE '[]' END) m WHERE {one} IS NOT DISTINCT FROM ?::jsonb)"
        )

    def _column(self, name: str) -> str:
        """The place of a name: a column, else `fields`, where the person's metadata comes first."""
        if name in COLUMNS:
            self.of_chunks |= COLUMNS[name].startswith("c.")
            return f"to_jsonb({COLUMNS[name]})"
        checked_name(name)
        # Names have no marks or quotes in them (checked), so they may stand in the statement.
        field = f"d.fields -> '{name}'"
        return f"(CASE jsonb_typeof({field}) {_BOOLEAN.format(field)} ELSE {field} END)"


_BOOLEAN = "WHEN 'null' THEN NULL WHEN 'boolean' THEN to_jsonb(({0})::boolean::int)"


def _json(value: Any) -> str | None:
    """A value as JSON text, truth as 1 or 0; None for null."""
    made = plain(value)
    return None if made is None else json.dumps(int(made) if isinstance(made, bool) else made)
