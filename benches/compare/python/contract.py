"""The common part of the Python servers: the contract of src/service.rs."""

import json
import os
import sys
import threading
import time

BACKLOG = 4096
OUTSTANDING = 1024
ROUND_TRIPS = 5_000
BEFORE_A_TRIP = 100e-6

# The last call of a batch gives back the permit that was taken for it.
BATCH = OUTSTANDING // 2

BULK_BLOCK = bytes(range(251)) * 256


def random_answer():
    head = b"You requested some random bytes:\n\n"
    return head + os.urandom(16) + b"  \n\nYou want fries with that?\n\n"


def print_port(port):
    print(f"listening on 127.0.0.1:{port}", flush=True)


def scatter(index, below):
    return ((index * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 32) % below


def far_deadlines(count):
    """In seconds from now; made beforehand, since here that takes as long as arming a timer."""
    return [(60_000 + scatter(index, 60_000)) / 1e3 for index in range(count)]


def near_deadlines(count):
    return [scatter(index, 50_000) / 1e6 for index in range(count)]


class TimerFigures:
    """The figures of `timers`: CPU time per timer since the last reading."""

    def __init__(self, count):
        self.count = count
        self.values = {}
        self.since = time.process_time_ns()

    def record_time_per_timer(self, name):
        now = time.process_time_ns()
        self.values[name] = (now - self.since) / self.count
        self.since = time.process_time_ns()


class Caller(threading.Thread):
    """The other thread of `calls`: makes them by call_from_thread(function, *args), and ends by one
    of stop."""

    def __init__(self, count, call_from_thread, stop):
        super().__init__()
        self.count = count
        self.call_from_thread = call_from_thread
        self.stop = stop
        self.counted = 0
        self.permits = threading.Semaphore(2)

    def count_one(self):
        self.counted += 1

    def count_and_permit(self):
        self.counted += 1
        self.permits.release()

    def flood(self):
        call_from_thread, count_one = self.call_from_thread, self.count_one
        for first in range(0, self.count, BATCH):
            self.permits.acquire()
            for _ in range(min(BATCH, self.count - first) - 1):
                call_from_thread(count_one)
            call_from_thread(self.count_and_permit)
        self.permits.acquire()
        self.permits.acquire()
        if self.counted != self.count:
            print(f"{self.counted} of {self.count} calls arrived", file=sys.stderr)
            os._exit(1)

    def round_trip(self, answered):
        time.sleep(BEFORE_A_TRIP)
        start = time.perf_counter_ns()
        self.call_from_thread(answered.release)
        answered.acquire()
        return time.perf_counter_ns() - start

    def run(self):
        cpu, start = time.process_time_ns(), time.perf_counter_ns()
        self.flood()
        seconds = (time.perf_counter_ns() - start) / 1e9
        cpu = (time.process_time_ns() - cpu) / self.count
        answered = threading.Semaphore(0)
        trips = min(self.count, ROUND_TRIPS)
        took = sorted(self.round_trip(answered) for _ in range(trips))
        print_figures(
            {
                "cpu": cpu,
                "calls_per_second": self.count / seconds,
                "round_trip_p50": took[trips // 2],
                "round_trip_p99": took[trips * 99 // 100],
                "round_trip_worst": took[-1],
            }
        )
        self.call_from_thread(self.stop)


def print_figures(figures):
    print(json.dumps(figures), flush=True)
