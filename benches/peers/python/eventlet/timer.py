"""Sets and cancels a timer while so many others are set: `eventlet-timer LIVE OLDEST SECONDS`, prints the
nanoseconds for both.

A timer is an `eventlet.Timeout`. With OLDEST 0 the same one is set and cancelled; otherwise the oldest one is
cancelled and a new one set. eventlet takes cancelled timers out when its hub turns, so it turns now and then.
"""

from collections import deque

import eventlet

from peers import laps, numbers

TIMEOUT = 600

# Laps from one turn of the hub to the next.
TURN = 100


def main():
    live, oldest, seconds = numbers()
    all_laps = laps(1, seconds)
    timers = deque(eventlet.Timeout(TIMEOUT) for _ in range(int(live)))
    for lap, _ in enumerate(all_laps):
        if oldest:
            timers.popleft().cancel()
            timers.append(eventlet.Timeout(TIMEOUT))
        else:
            eventlet.Timeout(TIMEOUT).cancel()
        if lap % TURN == 0:
            eventlet.sleep(0)


main()
