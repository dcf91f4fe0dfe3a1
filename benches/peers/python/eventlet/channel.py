"""Round trips of pairs of green threads over two queues each: `eventlet-channel CAPACITY PAIRS SECONDS`, prints the
nanoseconds of one. A queue of capacity 0 hands over from one to the other."""

import eventlet
from eventlet.queue import LightQueue

from peers import laps, numbers


def channel(capacity):
    return LightQueue(capacity)


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
        eventlet.spawn_n(echo, there, back)
        eventlet.spawn_n(ping, there, back, all_laps)
    while True:
        eventlet.sleep(3600)


main()
