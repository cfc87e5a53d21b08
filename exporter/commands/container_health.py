"""The health check of the image: probes the exporter in the container, whatever address it listens on.

It is run by itself every few seconds, so it takes nothing but the standard library, and of that little: 30 ms
of CPU, where the command `health`, which reads the whole configuration, takes 250. Addresses are those on
which the process listens, by /proc; whether it speaks TLS is in the text of its web configuration.
"""

from __future__ import annotations

import os
import re
import socket
import sys

TIMEOUT = 3.0
REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LISTEN = "0A"
#: What "every address" is for a client in the same container, in which ::1 need not be there.
LOOPBACK = {"0.0.0.0": ("127.0.0.1",), "::": ("127.0.0.1", "::1")}


def main(folders: list[str]) -> int:
    """Print how the exporter is that is one of these processes, and return 0 if it is healthy, else 1.

    The demo listens twice, as its simulated Vast.ai does too.
    """
    healthy, said = False, "no exporter listens here"
    for folder in folders:
        for address in listening(folder):
            if not healthy:
                healthy, said = ask(address, web_config(folder))
    sys.stdout.write(f"{said}\n")
    return 0 if healthy else 1


def processes() -> list[str]:
    """Return the folders in /proc of the exporters that run as the same user."""
    folders = (f"/proc/{name}" for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    return [folder for folder in folders if serves(arguments(folder))]


def serves(command: list[str]) -> bool:
    """Return whether a command line is that of an exporter, under whatever interpreter."""
    return any(
        word.endswith("/vastai-exporter") or (option == "-m" and word == "exporter")
        for option, word in zip(["", *command], command, strict=False)
    )


def arguments(folder: str) -> list[str]:
    """Return the command line of a process, nothing if it has ended."""
    return read(f"{folder}/cmdline").split("\0")[:-1]


def listening(folder: str) -> list[tuple[str, int]]:
    """Return the addresses on which a process listens."""
    try:
        descriptors = [os.readlink(f"{folder}/fd/{name}") for name in os.listdir(f"{folder}/fd")]
    except OSError:  # another user's, or ended
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
    """Return what to ask for an address in /proc/net: words of four bytes in the machine's order."""
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    host = socket.inet_ntop(family, b"".join(words))
    return LOOPBACK.get(host, (host,))


def web_config(folder: str) -> str:
    """Return the text of the web configuration that a process was given, nothing without one."""
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
    """Return whether an exporter with that web configuration is healthy, and what it says."""
    try:
        with socket.create_connection(address, TIMEOUT) as connection:
            if "RequireAndVerifyClientCert" in web:
                return True, "listening; anything more requires a client certificate"
            if not re.search(r"(?m)^\s*tls_server_config:", web):
                return verdict(exchange(connection))
            import ssl  # noqa: PLC0415 - costs more than all the rest

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(connection) as secure:
                return verdict(exchange(secure))
    except OSError as error:
        return False, f"no answer from {address[0]}:{address[1]}: {error}"


def exchange(connection: socket.socket) -> bytes:
    """Return the answer to the question."""
    connection.sendall(REQUEST)
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def verdict(answer: bytes) -> tuple[bool, str]:
    """Return whether an answer is good news, and its text."""
    head, _, text = answer.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 200 "), text.decode("utf-8", "replace").strip()


def read(path: str) -> str:
    """Return the text of a file, nothing if it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(processes()))
