"""Parks so many green threads in the wait for one event: `eventlet-memory COUNT`."""

import eventlet
from eventlet.event import Event

from peers import Parking, numbers


def wait(parking, event):
    parking.park()
    event.wait()


def main():
    count = int(numbers()[0])
    event = Event()
    # So that the hub stands.
    eventlet.sleep(0)
    parking = Parking()
    for _ in range(count):
        eventlet.spawn_n(wait, parking, event)
    while parking.parked < count:
        eventlet.sleep(0)
    parking.end()


main()
