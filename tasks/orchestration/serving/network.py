"""Where the server listens: the host's end of an internal Docker network, or loopback."""

import ipaddress
import socket

from tasks.contracts.errors import ConfigError
from tasks.orchestration.places import DEVICE
from tasks.orchestration.serving.engine import EngineError, engine

LOOPBACK = "127.0.0.1"


def gateway(subnet: str) -> str:
    """The host's address in the network of the containers."""
    return str(next(ipaddress.ip_network(subnet).hosts()))


def ensure_network(name: str, subnet: str) -> None:
    """The internal network: containers reach the host and nobody else. Raises EngineError where it is another one."""
    client = engine()
    from docker.errors import DockerException, NotFound
    from docker.types import IPAMConfig, IPAMPool

    try:
        found = client.networks.get(name).attrs
    except NotFound:
        pool = IPAMPool(subnet=subnet, gateway=gateway(subnet))
        try:
            client.networks.create(name, driver="bridge", internal=True, ipam=IPAMConfig(pool_configs=[pool]))
        except DockerException as error:
            remedy = "Another network may use these addresses: docker network ls, and --subnet for another one."
            raise EngineError("cannot be made", where=f"network {name} {subnet}", found=error, remedy=remedy) from error
        return
    subnets = [each.get("Subnet") for each in found["IPAM"]["Config"]]
    if not found["Internal"] or subnets != [subnet]:
        raise EngineError(
            "is not the network that containers are kept in",
            where=f"network {name}",
            expected=f"internal, {subnet}",
            found=f"{'internal' if found['Internal'] else 'not internal'}, {', '.join(map(str, subnets))}",
            remedy=f"docker network rm {name}, or give its addresses with --subnet.",
        )


def refuse_taken(host: str, port: int) -> None:
    """Raises ConfigError where nobody can listen: the port is taken, or the address is not this machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ConfigError(
                "cannot be listened on",
                where=f"{host}:{port}",
                expected="a free port of this machine",
                found=error.strerror,
                remedy="Choose another --port, or --engine process where Docker runs in a virtual machine.",
            ) from error


def has_gpu() -> bool:
    """Whether this machine has a CUDA device and its Docker engine can hand it to containers."""
    return DEVICE.exists() and "nvidia" in engine().info().get("Runtimes", {})
