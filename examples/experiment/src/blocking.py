"""The article's blocking server in Python 3, with the tasks of the other servers.

python3 blocking.py TASK DESCRIPTORS SEED    (each as the experiment passes it; - is none)
"""

import os
import random
import resource
import socket
import sys
import threading
import time

task, _, value = sys.argv[1].partition(":")
descriptors, seed = sys.argv[2:4]
if descriptors != "-":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors), int(descriptors)))


def die_with_the_parent():
    while sys.stdin.buffer.raw.read(1):
        pass
    os._exit(0)


threading.Thread(target=die_with_the_parent, daemon=True).start()


def random_bytes(number):
    if seed == "-":
        return os.urandom(16)
    return random.Random(int(seed) + number).randbytes(16)


PERIOD = 251
PATTERN = bytes(at % PERIOD for at in range(PERIOD + 64 * 1024))


def answer(connection, number):
    if task == "delay":
        time.sleep(float(value))
    if task == "line":
        line = b""
        while b"\n" not in line:
            piece = connection.recv(1024 - len(line))
            if not piece:
                return
            line += piece
    connection.sendall(b"You requested some random bytes:\n\n")
    connection.sendall(random_bytes(number))
    connection.sendall(b"  \n\n")
    connection.sendall(b"You want fries with that?\n\n")
    if task == "long":
        at, size = 81, int(value)
        while at < size:
            start = at % PERIOD
            piece = PATTERN[start : start + min(size - at, 64 * 1024)]
            connection.sendall(piece)
            at += len(piece)


with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    number = 0
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            time.sleep(0.01)
            continue
        try:
            with connection:
                answer(connection, number)
        except OSError:
            pass  # a client that is gone is nobody else's concern
        number += 1
