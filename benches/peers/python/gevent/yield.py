"""So many greenlets that do nothing but yield: `gevent-yield LIVE SECONDS`, prints the nanoseconds of one yield."""

import gevent

from peers import laps, numbers


def yields(all_laps):
    for _ in all_laps:
        gevent.sleep(0)


def main():
    live, seconds = numbers()
    all_laps = laps(int(live), seconds)
    for _ in range(int(live)):
        gevent.spawn(yields, all_laps)
    while True:
        gevent.sleep(3600)


main()
