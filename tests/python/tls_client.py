"""A client of an echo server over TLS, by Python's ssl.

python3 tls_client.py HOST PORT CERTIFICATE VERSION
"""

import socket
import ssl
import sys

host, port, certificate, version = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
DATA = bytes(range(256)) * 2000


def connect():
    plain = socket.create_connection((host, int(port)), timeout=60)
    return context.wrap_socket(plain, server_hostname="localhost")


with connect() as tls:
    print(tls.version())
    back = b""
    for start in range(0, len(DATA), 50_000):
        tls.sendall(DATA[start : start + 50_000])
        while len(back) < min(start + 50_000, len(DATA)):
            piece = tls.recv(65536)
            assert piece, "it closed"
            back += piece
    assert back == DATA
    # close_notify, and waits for that of the server.
    plain = tls.unwrap()
    assert plain.recv(1) == b"", "FIN follows"
    plain.close()

# Cut: the server must not take this for an end.
tls = connect()
tls.sendall(b"half a mess")
assert tls.recv(100) == b"half a mess"
plain = socket.socket(fileno=tls.detach())
plain.settimeout(60)
plain.shutdown(socket.SHUT_WR)
try:
    assert plain.recv(100) == b"", "no close_notify answers it"
except ConnectionResetError:
    pass
print("done")
