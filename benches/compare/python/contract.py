"""The common part of the Python servers: the contract of src/service.rs."""

import os

BACKLOG = 4096

BULK_BLOCK = bytes(range(251)) * 256


def random_answer():
    head = b"You requested some random bytes:\n\n"
    return head + os.urandom(16) + b"  \n\nYou want fries with that?\n\n"


def print_port(port):
    print(f"listening on 127.0.0.1:{port}", flush=True)
