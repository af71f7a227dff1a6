"""The article's client, in Python 3: reads a reply and prints the two points in it.

python3 client.py HOST PORT
"""

import socket
import struct
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as connection:
    reply = b""
    while piece := connection.recv(4096):
        reply += piece

print(len(reply))
ax, ay, bx, by = (number / 2.0**31 for number in struct.unpack("iiii", reply[34:50]))
print("First point:  A (", ax, ",", ay, ")")
print("Second point: B (", bx, ",", by, ")")
