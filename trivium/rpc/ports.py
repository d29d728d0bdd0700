"""Whether a port is free."""

import socket

from trivium.core.errors import Unreachable


def require_free(host: str, port: int) -> None:
    """Raises Unreachable when somebody listens on the port, also one who would share it (SO_REUSEPORT). 0 is free."""
    if not port:
        return
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise Unreachable(f"the port {host}:{port} cannot be opened: {error.strerror or error}") from None
