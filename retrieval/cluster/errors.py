"""What can go wrong with a cluster, each with a stable code and one sentence for the person."""

from __future__ import annotations

from retrieval.errors import LibraryError, RetrievalError


class MissingRay(RetrievalError):
    """Ray is an extra."""

    code = "missing_extra"

    def __init__(self) -> None:
        super().__init__(
            "Work on a Ray cluster needs packages that are not installed: run `pip install 'hearth[ray]'`."
        )


class ClusterNotStarted(RetrievalError):
    """No cluster could be started on this machine."""

    code = "cluster_not_started"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(
            f"Ray could not start its processes on this machine ({detail}); try again when it has memory and processor "
            "time to spare, or leave Ray out."
        )


class ClusterUnreachable(RetrievalError):
    """No cluster could be joined."""

    code = "cluster_unreachable"

    def __init__(self, address: str, detail: str) -> None:
        self.address, self.detail = address, detail
        super().__init__(
            f"The Ray cluster {address} cannot be used ({detail}); give the host:port of a running head with the same "
            "version of Ray, or `local` to start a cluster on this machine."
        )


class NotOnServer(LibraryError):
    """Many workers write at once, which a library in a folder does not allow."""

    code = "not_on_server"

    def __init__(self, library: str) -> None:
        super().__init__(
            library,
            f"The library in {library} is a file of one machine, and workers of a cluster write to a PostgreSQL "
            "server: name one with library_url (HEARTH_LIBRARY_URL=postgresql://user@host/database), or leave --ray "
            "out.",
        )


class WorkerFailed(LibraryError):
    """A worker cannot go on, and another in its place could not either."""

    code = "worker_failed"

    def __init__(self, library: str, detail: str) -> None:
        self.detail = detail
        super().__init__(
            library,
            f"A worker of the cluster stopped: {detail.rstrip('.')}; what was stored is kept, and the same command run "
            "again carries on from there.",
        )
