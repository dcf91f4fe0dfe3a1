"""Sets and cancels a timer while so many others are set: `gevent-timer LIVE OLDEST SECONDS`, prints the
nanoseconds for both.

A timer is a `gevent.Timeout`. With OLDEST 0 the same one is set and cancelled; otherwise the oldest one is
cancelled and a new one set.
"""

from collections import deque

import gevent

from peers import laps, numbers

TIMEOUT = 600


def main():
    live, oldest, seconds = numbers()
    all_laps = laps(1, seconds)
    timers = deque(gevent.Timeout.start_new(TIMEOUT) for _ in range(int(live)))
    if not oldest:
        for _ in all_laps:
            gevent.Timeout.start_new(TIMEOUT).close()
    for _ in all_laps:
        timers.popleft().close()
        timers.append(gevent.Timeout.start_new(TIMEOUT))


main()
