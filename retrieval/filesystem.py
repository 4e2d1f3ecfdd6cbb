"""On what kind of file system a library lies: SQLite's and our locks cannot be trusted over most networks.

Only Linux tells; elsewhere nothing is known and nothing is said.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs", "davfs", "fuse.sshfs",
     "fuse.davfs2", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs")
)  # fmt: skip
"""Source: the names under which the Linux kernel and the common FUSE programs mount what lies on other machines."""


def network_file_system(folder: Path) -> str | None:
    """The name of the network file system that holds a folder; None if it is on this machine, or unknown."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return None
    place = folder.resolve()
    best, kind = 0, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted = Path(_unescaped(before.split()[4]))
        if place.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), after.split()[0]
    return kind if kind in _NETWORK else None


def _unescaped(path: str) -> str:
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), path)
