"""Echo by greenlets of gevent: prints its port, and serves until it is ended.

As usually written: `recv` makes a buffer for each read. TCP_NODELAY is set.
"""

import gevent
from gevent import socket

from peers import BUFFER


def echo(client):
    try:
        while data := client.recv(BUFFER):
            client.sendall(data)
    except OSError:
        pass  # The load resets its connections.


def main():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(4096)
    print(server.getsockname()[1], flush=True)
    while True:
        client, _ = server.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gevent.spawn(echo, client)


main()
