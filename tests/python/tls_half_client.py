"""A client over TLS that closes its half, by close_notify alone or with FIN, and reads on, by Python's ssl.

python3 tls_half_client.py PORT CERTIFICATE VERSION

Prints what comes back after its own close_notify, once for each way.
"""

import socket
import ssl
import sys

port, certificate, version = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]


class Half:
    """A TLS connection whose bytes this script moves: ssl.SSLSocket knows no half-closed one."""

    def __init__(self):
        self.plain = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.move(self.tls.do_handshake)

    def move(self, step, *arguments):
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                self.flush()
                came = self.plain.recv(65536)
                if not came:
                    self.incoming.write_eof()
                self.incoming.write(came)
            finally:
                self.flush()

    def flush(self):
        if self.outgoing.pending:
            self.plain.sendall(self.outgoing.read())

    def notify(self):
        """Sends close_notify, and does not wait for that of the server."""
        try:
            self.tls.unwrap()
            raise AssertionError("the server has not said its end yet")
        except ssl.SSLWantReadError:
            self.flush()

    def read_to_end(self):
        came = b""
        while True:
            try:
                piece = self.move(self.tls.read, 65536)
            except ssl.SSLZeroReturnError:
                piece = b""
            if not piece:
                return came
            came += piece


for fin in (False, True):
    half = Half()
    half.tls.write(b"x" * 100_000)
    half.flush()
    half.notify()
    if fin:
        half.plain.shutdown(socket.SHUT_WR)
    came = half.read_to_end()
    assert came.startswith(b"x" * 100_000), len(came)
    assert half.plain.recv(1) == b"", "FIN follows"
    half.plain.close()
    print(came[100_000:].decode(), end="")
