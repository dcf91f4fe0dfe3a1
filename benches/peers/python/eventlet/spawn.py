"""Spawns so many green threads and waits for them all, again and again: `eventlet-spawn LIVE SECONDS`, prints
the nanoseconds for one."""

import eventlet

from peers import laps, numbers


def main():
    live, seconds = numbers()
    live = int(live)
    all_laps = laps(live, seconds)
    while True:
        threads = [eventlet.spawn(int, number) for number in range(live)]
        for number, thread in enumerate(threads):
            assert thread.wait() == number
            next(all_laps)


main()
