"""A TCP proxy on loopback that makes the way to a broker long or narrow."""

import socket
import threading
import time

PIECE = 16_384


class SlowLine:
    """Passes every connection on; a context manager that ends with all of them.

    Attributes:
        delay_s: how long each piece is under way, in both directions.
        up_bytes_per_s: how much goes through to the broker, each connection for itself; None for all there is.
    """

    def __init__(self, port: int, behind_port: int, delay_s: float = 0.0, up_bytes_per_s: int | None = None) -> None:
        self.delay_s = delay_s
        self.up_bytes_per_s = up_bytes_per_s
        self._behind = ("127.0.0.1", behind_port)
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", port))

    def __enter__(self) -> "SlowLine":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in [self._door, *self._open]:
            _close(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:  # the door is closed
                return
            try:
                broker = socket.create_connection(self._behind)
            except OSError:
                client.close()
                continue
            self._open += [client, broker]
            threading.Thread(target=self._pass_on, args=(client, broker, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(broker, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        try:
            while piece := source.recv(PIECE):
                time.sleep(self.delay_s + (len(piece) / self.up_bytes_per_s if up and self.up_bytes_per_s else 0))
                target.sendall(piece)
        except OSError:
            pass
        finally:
            _close(source)
            _close(target)


def _close(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
