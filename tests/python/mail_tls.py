"""A session of Python's smtplib with a server that offers STARTTLS.

Usage: mail_tls.py PORT CERTIFICATE
"""

import smtplib
import ssl
import sys

context = ssl.create_default_context(cafile=sys.argv[2])
with smtplib.SMTP("localhost", int(sys.argv[1]), timeout=60) as server:
    server.ehlo()
    assert server.has_extn("starttls")
    # Said in clear, and so forgotten.
    assert server.docmd("MAIL FROM:<early@example.org>")[0] == 250
    assert server.docmd("RCPT TO:<early@example.org>")[0] == 250
    assert server.starttls(context=context)[0] == 220
    assert isinstance(server.sock, ssl.SSLSocket) and server.sock.version() == "TLSv1.3"
    assert server.docmd("DATA")[0] == 503
    assert server.docmd("RCPT TO:<late@example.org>")[0] == 503
    server.ehlo()
    assert not server.has_extn("starttls") and server.has_extn("pipelining")
    assert server.docmd("STARTTLS")[0] == 503
    assert server.sendmail("a@b", ["c@d"], b"Subject: secret\r\n\r\nbody\r\n") == {}
print("done")
