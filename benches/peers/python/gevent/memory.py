"""Parks so many greenlets in the wait for one event: `gevent-memory COUNT`."""

import gevent
from gevent.event import Event

from peers import Parking, numbers


def wait(parking, event):
    parking.park()
    event.wait()


def main():
    count = int(numbers()[0])
    event = Event()
    # So that the hub stands.
    gevent.sleep(0)
    parking = Parking()
    for _ in range(count):
        gevent.spawn(wait, parking, event)
    while parking.parked < count:
        gevent.sleep(0)
    parking.end()


main()
