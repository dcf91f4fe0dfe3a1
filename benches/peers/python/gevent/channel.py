"""Round trips of pairs of greenlets over two queues each: `gevent-channel CAPACITY PAIRS SECONDS`, prints the
nanoseconds of one. A queue of capacity 0 hands over from one to the other."""

import gevent
from gevent.queue import Channel, Queue

from peers import laps, numbers


def channel(capacity):
    return Queue(capacity) if capacity else Channel()


def echo(from_here, back):
    while True:
        back.put(from_here.get())


def ping(there, answers, all_laps):
    for lap, _ in enumerate(all_laps):
        there.put(lap)
        assert answers.get() == lap


def main():
    capacity, pairs, seconds = numbers()
    all_laps = laps(int(pairs), seconds)
    for _ in range(int(pairs)):
        there, back = channel(int(capacity)), channel(int(capacity))
        gevent.spawn(echo, there, back)
        gevent.spawn(ping, there, back, all_laps)
    while True:
        gevent.sleep(3600)


main()
