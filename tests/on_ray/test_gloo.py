"""Where gloo listens; two workers on two hosts are in tests/cluster/test_workers_two_nodes.py."""

import os

import psutil
import pytest
from ray import util

from branchpoint.on_ray.gloo import INTERFACE, interface_of, listen_where_the_node_does


def test_interface_of_an_address() -> None:
    for name, addresses in psutil.net_if_addrs().items():
        for known in addresses:
            assert interface_of(known.address) is not None, name
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.9") is None, "an address for documentation, of no interface"


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INTERFACE, raising=False)
    monkeypatch.setattr(util, "get_node_ip_address", lambda: "203.0.113.9")
    listen_where_the_node_does()
    assert INTERFACE not in os.environ, "gloo's own choice, where the address is not this host's"
    monkeypatch.setattr(util, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setenv(INTERFACE, "eth7")
    listen_where_the_node_does()
    assert os.environ[INTERFACE] == "eth7"
    monkeypatch.delenv(INTERFACE)
    listen_where_the_node_does()
    assert os.environ[INTERFACE] == "lo"
