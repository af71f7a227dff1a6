"""The services of src/service.rs on Twisted.

python3 twisted_server.py SERVICE [COUNT]
"""

import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python import log
from zope.interface import implementer

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


class Prompt(Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)


class Random(Prompt):
    def connectionMade(self):
        super().connectionMade()
        self.transport.write(random_answer())
        self.transport.loseConnection()


@implementer(IHalfCloseableProtocol)
class Echo(Prompt):
    def connectionMade(self):
        super().connectionMade()
        # A peer that does not read is not read.
        self.transport.registerProducer(self.transport, streaming=True)

    def dataReceived(self, data):
        self.transport.write(data)

    # Without these two, what has not been sent yet is dropped when the peer has said its last.

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


@implementer(IPushProducer)
class Bulk(Prompt):
    def connectionMade(self):
        super().connectionMade()
        self.transport.registerProducer(self, streaming=True)
        self.resumeProducing()

    def resumeProducing(self):
        self.paused = False
        while not self.paused:
            self.transport.write(BULK_BLOCK)

    def pauseProducing(self):
        self.paused = True

    def stopProducing(self):
        self.paused = True


class Member(Prompt):
    everyone = set()

    def connectionMade(self):
        super().connectionMade()
        self.everyone.add(self.transport)

    def dataReceived(self, data):
        for transport in self.everyone:
            transport.write(data)

    def connectionLost(self, reason):
        self.everyone.remove(self.transport)


def serve(protocol):
    factory = Factory.forProtocol(protocol)
    port = reactor.listenTCP(0, factory, backlog=BACKLOG, interface="127.0.0.1")
    print_port(port.getHost().port)


def nothing():
    pass


def turn():
    """Twisted puts new timers into its heap, and takes cancelled ones out, in the next turn, which
    therefore counts."""
    return deferLater(reactor, 0, nothing)


@inlineCallbacks
def timers(count):
    yield turn()  # the reactor runs
    call_later = reactor.callLater
    far, near = far_deadlines(count), near_deadlines(count)
    figures = TimerFigures(count)
    calls = [call_later(delay, nothing) for delay in far]
    yield turn()
    figures.record_time_per_timer("arm")
    for call, delay in zip(calls, far):
        call.reset(delay + 60)
    yield turn()
    figures.record_time_per_timer("reset")
    for delay in far:
        call_later(delay, nothing).cancel()
    yield turn()
    figures.record_time_per_timer("arm_and_cancel")
    for call in calls:
        call.cancel()
    yield turn()
    figures.record_time_per_timer("cancel")
    all_fired = Deferred()
    fired = 0

    def fire():
        nonlocal fired
        fired += 1
        if fired == count:
            all_fired.callback(None)

    for delay in near:
        call_later(delay, fire)
    yield all_fired
    figures.record_time_per_timer("arm_and_fire")
    print_figures(figures.values)
    reactor.stop()


def calls(count):
    caller = Caller(count, reactor.callFromThread, reactor.stop)
    reactor.callWhenRunning(caller.start)


def begin(service, count=0):
    match service:
        case "random":
            serve(Random)
        case "echo":
            serve(Echo)
        case "bulk":
            serve(Bulk)
        case "broadcast":
            serve(Member)
        case "timers":
            timers(count).addErrback(fail)
        case "calls":
            calls(count)
        case _:
            sys.exit(__doc__)


def fail(reason):
    log.err(reason)
    reactor.stop()


service, *count = sys.argv[1:]
log.startLogging(sys.stderr, setStdout=False)
begin(service, *map(int, count))
reactor.run()
