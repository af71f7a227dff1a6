"""A client over TLS that breaks the rules, or follows them in ways that nobody else does, by tlslite-ng.

python3 tls_hostile.py PORT

The server is an echo server with last words. Prints a line for each case: its name and the outcome, which is the alert that came, or
`end` (FIN without an alert), `reset`, `served`, or the first message of the server's handshake.
"""

import os
import socket
import struct
import sys

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.constants import AlertDescription, CipherSuite, ContentType, HandshakeType
from tlslite.constants import KeyUpdateMessageType
from tlslite.errors import TLSAbruptCloseError, TLSRemoteAlert
from tlslite.extensions import ClientKeyShareExtension, ECPointFormatsExtension, KeyShareEntry
from tlslite.extensions import PaddingExtension, SignatureAlgorithmsExtension
from tlslite.extensions import SupportedGroupsExtension, SupportedVersionsExtension
from tlslite.messages import ClientHello, Message

port = int(sys.argv[1])
CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
FATAL, WARNING = 2, 1
SECP256R1, X25519 = 23, 29
ECDSA_SECP256R1_SHA256 = (4, 3)


def dial():
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


# Before anything is encrypted.


def client_hello(version=(3, 4), padding=None, suites=None, extensions=None):
    """The bytes of a ClientHello that the server likes, if nothing is changed."""
    if suites is None:
        suites = [CipherSuite.TLS_AES_128_GCM_SHA256]
        if version < (3, 4):
            suites = [CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
    if extensions is None:
        extensions = [
            SupportedGroupsExtension().create([X25519, SECP256R1]),
            SignatureAlgorithmsExtension().create([ECDSA_SECP256R1_SHA256]),
        ]
        if version < (3, 4):
            extensions.append(ECPointFormatsExtension().create([0]))
        else:
            share = KeyShareEntry().create(X25519, bytearray(os.urandom(32)))
            extensions.append(ClientKeyShareExtension().create([share]))
            extensions.append(SupportedVersionsExtension().create([version]))
    if padding is not None:
        extensions.append(PaddingExtension().create(padding))
    hello = ClientHello()
    random = bytearray(os.urandom(32))
    hello.create((3, 3), random, bytearray(32), suites, extensions=extensions)
    return bytes(hello.write())


def record(kind, payload, version=0x0303):
    return struct.pack("!BHH", kind, version, len(payload)) + payload


def records(kind, payload, size):
    pieces = (payload[at : at + size] for at in range(0, len(payload), size))
    return b"".join(record(kind, piece) for piece in pieces)


def alert(level, description):
    return record(ALERT, bytes([level, description]))


def message(kind, body=b""):
    """A message of a handshake."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def name_of(description):
    return AlertDescription.toRepr(description)


def read(plain, count):
    came = b""
    while len(came) < count:
        piece = plain.recv(count - len(came))
        if not piece:
            raise EOFError
        came += piece
    return came


def answer(plain):
    """The server's first record, in a word."""
    try:
        kind, _, length = struct.unpack("!BHH", read(plain, 5))
        payload = read(plain, length)
    except EOFError:
        return "end"
    except ConnectionResetError:
        return "reset"
    if kind == ALERT:
        return name_of(payload[1])
    if kind == HANDSHAKE:
        return HandshakeType.toRepr(payload[0])
    return f"a record of kind {kind}"


def in_clear(*pieces, fin=False):
    """Sends pieces, each in a segment of its own, and FIN if asked to; the outcome."""
    with dial() as plain:
        try:
            for piece in pieces:
                plain.sendall(piece)
            if fin:
                plain.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has ended already, and the answer may be there all the same
        return answer(plain)


def cut_at_every_byte(version):
    hello = client_hello(version)
    outcomes = set()
    for at in range(1, len(hello)):
        with dial() as plain:
            plain.sendall(record(HANDSHAKE, hello[:at]) + record(HANDSHAKE, hello[at:]))
            outcomes.add(answer(plain))
    return " or ".join(sorted(outcomes))


def hello_between(between, version=(3, 4)):
    """Something between two halves of a ClientHello."""
    hello = client_hello(version)
    return in_clear(record(HANDSHAKE, hello[:50]) + between + record(HANDSHAKE, hello[50:]))


def of_length(length):
    """A ClientHello of so many bytes, without the four of its header."""
    short = len(client_hello(padding=0)) - 4
    return records(HANDSHAKE, client_hello(padding=length - short), 16384)


def second_message(version, following, fin=False):
    """What comes to something behind a ClientHello, after the flight of the server."""
    with dial() as plain:
        plain.sendall(record(HANDSHAKE, client_hello(version)))
        done = message(HandshakeType.server_hello_done)
        came = b""
        while not came.endswith(done):
            came += plain.recv(65536)
        plain.sendall(following)
        if fin:
            plain.shutdown(socket.SHUT_WR)
        return answer(plain)


def case(name, outcome):
    print(f"{name}: {outcome}", flush=True)


for version, name in (((3, 3), "1.2"), ((3, 4), "1.3")):
    hello = client_hello(version)
    case(f"{name}: a hello", in_clear(record(HANDSHAKE, hello)))
    case(f"{name}: a hello in records of one byte", in_clear(records(HANDSHAKE, hello, 1)))
    case(f"{name}: a hello in segments of one byte", in_clear(
        *(bytes([byte]) for byte in record(HANDSHAKE, hello))
    ))
    case(f"{name}: a hello in two records, cut anywhere", cut_at_every_byte(version))
    case(f"{name}: no suite that the server knows", in_clear(
        record(HANDSHAKE, client_hello(version, suites=[CipherSuite.TLS_RSA_WITH_RC4_128_MD5]))
    ))
    case(f"{name}: no extensions", in_clear(
        record(HANDSHAKE, client_hello(version, extensions=[]))
    ))
    case(f"{name}: a hello with a byte behind its end", in_clear(
        record(HANDSHAKE, bytes([hello[0]]) + (len(hello) - 3).to_bytes(3, "big") + hello[4:] + b"\0")
    ))

case("an alert between the halves of a hello", hello_between(alert(WARNING, 90)))
case("data between the halves of a hello", hello_between(record(DATA, b"data")))
case("a change of ciphers between the halves of a hello", hello_between(record(CCS, b"\1")))
case("an empty record between the halves of a hello", hello_between(record(HANDSHAKE, b"")))
case("a second hello", in_clear(record(HANDSHAKE, client_hello((3, 3)) * 2)))
case("data first", in_clear(record(DATA, b"hello")))
case("a client key exchange first", in_clear(
    record(HANDSHAKE, message(HandshakeType.client_key_exchange, bytes(33)))
))
case("finished first", in_clear(record(HANDSHAKE, message(HandshakeType.finished, bytes(12)))))
case("a server hello first", in_clear(
    record(HANDSHAKE, message(HandshakeType.server_hello, bytes(100)))
))
case("a change of ciphers first", in_clear(record(CCS, b"\1"), record(HANDSHAKE, client_hello())))
case("twenty changes of ciphers first", in_clear(record(CCS, b"\1") * 20))
case("a heartbeat first", in_clear(record(24, b"\1\0\3abc")))
case("a record of no known kind", in_clear(record(99, b"hello")))
case("a record of another major version", in_clear(record(HANDSHAKE, client_hello(), 0x0404)))
case("a record longer than any may be", in_clear(record(HANDSHAKE, b"\1" + bytes(20000))))
case("empty records", in_clear(record(HANDSHAKE, b"") * 20))
case("a hello of SSL 2", in_clear(
    b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80" + bytes(31)
))
case("HTTP in clear", in_clear(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
case("random bytes", in_clear(b"\xa5\x17\x03\x99" * 500))
case("close_notify and FIN first", in_clear(alert(WARNING, 0), fin=True))
case("close_notify and FIN behind a hello", second_message((3, 3), alert(WARNING, 0), fin=True))
case("the client has cancelled", in_clear(alert(WARNING, 90) + alert(WARNING, 0), fin=True))
case("a fatal alert first", in_clear(alert(FATAL, AlertDescription.handshake_failure)))
case("a hundred warnings first", in_clear(alert(WARNING, 90) * 100))
case("an alert of three bytes", in_clear(record(ALERT, b"\1\0\0")))
case("a hello of 60,000 bytes", in_clear(of_length(60_000)))
case("a hello of 65,535 bytes", in_clear(of_length(65_535)))
case("a hello of 65,536 bytes", in_clear(of_length(65_536)))
case("a hello of 16 MiB is announced", in_clear(record(HANDSHAKE, b"\1\xff\xff\xff" + bytes(100))))
case("a hello of 10,000 bytes in records of one", in_clear(
    records(HANDSHAKE, client_hello(padding=9_700), 1)
))
case("a hello of 20,000 bytes in records of one", in_clear(
    records(HANDSHAKE, client_hello(padding=19_700), 1)
))
case("1.2: finished in clear", second_message(
    (3, 3), record(HANDSHAKE, message(HandshakeType.finished, bytes(12)))
))
case("1.2: a change of ciphers before the keys", second_message((3, 3), record(CCS, b"\1")))
case("1.2: a point that is not on the curve", second_message(
    (3, 3),
    record(HANDSHAKE, message(HandshakeType.client_key_exchange, b"\x20" + bytes(32))),
))
case("1.2: data before the end of the handshake", second_message((3, 3), record(DATA, b"data")))


# On an open connection.


class Client:
    def __init__(self, version):
        self.plain = dial()
        self.tls = TLSConnection(self.plain)
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = version
        settings.keyShares = ["x25519"]
        settings.eccCurves = ["x25519", "secp256r1"]
        self.tls.handshakeClientCert(settings=settings, serverName="localhost")

    def send(self, kind, payload):
        """A record as it is, encrypted."""
        for _ in self.tls._recordLayer.sendRecord(Message(kind, bytearray(payload))):
            raise AssertionError("the socket blocks")

    def echo(self, text=b"x"):
        self.tls.write(text)
        return self.expect(text)

    def expect(self, text):
        """Whether the server still serves, or how it has ended."""
        try:
            came = self.tls.read(len(text), len(text))
        except TLSRemoteAlert as remote:
            return name_of(remote.description)
        except TLSAbruptCloseError:
            return "end"
        except ConnectionResetError:
            return "reset"
        if came == b"":
            return "close_notify"
        return "served" if came == text else f"{came!r}"

    def all_records(self, until):
        """What comes as it is, for tlslite-ng takes some warnings for the end."""
        outcomes = []
        while "served" not in outcomes and "end" not in outcomes:
            try:
                for result in self.tls._recordLayer.recvRecord():
                    if result not in (0, 1):
                        break
            except TLSAbruptCloseError:
                outcomes.append("end")
                continue
            header, parser = result
            if header.type == ALERT:
                outcomes.append(name_of(parser.bytes[1]))
            elif header.type == DATA:
                outcomes.append("served" if parser.bytes == until else repr(parser.bytes))
        return outcomes

    def new_keys(self, kind=KeyUpdateMessageType.update_requested):
        for _ in self.tls.send_keyupdate_request(kind):
            raise AssertionError("the socket blocks")


def on_open(version, does):
    client = Client(version)
    try:
        return does(client)
    finally:
        client.plain.close()


def small_records(client):
    text = bytes(range(256)) * 4
    for byte in text:
        client.send(DATA, [byte])
    return client.expect(text)


def empty_records(count):
    def does(client):
        for _ in range(count):
            client.send(DATA, b"")
        return client.echo()

    return does


def then_echo(kind, payload):
    def does(client):
        client.send(kind, payload)
        return client.echo()

    return does


def changed(client):
    """A record that was changed on its way."""
    real = client.tls._recordLayer._recordSocket.send

    def send(record, padding=0):
        record.data[-1] ^= 1
        return real(record, padding)

    client.tls._recordLayer._recordSocket.send = send
    return client.echo()


def in_clear_when_open(kind, payload):
    def does(client):
        client.plain.sendall(record(kind, payload))
        return client.expect(b"x")

    return does


def renegotiations(count):
    def does(client):
        for _ in range(count):
            client.send(HANDSHAKE, client_hello((3, 3)))
        client.send(DATA, b"x")
        return ", ".join(client.all_records(until=b"x"))

    return does


def behind_the_end(client):
    client.send(DATA, b"last")
    client.send(ALERT, bytes([WARNING, 0]))
    client.send(DATA, b"more")
    outcome = client.expect(b"last")
    return f"{outcome}, last words {client.expect(b'and nothing more' + bytes([10]))}"


def cut_off(client):
    client.plain.shutdown(socket.SHUT_WR)
    return client.expect(b"x")


for version, name in (((3, 3), "1.2"), ((3, 4), "1.3")):
    for what, does in {
        "data": lambda client: client.echo(b"hello"),
        "records of one byte": small_records,
        "32 empty records": empty_records(32),
        "33 empty records": empty_records(33),
        "the longest record": lambda client: client.echo(bytes(16384)),
        "a record of a byte too many": then_echo(DATA, bytes(16385)),
        "a record that was changed": changed,
        "a record in clear": in_clear_when_open(DATA, b"hello world, this is not encrypted"),
        "an alert in clear": in_clear_when_open(ALERT, bytes([FATAL, 40])),
        "a warning": then_echo(ALERT, bytes([WARNING, AlertDescription.user_canceled])),
        "a fatal alert": then_echo(ALERT, bytes([FATAL, AlertDescription.internal_error])),
        "an alert that nobody knows": then_echo(ALERT, bytes([FATAL, 199])),
        "half an alert": then_echo(ALERT, bytes([FATAL])),
        "a request for a hello": then_echo(HANDSHAKE, message(HandshakeType.hello_request)),
        "a certificate": then_echo(HANDSHAKE, message(HandshakeType.certificate, bytes(4))),
        "a ticket": then_echo(HANDSHAKE, message(HandshakeType.new_session_ticket, bytes(20))),
        "a change of ciphers": then_echo(CCS, b"\1"),
        "data behind the end": behind_the_end,
        "an end without close_notify": cut_off,
    }.items():
        case(f"{name} open: {what}", on_open(version, does))

case("1.2 open: another hello", on_open((3, 3), renegotiations(1)))
case("1.2 open: another hello, twice", on_open((3, 3), renegotiations(2)))


def keys_with_data(client):
    for _ in range(100):
        client.new_keys()
        outcome = client.echo()
        if outcome != "served":
            return outcome
    return outcome


def many_keys(count):
    def does(client):
        for _ in range(count):
            client.new_keys()
        return client.echo()

    return does


def padded(client):
    client.tls._recordLayer.padding_cb = lambda length, kind, most: 1000
    return client.echo()


def nothing_but_padding(client):
    layer = client.tls._recordLayer
    sealed = layer._encryptThenSeal(bytearray(100), DATA)
    client.plain.sendall(record(DATA, bytes(sealed)))
    return client.expect(b"x")


half = message(HandshakeType.key_update, b"\0")[:3]
for what, does in {
    "new keys with data between": keys_with_data,
    "new keys 32 times": many_keys(32),
    "new keys 33 times": many_keys(33),
    "new keys of no known kind": then_echo(HANDSHAKE, message(HandshakeType.key_update, b"\2")),
    "data between the halves of new keys": lambda client: (
        client.send(HANDSHAKE, half),
        client.echo(),
    )[1],
    "something behind new keys in their record": then_echo(
        HANDSHAKE, message(HandshakeType.key_update, b"\0") + message(HandshakeType.key_update, b"\0")
    ),
    "a record with padding": padded,
    "a record with nothing but padding": nothing_but_padding,
    "another hello": then_echo(HANDSHAKE, client_hello((3, 4))),
}.items():
    case(f"1.3 open: {what}", on_open((3, 4), does))

