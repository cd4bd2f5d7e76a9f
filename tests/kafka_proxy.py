"""A way to Kafka that can swallow requests of one kind: the client waits, the broker never hears of them."""

import socket
import struct
import threading
from contextlib import suppress

PRODUCE, FETCH, OFFSET_COMMIT = 0, 1, 8
"""Kafka's own numbers of requests."""


class KafkaProxy:
    """Passes everything on between clients and one broker, but for what it is told to swallow.

    Attributes:
        port: where it listens; the broker must name this as its address.
        swallowed: how many requests went nowhere.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.port = port
        self.swallowed = 0
        self._broker = ("127.0.0.1", broker_port)
        self._swallow: tuple[int, str] | None = None
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self, request: int, client: str) -> None:
        """From now on swallows requests of a kind from clients whose id begins so."""
        self._swallow = (request, client)

    def pass_all(self) -> None:
        """Passes everything on again; what was swallowed stays so."""
        self._swallow = None

    def close(self) -> None:
        """Cuts all connections and takes no more: for its clients Kafka is away."""
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(self._broker)
            self._sockets += [client, broker]
            threading.Thread(target=self._requests, args=(client, broker), daemon=True).start()
            threading.Thread(target=self._answers, args=(broker, client), daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        with client, broker:
            stream = client.makefile("rb")
            try:
                while len(size := stream.read(4)) == 4:
                    request = stream.read(struct.unpack(">i", size)[0])
                    if self._is_swallowed(request):
                        self.swallowed += 1
                    else:
                        broker.sendall(size + request)
            except OSError:
                pass  # one of them has gone

    def _is_swallowed(self, request: bytes) -> bool:
        if self._swallow is None:
            return False
        kind, _, _, length = struct.unpack(">hhih", request[:10])
        name = request[10 : 10 + max(0, length)].decode()
        return kind == self._swallow[0] and name.startswith(self._swallow[1])

    def _answers(self, broker: socket.socket, client: socket.socket) -> None:
        try:
            while part := broker.recv(65_536):
                client.sendall(part)
        except OSError:
            pass
        finally:
            client.close()
