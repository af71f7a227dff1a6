"""The services of src/service.rs on Twisted.

python3 twisted_server.py SERVICE
"""

import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.python import log
from zope.interface import implementer

from contract import BACKLOG, BULK_BLOCK, print_port, random_answer


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


SERVICES = {"random": Random, "echo": Echo, "bulk": Bulk, "broadcast": Member}

log.startLogging(sys.stderr, setStdout=False)
serve(SERVICES[sys.argv[1]])
reactor.run()
