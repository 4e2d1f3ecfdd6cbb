"""The library's tables on the server, how they are made, and whether the server has what they need.

They have the names and columns of the SQLite file's, in a schema of their own, with the vectors and words in types that
the server can search.
"""

from __future__ import annotations

from typing import Any

from retrieval.analysis import ANALYSIS_VERSION
from retrieval.errors import NewerSchema, NoVectorExtension, StorageError

SCHEMA = "hearth"
SCHEMA_VERSION = 1
LOCK_KEY = 0x48525448
"""Whoever writes holds the server's advisory lock of this number."""
OLDEST_PGVECTOR = (0, 8)
"""The first with 16-bit vectors and with index scans that go on until a filter has enough."""

# Ids are given out by `counters` in the transaction that uses them: a sequence would leave gaps that look like losses.
# Vectors and words know their document, so that a filter need not read the passages. `fields` is what a filter looks
# into: the person's metadata before what the file says of itself.
NEW_VECTORS = """
CREATE TABLE new_vectors(
    chunk bigint PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
    document bigint NOT NULL,
    value halfvec NOT NULL,
    digest bytea NOT NULL,
    UNIQUE(document, chunk)
)"""
_TABLES = f"""
CREATE TABLE meta(key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE counters(name text PRIMARY KEY, seq bigint NOT NULL);
CREATE TABLE commits(
    generation bigint PRIMARY KEY,
    token text NOT NULL,
    removed_document bigint,
    removed_first bigint,
    removed_last bigint
);
CREATE TABLE documents(
    id bigint PRIMARY KEY,
    document_id text NOT NULL UNIQUE,
    collection text NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    path text,
    status text NOT NULL,
    message text,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    stamp text NOT NULL,
    pages integer,
    chunks integer NOT NULL,
    first_chunk bigint,
    last_chunk bigint,
    added text NOT NULL,
    generation bigint NOT NULL REFERENCES commits DEFERRABLE INITIALLY DEFERRED,
    metadata text NOT NULL,
    facts text NOT NULL,
    digest bytea NOT NULL,
    terms bigint NOT NULL DEFAULT 0,
    fields jsonb NOT NULL GENERATED ALWAYS AS (facts::jsonb || jsonb_strip_nulls(metadata::jsonb)) STORED
);
CREATE UNIQUE INDEX one_place ON documents(collection, md5(source));
CREATE INDEX documents_by_source ON documents USING hash(source);
CREATE UNIQUE INDEX one_copy ON documents(collection, sha256) WHERE status = 'ready';
CREATE TABLE texts(
    document bigint PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
    body text NOT NULL,
    page_starts text NOT NULL,
    digest bytea NOT NULL
);
CREATE TABLE chunks(
    id bigint PRIMARY KEY,
    document bigint NOT NULL REFERENCES documents ON DELETE CASCADE,
    ordinal integer NOT NULL,
    "start" bigint NOT NULL,
    "end" bigint NOT NULL,
    page integer,
    position text,
    text text NOT NULL,
    digest bytea NOT NULL,
    UNIQUE(document, ordinal)
);
{NEW_VECTORS.replace("new_vectors", "vectors")};
{NEW_VECTORS};
CREATE TABLE terms(
    chunk bigint PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
    document bigint NOT NULL,
    length integer NOT NULL,
    words tsvector NOT NULL
);
CREATE INDEX terms_by_word ON terms USING gin(words);
CREATE FUNCTION count_on() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE highest bigint;
    BEGIN
        EXECUTE format('SELECT max(%I) FROM inserted', TG_ARGV[0]) INTO highest;
        INSERT INTO {SCHEMA}.counters AS c VALUES (TG_TABLE_NAME, coalesce(highest, 0))
            ON CONFLICT (name) DO UPDATE SET seq = greatest(c.seq, excluded.seq);
        RETURN NULL;
    END $$;
"""
_COUNTED = {"documents": "id", "chunks": "id", "commits": "generation"}


def make_tables(raw: Any) -> None:
    """Make the schema, its tables and, where it is missing, the vector extension; call it inside a transaction."""
    if not raw.execute("SELECT EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = %s)", (SCHEMA,)).fetchone()[0]:
        raw.execute(f"CREATE SCHEMA {SCHEMA}")
    raw.execute(f"SET LOCAL search_path TO {SCHEMA}, {extension_schema(raw)}")
    raw.execute(_TABLES)
    for table, column in _COUNTED.items():
        raw.execute(
            f"CREATE TRIGGER count_on AFTER INSERT ON {table} REFERENCING NEW TABLE AS inserted"
            f" FOR EACH STATEMENT EXECUTE FUNCTION count_on('{column}')"
        )
    versions = [("schema", str(SCHEMA_VERSION)), ("analysis", str(ANALYSIS_VERSION))]
    raw.cursor().executemany("INSERT INTO meta VALUES (%s, %s)", versions)


def add_extension(raw: Any, name: str) -> None:
    """Make sure that the database has pgvector, recent enough.

    Raises:
        NoVectorExtension: the server does not have it, or an older one.
        psycopg.errors.InsufficientPrivilege: this user may not create it.
    """
    encoding = raw.execute("SHOW server_encoding").fetchone()[0]
    if encoding != "UTF8":
        raise StorageError(name, f"the database's encoding is {encoding}; make one with UTF8")
    found = raw.execute("SELECT installed_version, default_version FROM pg_available_extensions WHERE name = 'vector'")
    row = found.fetchone()
    if row is None:
        raise NoVectorExtension(name, "none")
    version = row[0] or row[1]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PGVECTOR:
        raise NoVectorExtension(name, version)
    if row[0] is None:
        raw.execute("CREATE EXTENSION IF NOT EXISTS vector")


def extension_schema(raw: Any) -> str:
    """Where the database's vector extension lies, as an identifier; its own schema otherwise is `public`."""
    query = (
        "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'vector'"
    )
    row = raw.execute(query).fetchone()
    return str(row[0]) if row else "public"


def has_tables(raw: Any, name: str) -> bool:
    """Whether the library is there, in a format that is known.

    Raises:
        NewerSchema, StorageError: it is there in another format.
    """
    # Asked of the catalogue's rows: `to_regclass` may still know what was true before a lock was waited for.
    query = "SELECT EXISTS(SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'meta')"
    if not raw.execute(query, (SCHEMA,)).fetchone()[0]:
        return False
    row = raw.execute(f"SELECT value FROM {SCHEMA}.meta WHERE key = 'schema'").fetchone()
    found = row[0] if row else "none"
    if found.isdigit() and int(found) > SCHEMA_VERSION:
        raise NewerSchema(name, int(found), SCHEMA_VERSION)
    if found != str(SCHEMA_VERSION):
        raise StorageError(name, f"its tables have the format {found}, this Hearth knows {SCHEMA_VERSION}")
    return True
