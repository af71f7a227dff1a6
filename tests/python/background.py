"""Runs a program as a background job on a terminal, types a line, and prints what the program printed.

The kernel stops a background job that reads its terminal (SIGTTIN). A shell then tells its user; `fg`
makes it the foreground job and lets it go on. This does what such a shell does.

Usage: background.py PROGRAM ARGUMENT...
"""

import os
import pty
import signal
import sys
import time

# How long the job stays stopped: longer than a callback may take without a warning.
STOPPED = 0.3


def shell():
    """Plays the shell: it leads the session of the terminal, which is its standard input."""
    ready, go = os.pipe()
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.read(ready, 1)
        os.execv(sys.argv[1], sys.argv[1:])
    os.setpgid(job, job)
    os.write(go, b"!")
    _, status = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != signal.SIGTTIN:
        sys.exit("it was not stopped for reading: status %#x" % status)
    time.sleep(STOPPED)
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
    _, status = os.waitpid(job, 0)
    os._exit(os.waitstatus_to_exitcode(status))


leader, terminal = pty.fork()
if leader == 0:
    shell()
os.write(terminal, b"hello\n")
output = b""
try:
    while piece := os.read(terminal, 4096):
        output += piece
except OSError:  # Linux says EIO at the end
    pass
_, status = os.waitpid(leader, 0)
sys.stdout.buffer.write(output.replace(b"\r\n", b"\n"))
sys.exit(os.waitstatus_to_exitcode(status))
