"""A Unix socket that the gateway listens on and one sandbox may dial."""

import os
import socket
import struct
from pathlib import Path


def listen(directory: Path, name: str, *, uid: int, backlog: int) -> socket.socket:
    """Listen without blocking on a socket in `directory` that only the host user `uid` can dial.

    Raises:
        OSError: There is something of that name, or no such directory.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The address of a socket holds 107 bytes; this one is short however long the path is.
        path = Path(f"/proc/self/fd/{place}/{name}")
        listener.bind(str(path))
        path.chmod(0o600)
        if uid != os.geteuid():
            os.chown(path, uid, uid)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(place)
    return listener


def peer_uid(connection: socket.socket) -> int:
    """The host user who dialled."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII")
    )
    return struct.unpack("iII", credentials)[1]
