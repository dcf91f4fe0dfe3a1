"""Spawns so many greenlets and waits for them all, again and again: `gevent-spawn LIVE SECONDS`, prints the
nanoseconds for one."""

import gevent

from peers import laps, numbers


def main():
    live, seconds = numbers()
    live = int(live)
    all_laps = laps(live, seconds)
    while True:
        greenlets = [gevent.spawn(int, number) for number in range(live)]
        for number, greenlet in enumerate(greenlets):
            assert greenlet.get() == number
            next(all_laps)


main()
