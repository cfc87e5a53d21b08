"""A proxy of its own process, to which TLS is spoken: python tls_proxy.py CERTIFICATE KEY PORT

Every CONNECT leads to PORT of this machine, whatever it asks for, and is a line on standard error.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from contextlib import suppress


def main(certificate: str, key: str, port: int) -> None:
    """Serve for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        say(f"port={listener.getsockname()[1]}")
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(context, client, port), daemon=True).start()


def say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def serve(context: ssl.SSLContext, plain: socket.socket, port: int) -> None:
    """Lead one client through."""
    with suppress(OSError), context.wrap_socket(plain, server_side=True) as client:
        words = b""
        while b"\r\n\r\n" not in words:
            words += client.recv(4096)
        with socket.create_connection(("127.0.0.1", port)) as there:
            say(words.partition(b"\r\n")[0].decode())
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(there, client), daemon=True).start()
            pump(client, there)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
