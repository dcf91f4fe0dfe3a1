"""So many green threads that do nothing but yield: `eventlet-yield LIVE SECONDS`, prints the nanoseconds of one yield."""

import eventlet

from peers import laps, numbers


def yields(all_laps):
    for _ in all_laps:
        eventlet.sleep(0)


def main():
    live, seconds = numbers()
    all_laps = laps(int(live), seconds)
    for _ in range(int(live)):
        eventlet.spawn_n(yields, all_laps)
    while True:
        eventlet.sleep(3600)


main()
