"""What is looked at before a worker starts."""

import socket

import pytest

from learners.errors import MeanderError
from stream.adapters.brokers import free_ports
from stream.app import check_port
from stream.settings import Web


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use_is_said_before_anything_starts(host: str) -> None:
    """With what to do about it; a free one, and none at all, are fine."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(MeanderError, match=rf"{host}:{port} cannot be listened on: .* MEANDER_WEB_PORT"):
            check_port(Web(host=host, port=port))
    check_port(Web(host=host, port=free_ports(1)[0]))
    check_port(Web(host=host, port=0))


def test_a_host_that_is_not_here_is_said() -> None:
    """No address of this machine."""
    with pytest.raises(MeanderError, match=r"192\.0\.2\.1:.* cannot be listened on"):
        check_port(Web(host="192.0.2.1", port=free_ports(1)[0]))
