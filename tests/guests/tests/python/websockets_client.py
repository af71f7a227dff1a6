"""Clients of an echo server, by `websockets`.

python3 websockets_client.py load|stay|go PORT
"""

import asyncio
import sys

import websockets

part, port = sys.argv[1:]
URL = f"ws://127.0.0.1:{port}/"
CLIENTS = 10
LENGTHS = [0, 1, 125, 126, 65535, 65536, 300_000]
MESSAGES = 40


def dial():
    return websockets.connect(URL, max_size=None, compression=None)


async def converse(number):
    """Sends all messages before it reads all answers."""
    messages = []
    for i in range(MESSAGES):
        length = LENGTHS[i % len(LENGTHS)]
        text = "".join(chr(97 + (number + i + j) % 26) for j in range(min(length, 997)))
        text = (text * (length // 997 + 1))[:length]
        messages.append(text if i % 2 else text.encode())
    async with dial() as socket:

        async def send():
            for i, message in enumerate(messages):
                # Every third comes in pieces.
                await socket.send([message[:1], message[1:]] if i % 3 == 0 else message)

        sending = asyncio.ensure_future(send())
        for message in messages:
            assert await socket.recv() == message
        await sending
        await (await socket.ping(b"alive"))


async def load():
    await asyncio.gather(*map(converse, range(CLIENTS)))
    print(f"{CLIENTS} clients, {CLIENTS * MESSAGES} messages, {CLIENTS} pongs")


async def stay():
    async with dial() as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
        print("open", flush=True)
        sys.stdin.readline()
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            print("closed:", closed.rcvd.code, closed.rcvd.reason)


async def go():
    socket = await dial()
    await socket.send("hello")
    assert await socket.recv() == "hello"
    # The first half of a message.
    socket.transport.write(b"\x81\xfe\x01\x00" + bytes(100))
    socket.transport.abort()


asyncio.run({"load": load, "stay": stay, "go": go}[part]())
