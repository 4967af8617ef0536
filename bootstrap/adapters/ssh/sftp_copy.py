"""Copies a file from a machine that is not trusted, over SFTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.adapters.local.download_target import LocalFile

if TYPE_CHECKING:
    import paramiko

MOST_BYTES = 8 << 30
"""The largest file taken. It is a snapshot: etcd's data is 2 GiB by default and 8 GiB at the most that etcd advises."""
_REQUEST = 1 << 15
"""What is asked for at a time, as OpenSSH's sftp-server gives at once.

Nothing is requested ahead: paramiko's prefetch allocates memory for the size that the machine reports, and waits
without end for what lies beyond the true end of the file (paramiko 5.1).
"""


def copy_file(source: paramiko.SFTPFile, size: int, file: LocalFile) -> int:
    """Copy `size` bytes, or fewer where the file is shorter; returns how many arrived."""
    arrived = 0
    while arrived < size:
        chunk = source.read(min(_REQUEST, size - arrived))
        if not chunk:
            break
        file.write(chunk)
        arrived += len(chunk)
    return arrived
