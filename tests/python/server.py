"""The article's server, in Python 3: one client after the other.

python3 server.py

Prints its address, and then the four coordinates it has sent to each client.
"""

import os
import socket
import struct

with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            random = os.urandom(16)
            connection.sendall(b"You requested some random bytes:\n\n")
            connection.sendall(random)
            connection.sendall(b"  \n\n")
            connection.sendall(b"You want fries with that?\n\n")
            print(*(number / 2.0**31 for number in struct.unpack("iiii", random)), flush=True)
