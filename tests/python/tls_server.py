"""A server over TLS by Python's ssl, for one client in each way to end.

python3 tls_server.py CERTIFICATE KEY VERSION

Prints its address, then serves a client in each of these ways, and prints what came:

answer  reads to the client's close_notify, and then sends all of it back
notify  sends its own close_notify first, and reads on
cut     sends a part, and FIN without a close_notify
"""

import socket
import ssl
import sys

certificate, key, version = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

listener = socket.create_server(("127.0.0.1", 0))
print("listening on %s:%d" % listener.getsockname(), flush=True)


def accept():
    plain, _ = listener.accept()
    plain.settimeout(60)
    # An end without close_notify is an error, and none like any other.
    return context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)


def read_to_end(tls):
    came = b""
    while piece := tls.recv(65536):
        came += piece
    return came


# answer
tls = accept()
came = read_to_end(tls)
tls.sendall(came)
plain = tls.unwrap()
print("answer", len(came), flush=True)
plain.close()

# notify: SSLSocket.unwrap would wait, so this one moves the bytes itself.
plain, _ = listener.accept()
plain.settimeout(60)
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_side=True)


def move(step, *arguments):
    while True:
        try:
            return step(*arguments)
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            piece = plain.recv(65536)
            if not piece:
                incoming.write_eof()
            incoming.write(piece)
        finally:
            plain.sendall(outgoing.read())


move(tls.do_handshake)
move(tls.write, b"question")
try:
    tls.unwrap()
    raise AssertionError("the client has not said its end yet")
except ssl.SSLWantReadError:
    plain.sendall(outgoing.read())
came = b""
try:
    while piece := move(tls.read, 65536):
        came += piece
except ssl.SSLZeroReturnError:
    pass
print("notify", len(came), flush=True)
plain.close()

# cut
tls = accept()
tls.sendall(b"half a mess")
plain = socket.socket(fileno=tls.detach())
plain.shutdown(socket.SHUT_WR)
plain.settimeout(60)
try:
    while plain.recv(65536):
        pass
except ConnectionResetError:
    pass
print("cut", flush=True)
