"""SSH with packets of limited size. Imports paramiko, which is slow: import it where it is used.

The other side announces the length of the next packet before any host key is checked, and paramiko (5.1) allocates that
much memory: up to 4 GiB for four bytes. OpenSSH accepts and sends at most 256 KiB (packet.c, PACKET_MAX_SIZE); RFC
4253, 6.1 requires 35 000 bytes.
"""

from __future__ import annotations

import socket
from typing import Any

from paramiko import SSHException, Transport
from paramiko.packet import Packetizer

MOST_PACKET_BYTES = 1 << 20


class _BoundedPacketizer(Packetizer):
    """Reads no more at a time than a packet may have."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        if n > MOST_PACKET_BYTES:
            raise SSHException(f"it announces a packet of {n} bytes")
        return super().read_all(n, check_rekey)


def bounded_transport(sock: socket.socket, **settings: Any) -> Transport:  # noqa: ANN401 - paramiko's own
    """A transport as paramiko's client makes it."""
    transport = Transport(sock, **settings)
    transport.packetizer = _BoundedPacketizer(sock)
    return transport
