"""The services of src/service.rs on asyncio, or on uvloop.

python3 asyncio_server.py [--uvloop] SERVICE [COUNT]

Protocols, not streams: they are the faster of asyncio's two ways. asyncio and uvloop set TCP_NODELAY
themselves.
"""

import asyncio
import sys

from contract import (
    BACKLOG,
    BULK_BLOCK,
    Caller,
    TimerFigures,
    far_deadlines,
    near_deadlines,
    print_figures,
    print_port,
    random_answer,
)


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


async def turn(figures, name):
    """asyncio puts off some of the work of cancelling to the next turn, which therefore counts."""
    await asyncio.sleep(0)
    figures.record_time_per_timer(name)


async def timers(count):
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def nothing():
        pass

    far, near = far_deadlines(count), near_deadlines(count)
    figures = TimerFigures(count)
    handles = [call_later(delay, nothing) for delay in far]
    await turn(figures, "arm")
    for index, delay in enumerate(far):
        handles[index].cancel()
        handles[index] = call_later(delay + 60, nothing)
    await turn(figures, "reset")
    for delay in far:
        call_later(delay, nothing).cancel()
    await turn(figures, "arm_and_cancel")
    for handle in handles:
        handle.cancel()
    await turn(figures, "cancel")
    all_fired = loop.create_future()
    fired = 0

    def fire():
        nonlocal fired
        fired += 1
        if fired == count:
            all_fired.set_result(None)

    for delay in near:
        call_later(delay, fire)
    await all_fired
    figures.record_time_per_timer("arm_and_fire")
    print_figures(figures.values)


async def calls(count):
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    caller = Caller(count, loop.call_soon_threadsafe, done.set)
    caller.start()
    await done.wait()
    caller.join()


def job(service, count=0):
    match service:
        case "random":
            return serve(Random)
        case "echo":
            return serve(Echo)
        case "bulk":
            return serve(Bulk)
        case "broadcast":
            return serve(Member)
        case "timers":
            return timers(count)
        case "calls":
            return calls(count)
    sys.exit(__doc__)


def main():
    service, *count = [arg for arg in sys.argv[1:] if arg != "--uvloop"]
    factory = None
    if "--uvloop" in sys.argv:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(job(service, *map(int, count)))


main()
