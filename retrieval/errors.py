"""Everything that can go wrong in the library, each with a stable code and one sentence for the person.

The class carries the facts; the sentence says what was found, what was expected and what to do. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RetrievalError(Exception):
    """Base of the room's errors; `code` is stable and scripts may rely on it."""

    code: ClassVar[str] = "retrieval_error"


class DocumentError(RetrievalError):
    """One document cannot be used; the rest of the batch goes on.

    Args:
        document: the name the person knows the document by.
        found: the rest of the sentence, from the verb on.
    """

    code = "document_error"

    def __init__(self, document: str, found: str) -> None:
        self.document = document
        self.found = found
        super().__init__(f"{document} {found}")


class EmptyFile(DocumentError):
    """The file has no bytes, or nothing but whitespace."""

    code = "empty_file"


class NoText(DocumentError):
    """The file is sound, but no text could be taken from it."""

    code = "no_text"


class Encrypted(DocumentError):
    """The file opens only with a password."""

    code = "encrypted"


class Corrupt(DocumentError):
    """The file is damaged beyond what the parser can recover."""

    code = "corrupt"


class ParserTimeout(DocumentError):
    """Parsing took longer than the limit and was ended."""

    code = "timeout"


class TooComplex(DocumentError):
    """Parsing needed more memory or processor time than the limit."""

    code = "too_complex"


class ExpandsTooMuch(DocumentError):
    """A container that would unpack to far more than it is; it was not unpacked."""

    code = "expands_too_much"


class UnsafeXml(DocumentError):
    """XML with entities, a document type or nesting that no document needs."""

    code = "unsafe_xml"


class TooLarge(DocumentError):
    """The file, or the text in it, is larger than the limit; it was not read."""

    code = "too_large"


class TypeMismatch(DocumentError):
    """The content is not what the extension says."""

    code = "type_mismatch"


class UnsupportedType(DocumentError):
    """No parser for this kind of file."""

    code = "unsupported_type"


class NotFound(DocumentError):
    """No such file, folder or document."""

    code = "not_found"


class PermissionDenied(DocumentError):
    """The file or folder may not be read by this user."""

    code = "permission"


class NotRegularFile(DocumentError):
    """A link, pipe, socket or device where a file was expected."""

    code = "not_a_file"


class Changed(DocumentError):
    """The file changed while it was being read, twice."""

    code = "changed"


class Unreadable(DocumentError):
    """The operating system could not read the file."""

    code = "unreadable"


class LibraryError(RetrievalError):
    """The library itself, not one document, is the trouble.

    Args:
        library: folder of the library.
        sentence: the whole sentence for the person.
    """

    code = "library_error"

    def __init__(self, library: str, sentence: str) -> None:
        self.library = library
        super().__init__(sentence)


class Locked(LibraryError):
    """Another writer held the library longer than we waited."""

    code = "locked"

    def __init__(self, library: str, holder: int | None, waited_seconds: float) -> None:
        self.holder = holder
        self.waited_seconds = waited_seconds
        who = f"process {holder}" if holder else "another process"
        super().__init__(
            library, f"The library is being written by {who}; waited {waited_seconds:.0f} s. Try again when it is done."
        )


class NoLocks(LibraryError):
    """The folder's file system does not keep two writers apart."""

    code = "no_locks"

    def __init__(self, library: str) -> None:
        super().__init__(
            library,
            f"The file system of {library} has no working locks, so two writers could damage the library; "
            "put the data folder on a local disk.",
        )


class ReadOnly(LibraryError):
    """The library's folder or disk does not allow writing."""

    code = "read_only"

    def __init__(self, library: str) -> None:
        super().__init__(
            library, f"The library in {library} is read-only here: searching works, adding and removing do not."
        )


class DiskFull(LibraryError):
    """No space left; what was acknowledged before is kept."""

    code = "disk_full"

    def __init__(self, library: str) -> None:
        super().__init__(
            library, "The disk that holds the library is full; free some space and run the same command again."
        )


class Damaged(LibraryError):
    """The library's file is not a sound database."""

    code = "library_damaged"

    def __init__(self, library: str, detail: str) -> None:
        self.detail = detail
        super().__init__(
            library,
            f"The library file in {library} is damaged ({detail}); run `hearth verify --repair`, or restore a backup.",
        )


class NewerSchema(LibraryError):
    """The library was written by a later Hearth."""

    code = "newer_library"

    def __init__(self, library: str, found: int, known: int) -> None:
        self.found, self.known = found, known
        super().__init__(
            library, f"The library has format {found}, this Hearth knows {known}; use the newer Hearth that made it."
        )


class OlderSchema(LibraryError):
    """The library was written by an earlier Hearth; it is brought up to date as soon as it may be written."""

    code = "older_library"

    def __init__(self, library: str, found: int) -> None:
        self.found = found
        super().__init__(
            library,
            f"The library has the earlier format {found} and is read-only here; open it once where it may be written.",
        )


class IndexModelMismatch(LibraryError):
    """The vectors were made by another embedding model, so no distance to them means anything."""

    code = "index_model_mismatch"

    def __init__(self, library: str, stored: str, offered: str) -> None:
        self.stored, self.offered = stored, offered
        super().__init__(
            library,
            f"The library was indexed with the embedding model {stored}, but {offered} is configured now; "
            "configure the first one again, or run `hearth reembed`.",
        )


class ReembeddingReplaced(LibraryError):
    """Another re-embedding, with another model, began while this one was running."""

    code = "reembedding_replaced"

    def __init__(self, library: str, label: str) -> None:
        self.label = label
        super().__init__(
            library,
            f"Re-embedding with {label} was ended, because another model's began; run `hearth reembed` with the one "
            "that shall stay.",
        )


class BadEmbedding(LibraryError):
    """The embedding model returned something that is not a finite vector of the right length."""

    code = "bad_embedding"

    def __init__(self, library: str, detail: str) -> None:
        super().__init__(library, f"The embedding model returned vectors that cannot be stored: {detail}.")


class MissingExtra(LibraryError):
    """A library on a server needs a package that the plain installation leaves out."""

    code = "missing_extra"

    def __init__(self, library: str) -> None:
        super().__init__(
            library,
            "A library on a PostgreSQL server needs packages that are not installed: "
            "run `pip install 'hearth[postgres]'`.",
        )


class BadAddress(LibraryError):
    """The address of a server cannot be read; it is not repeated, as it may hold a password."""

    code = "bad_address"

    def __init__(self) -> None:
        super().__init__(
            "postgresql://", "The library's address cannot be read; write it as postgresql://user@host:port/database."
        )


class ServerUnreachable(LibraryError):
    """No connection to the server could be made."""

    code = "server_unreachable"

    def __init__(self, library: str, detail: str) -> None:
        self.detail = detail
        super().__init__(
            library,
            f"The PostgreSQL server of {library} cannot be reached ({detail}); see that it runs, and that the address "
            "and the password (PGPASSWORD or ~/.pgpass) are right.",
        )


class ConnectionLost(LibraryError):
    """The server went away in the middle."""

    code = "connection_lost"

    def __init__(self, library: str) -> None:
        super().__init__(
            library,
            f"The connection to {library} was lost; what was reported as stored is kept, and the same command run "
            "again carries on from there.",
        )


class NoVectorExtension(LibraryError):
    """The server cannot search vectors."""

    code = "no_vector_extension"

    def __init__(self, library: str, found: str) -> None:
        self.found = found
        super().__init__(
            library,
            f"The server of {library} has no pgvector that can be used (found {found}, needed 0.8 or later); install "
            "it there.",
        )


class NoRights(LibraryError):
    """The server's user may not do what is needed."""

    code = "no_rights"

    def __init__(self, library: str, detail: str, remedy: str) -> None:
        self.detail = detail
        super().__init__(library, f"The user of {library} lacks a right ({detail}); let an administrator {remedy}.")


class OnServer(LibraryError):
    """Something that is done to a library's file, and this one has none."""

    code = "on_server"

    def __init__(self, library: str) -> None:
        super().__init__(
            library,
            f"This works on a library in a folder, and this one is on the server {library}; there `pg_dump` makes "
            "copies and `pg_restore` brings them back.",
        )


class ParserUnavailable(RetrievalError):
    """The operating system would not start the process that reads documents."""

    code = "parser_unavailable"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The process that reads documents could not be started ({detail}); try again.")


class BadMetadata(RetrievalError):
    """A document's metadata cannot be stored as JSON."""

    code = "bad_metadata"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The metadata cannot be stored ({detail}); use text, numbers, true, false, lists and null.")


class BadUser(RetrievalError):
    """A user without a name."""

    code = "bad_user"

    def __init__(self, user: str) -> None:
        self.user = user
        super().__init__(f"The user's name is {user!r}, and a name with letters was expected; say whose library it is.")


class BadFilter(RetrievalError):
    """A search's filter has a form that is not known."""

    code = "bad_filter"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The filter cannot be used: {detail}.")


class NotReplaced(RetrievalError):
    """There is a file at the place of an export or backup that Hearth did not write."""

    code = "not_replaced"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} exists and is no export or backup of Hearth's; choose another name.")


class BadExport(RetrievalError):
    """A file that should be imported is no export, or a damaged one."""

    code = "bad_export"

    def __init__(self, name: str, detail: str) -> None:
        self.name, self.detail = name, detail
        super().__init__(f"{name} cannot be imported: {detail}; what came before in it is kept. Export it again.")


class StorageError(LibraryError):
    """The store could not be read or written for another reason, which the sentence names."""

    code = "storage_error"

    def __init__(self, library: str, detail: str) -> None:
        self.detail = detail
        super().__init__(library, f"The library in {library} could not be used: {detail}.")


DOCUMENT_ERRORS: dict[str, type[DocumentError]] = {
    kind.code: kind
    for kind in (
        EmptyFile, NoText, Encrypted, Corrupt, ParserTimeout, TooComplex, TooLarge, TypeMismatch, UnsupportedType,
        NotFound, PermissionDenied, NotRegularFile, Changed, Unreadable, ExpandsTooMuch, UnsafeXml,
    )
}  # fmt: skip


def document_error(code: str, document: str, found: str) -> DocumentError:
    """The document error of a code, for errors that crossed a process boundary as data."""
    kind: Any = DOCUMENT_ERRORS.get(code, Corrupt)
    error: DocumentError = kind(document, found)
    return error
