"""One question to a Kafka broker, over a bare socket: are you up?"""

import socket
import struct

from controlplane.embedded.ports import HOST


def lists_itself(port: int, number: int) -> bool:
    """Whether the broker answers a metadata request, and counts itself among the living."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            # Metadata version 1, correlation 0, no client name, no topics
            connection.sendall(struct.pack(">ihhihi", 14, 3, 1, 0, -1, 0))
            with connection.makefile("rb") as stream:
                (size,) = struct.unpack(">i", stream.read(4))
                return number in _brokers(stream.read(size))
    except (OSError, struct.error):
        return False


def _brokers(answer: bytes) -> list[int]:
    _, count = struct.unpack_from(">ii", answer)
    numbers, at = [], 8
    for _ in range(count):
        number, host_size = struct.unpack_from(">ih", answer, at)
        at += 6 + host_size + 4  # past the host and its port
        (rack_size,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack_size, 0)
        numbers.append(number)
    return numbers
