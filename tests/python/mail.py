"""A session of Python's smtplib with a server that takes every message.

Usage: mail.py PORT
"""

import smtplib
import sys
from email.message import EmailMessage

# Lines that begin with a dot, and one that is only a dot: they need their stuffing.
TEXT = ".\n..two\nGr\u00f6\u00dfe\n" + "x" * 5000 + "\n"


def refused(code, function, *arguments):
    try:
        answer = function(*arguments)
    except smtplib.SMTPResponseException as error:
        answer = (error.smtp_code, error.smtp_error)
    assert answer[0] == code, answer


letter = EmailMessage()
letter["From"], letter["To"], letter["Subject"] = "anna@example.org", "bert@example.org", "hello"
letter.set_content(TEXT, cte="8bit")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=60) as server:
    assert server.send_message(letter) == {}
    assert server.has_extn("size") and server.has_extn("8bitmime") and server.has_extn("pipelining")
    # A second message of the same connection, with an empty sender and several recipients.
    assert server.sendmail("", ["a@b", "c@d"], b"Subject: two\r\n\r\nbody\r\n") == {}
    refused(503, server.rcpt, "early@example.org")
    refused(503, server.docmd, "DATA")
    refused(250, server.docmd, "mail from:<x@y> size=5 body=8bitmime")
    refused(503, server.docmd, "MAIL FROM:<x@y>")
    refused(501, server.docmd, "RCPT TO:<>")
    refused(250, server.rset)
    refused(503, server.docmd, "DATA")
    refused(250, server.noop)
    refused(252, server.verify, "anybody")
    refused(500, server.docmd, "TURN")
    refused(500, server.docmd, "")
    refused(501, server.docmd, "EHLO")
    refused(501, server.docmd, "MAIL TO:<x@y>")
    refused(501, server.docmd, "MAIL FROM:<x\x07@y>")
    refused(501, server.docmd, "MAIL FROM:<x@y> SIZE=much")
    refused(555, server.docmd, "MAIL FROM:<x@y> NONSENSE=1")
    refused(552, server.docmd, "MAIL FROM:<x@y> SIZE=99999999999")
    refused(250, server.docmd, "MAIL FROM:<x@y>")
    for number in range(100):
        refused(250, server.docmd, "RCPT TO:<%d@y>" % number)
    refused(452, server.docmd, "RCPT TO:<100@y>")
    refused(250, server.helo)
    refused(503, server.docmd, "DATA")
