"""The replicas of a custom job: who they are, how each is told of the others."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

ROLES = ("chief", "worker", "ps", "evaluator")
SERVERS = 2  # pools from here on serve the others and do not end by themselves


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica: its pool, its number in it, among all, and its address."""

    pool: int
    index: int
    rank: int
    address: str

    @property
    def name(self) -> str:
        """As logs call it."""
        return f"workerpool{self.pool}-{self.index}"

    @property
    def is_server(self) -> bool:
        """Whether it only serves the others."""
        return self.pool >= SERVERS


@dataclass(frozen=True, slots=True)
class Cluster:
    """All replicas of a job."""

    replicas: tuple[Replica, ...]

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Cluster:
        """A cluster with so many replicas in each pool; each has a free port of this machine."""
        ports = _free_ports(sum(sizes))
        places = [(pool, index) for pool, size in enumerate(sizes) for index in range(size)]
        return cls(
            tuple(
                Replica(pool, index, rank, f"127.0.0.1:{next(ports)}")
                for rank, (pool, index) in enumerate(places)
            )
        )

    def variables(self, one: Replica) -> dict[str, str]:
        """What a replica finds in its environment."""
        pools: dict[str, list[str]] = {}
        roles: dict[str, list[str]] = {}
        for replica in self.replicas:
            pools.setdefault(f"workerpool{replica.pool}", []).append(replica.address)
            roles.setdefault(_role(replica), []).append(replica.address)
        task = {"type": f"workerpool{one.pool}", "index": one.index}
        host, _, port = self.replicas[0].address.partition(":")
        return {
            "CLUSTER_SPEC": json.dumps({"cluster": pools, "environment": "cloud", "task": task}),
            "TF_CONFIG": json.dumps(
                {"cluster": roles, "task": {"type": _role(one), "index": one.index}, "environment": "cloud"}
            ),
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
            "RANK": str(one.rank),
            "NODE_RANK": str(one.rank),
            "WORLD_SIZE": str(len(self.replicas)),
        }


def _role(replica: Replica) -> str:
    return ROLES[min(replica.pool, len(ROLES) - 1)]


def _free_ports(count: int) -> Iterator[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        ports = [one.getsockname()[1] for one in sockets]
    return iter(ports)
