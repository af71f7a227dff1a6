"""The services of src/service.rs on asyncio, or on uvloop.

python3 asyncio_server.py [--uvloop] SERVICE

Protocols, not streams: they are the faster of asyncio's two ways. asyncio and uvloop set TCP_NODELAY
themselves.
"""

import asyncio
import sys

from contract import BACKLOG, BULK_BLOCK, print_port, random_answer


class Random(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(random_answer())
        transport.close()


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    # A peer that does not read is not read.

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class Bulk(asyncio.Protocol):
    # So many blocks in one go, that one fast reader does not keep the loop from the others.
    AT_ONCE = 16

    def connection_made(self, transport):
        self.transport = transport
        self.paused = False
        self.send_blocks()

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False
        self.send_blocks()

    def send_blocks(self):
        for _ in range(self.AT_ONCE):
            if self.paused or self.transport.is_closing():
                return
            self.transport.write(BULK_BLOCK)
        asyncio.get_running_loop().call_soon(self.send_blocks)


class Member(asyncio.Protocol):
    everyone = set()

    def connection_made(self, transport):
        self.transport = transport
        self.everyone.add(transport)

    def data_received(self, data):
        for transport in self.everyone:
            transport.write(data)

    def connection_lost(self, error):
        self.everyone.remove(self.transport)


async def serve(protocol):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG)
    print_port(server.sockets[0].getsockname()[1])
    await server.serve_forever()


SERVICES = {"random": Random, "echo": Echo, "bulk": Bulk, "broadcast": Member}


def main():
    service = sys.argv[-1]
    factory = None
    if "--uvloop" in sys.argv:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(SERVICES[service]))


main()
