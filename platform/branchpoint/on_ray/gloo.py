"""How the workers of a run find each other through gloo: by the addresses that their Ray nodes have."""

from __future__ import annotations

import os
from typing import Any

INTERFACE = "GLOO_SOCKET_IFNAME"


def torch_config(backend: str) -> Any:
    """Ray Train's ``TorchConfig`` for ``backend``, whose workers listen where their node does.

    By itself gloo listens at what the host's name means to the host, on many a Linux 127.0.1.1, where no worker of
    another host reaches it. (NCCL looks for an interface that leads somewhere.)
    """
    from ray.train.torch import TorchConfig

    class NodeTorchConfig(TorchConfig):
        @property
        def backend_cls(self) -> Any:
            setup: Any = super().backend_cls

            class Backend(setup):
                def on_start(self, worker_group: Any, backend_config: Any) -> None:
                    worker_group.execute(listen_where_the_node_does)
                    super().on_start(worker_group, backend_config)

            return Backend

    return NodeTorchConfig(backend=backend)


def listen_where_the_node_does() -> None:
    """Tell gloo the network interface of this Ray node's address, unless the environment names one."""
    from ray.util import get_node_ip_address

    interface = interface_of(get_node_ip_address())
    if interface is not None:
        os.environ.setdefault(INTERFACE, interface)


def interface_of(address: str) -> str | None:
    """Name of this host's network interface with ``address``; ``None``: there is none (behind a translated address)."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(known.address == address for known in addresses):
            return name
    return None
