"""For every Python below a test without network: refuses and notes each address that is not this machine."""

import os
import socket

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


def _check(host) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if not name.startswith(_LOCAL):
        with open(os.environ["NETWORK_ATTEMPTS"], "a") as notes:
            notes.write(f"{name}\n")
        raise PermissionError(f"no network: {name}")


def _guarded(call):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return call(self, address)

    return connect


def _named(call):
    def getaddrinfo(host, *args, **more):
        _check(host)
        return call(host, *args, **more)

    return getaddrinfo


socket.socket.connect = _guarded(socket.socket.connect)
socket.socket.connect_ex = _guarded(socket.socket.connect_ex)
socket.getaddrinfo = _named(socket.getaddrinfo)
