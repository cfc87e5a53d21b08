"""Health check of the image: probe the exporter in the container, whatever address it listens on.

It runs as a separate process every few seconds, so it uses only a little of the standard library. It takes 30
ms of CPU; the command `health`, which reads the whole configuration, takes 250. It finds the addresses in
/proc, and the use of TLS in the text of the web configuration.
"""

from __future__ import annotations

import os
import re
import socket
import sys

TIMEOUT = 3.0
REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LISTEN = "0A"
#: Addresses to use for "every address" in the same container, where ::1 may be missing.
LOOPBACK = {"0.0.0.0": ("127.0.0.1",), "::": ("127.0.0.1", "::1")}


def main(folders: list[str]) -> int:
    """Print the health of the exporter among these processes; return 0 if it is healthy, else 1.

    The demo has two listeners, since its simulated Vast.ai has one too.
    """
    healthy, said = False, "no exporter listens here"
    for folder in folders:
        for address in listening(folder):
            if not healthy:
                healthy, said = ask(address, web_config(folder))
    sys.stdout.write(f"{said}\n")
    return 0 if healthy else 1


def processes() -> list[str]:
    """Return the directories in /proc of this user's exporters."""
    folders = (f"/proc/{name}" for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    return [folder for folder in folders if serves(arguments(folder))]


def serves(command: list[str]) -> bool:
    """Return whether a command line is an exporter's, with any interpreter."""
    return any(
        word.endswith("/vastai-exporter") or (option == "-m" and word == "exporter")
        for option, word in zip(["", *command], command, strict=False)
    )


def arguments(folder: str) -> list[str]:
    """Return the command line of a process, empty if it has ended."""
    return read(f"{folder}/cmdline").split("\0")[:-1]


def listening(folder: str) -> list[tuple[str, int]]:
    """Return the addresses on which a process listens."""
    try:
        descriptors = [os.readlink(f"{folder}/fd/{name}") for name in os.listdir(f"{folder}/fd")]
    except OSError:  # another user's process, or it has ended
        return []
    sockets = (re.match(r"socket:\[(\d+)\]", name) for name in descriptors)
    inodes = {each[1] for each in sockets if each}
    found: list[tuple[str, int]] = []
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in read(f"{folder}/net/{table}").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                host, port = fields[1].split(":")
                found += [(each, int(port, 16)) for each in hosts_of(family, host)]
    return found


def hosts_of(family: socket.AddressFamily, text: str) -> tuple[str, ...]:
    """Return the hosts to probe for an address in /proc/net, which has four-byte words in native order."""
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    host = socket.inet_ntop(family, b"".join(words))
    return LOOPBACK.get(host, (host,))


def web_config(folder: str) -> str:
    """Return the text of a process's web configuration, empty if it has none."""
    environ = dict(line.split("=", 1) for line in read(f"{folder}/environ").split("\0") if "=" in line)

    def given(flag: str, variable: str) -> str:
        words = arguments(folder)
        for word, after in zip(words, [*words[1:], ""], strict=True):
            if word.partition("=")[0] == flag:
                return word.partition("=")[2] or after
        return environ.get(variable, "")

    path = given("--web.config.file", "VASTAI_EXPORTER_WEB_CONFIG_FILE")
    config = os.path.join(f"{folder}/cwd", given("--config.file", "VASTAI_EXPORTER_CONFIG_FILE"))
    named = re.search(r"\bconfig_file:\s*[\"']?([^\s\"',}]+)", read(config))
    if path:
        return read(os.path.join(f"{folder}/cwd", path))
    return read(os.path.join(os.path.dirname(config), named[1])) if named else ""


def ask(address: tuple[str, int], web: str) -> tuple[bool, str]:
    """Return whether an exporter with this web configuration is healthy, and its response."""
    try:
        with socket.create_connection(address, TIMEOUT) as connection:
            if "RequireAndVerifyClientCert" in web:
                return True, "listening; anything more requires a client certificate"
            if not re.search(r"(?m)^\s*tls_server_config:", web):
                return verdict(exchange(connection))
            import ssl  # noqa: PLC0415 - importing it costs more than everything else

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(connection) as secure:
                return verdict(exchange(secure))
    except OSError as error:
        return False, f"no answer from {address[0]}:{address[1]}: {error}"


def exchange(connection: socket.socket) -> bytes:
    """Return the response to the request."""
    connection.sendall(REQUEST)
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def verdict(answer: bytes) -> tuple[bool, str]:
    """Return whether a response reports health, and its text."""
    head, _, text = answer.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 200 "), text.decode("utf-8", "replace").strip()


def read(path: str) -> str:
    """Return the text of a file, empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(processes()))
