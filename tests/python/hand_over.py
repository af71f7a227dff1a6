"""Opens sockets and becomes a program that gets them, as systemd hands them over (sd_listen_fds(3)).

Usage: hand_over.py [--unnamed] [--for-another] [--for-nobody] NAME=KIND... -- PROGRAM ARGUMENT...

KIND is tcp, tcp6, unix:PATH, udp, unixgram:PATH; or connected (a TCP connection), pipe, seqpacket:PATH.
--unnamed leaves LISTEN_FDNAMES out. --for-another names another process in LISTEN_PID, and
--for-nobody none.
"""

import os
import socket
import sys

FIRST = 3

# So far up that no number is in the way of the next one.
ASIDE = 100

kept = []


def listening(family, address, kind=socket.SOCK_STREAM):
    made = socket.socket(family, kind)
    made.bind(address)
    if kind != socket.SOCK_DGRAM:
        made.listen()
    return made


def opened(kind):
    kind, _, path = kind.partition(":")
    if kind == "tcp":
        return listening(socket.AF_INET, ("127.0.0.1", 0))
    if kind == "tcp6":
        return listening(socket.AF_INET6, ("::1", 0))
    if kind == "unix":
        return listening(socket.AF_UNIX, path)
    if kind == "udp":
        return listening(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)
    if kind == "unixgram":
        return listening(socket.AF_UNIX, path, socket.SOCK_DGRAM)
    if kind == "seqpacket":
        return listening(socket.AF_UNIX, path, socket.SOCK_SEQPACKET)
    if kind == "connected":
        server = listening(socket.AF_INET, ("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        kept.append(server)
        return client
    if kind == "pipe":
        reading, writing = os.pipe()
        kept.append(writing)
        return os.fdopen(reading)
    sys.exit(f"hand_over.py: {kind} is no kind of socket")


def main():
    arguments = sys.argv[1:]
    middle = arguments.index("--")
    asked, program = arguments[:middle], arguments[middle + 1 :]
    environment = dict(os.environ)
    pid = os.getpid()  # the program has the same
    if "--for-another" in asked:
        pid = os.getppid()
    if "--for-nobody" in asked:
        pid = ""
    named = "--unnamed" not in asked
    pairs = [word.split("=", 1) for word in asked if not word.startswith("--")]
    made = [opened(kind) for _, kind in pairs]
    for place, one in enumerate(made):
        os.dup2(one.fileno(), ASIDE + place)
    for place in range(len(made)):
        os.dup2(ASIDE + place, FIRST + place, inheritable=True)
        os.close(ASIDE + place)
    environment["LISTEN_FDS"] = str(len(made))
    environment["LISTEN_PID"] = str(pid)
    if named:
        environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in pairs)
    os.execve(program[0], program, environment)


main()
