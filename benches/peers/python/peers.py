"""What the programs of gevent and eventlet have in common: how laps are timed, and how the memory of parked
green threads is asked for."""

import os
import sys
import time

# Bytes that a connection reads at once.
BUFFER = 16 * 1024


def laps(live, seconds):
    """Yields once for each lap of all that share it, whoever does it.

    The first laps warm up and see to it that everybody has begun. When the time is over, the nanoseconds for
    one are printed and the process ends, with all that is still running. A generator counts at less cost than
    a function that is called.
    """
    step = max(1_000, live)
    for _ in range(step):
        yield
    done, start = 0, time.perf_counter_ns()
    while True:
        for _ in range(step):
            yield
        done += step
        elapsed = time.perf_counter_ns() - start
        if elapsed >= seconds * 1e9:
            print(elapsed / done, flush=True)
            os._exit(0)


def numbers():
    """The program's arguments."""
    return [float(argument) for argument in sys.argv[1:]]


class Parking:
    """Green threads on their way to where they park."""

    def __init__(self):
        """Says that the runtime stands, and waits until the runner has looked."""
        print("ready", flush=True)
        next_line()
        self.parked = 0
        self.start = time.perf_counter_ns()

    def park(self):
        """The caller parks next."""
        self.parked += 1

    def end(self):
        """Says how many nanoseconds that took, waits until the runner has looked, and ends the process."""
        print(time.perf_counter_ns() - self.start, flush=True)
        next_line()
        os._exit(0)


def next_line():
    """The runner writes a line when it has looked."""
    os.read(0, 16)
