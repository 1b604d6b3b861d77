"""The real model in workers whose surroundings are changed."""

import socket
from contextlib import ExitStack

from tasks.tiles import precision
from tasks.tiles.settings import Loading, WorkerSettings
from tasks.tiles.torch_model import load_refiner


def without_bf16(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    precision.cpu_flags = lambda: frozenset()
    return load_refiner(settings, number, stack)


def without_network(settings: WorkerSettings, number: int, stack: ExitStack) -> Loading:
    block_network()
    return load_refiner(settings, number, stack)


def block_network(patch=setattr) -> None:
    """Every way out of the machine raises; pipes between processes stay open."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex", "sendto"):
        patch(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        patch(socket, name, refuse)
