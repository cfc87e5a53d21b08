"""docs/web-configuration.md, from the models of exporter.config.web."""

from __future__ import annotations

from exporter.config.web import WebConfig
from generator.configuration import keys, rows
from generator.markdown import notice, table


def page() -> str:
    """Return docs/web-configuration.md."""
    settings = [row for key in keys(WebConfig) for row in rows(key)]
    return "\n".join([notice(), "", _BEFORE, table(("key", "type", "default", "meaning"), settings), _AFTER])


_BEFORE = """\
# Web configuration: TLS and users

`web.config_file` (or `--web.config.file`, or `VASTAI_EXPORTER_WEB_CONFIG_FILE`) names a file in the
[format of Prometheus' exporter-toolkit](https://prometheus.io/docs/prometheus/latest/configuration/https/):

```yaml
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert # omit this line and the next to accept all clients
  client_ca_file: clients.crt
basic_auth_users:
  prometheus: $2y$10$... # htpasswd -nBC 10 prometheus
```

The exporter reads user names and header values literally, with or without quotes. A header may be empty. A
toolkit key that is missing from this table is an error: the exporter never silently ignores a setting that
you may rely on. `vastai-exporter check-config` checks this file and all files that it references.
"""

_AFTER = """\
Paths are relative to the folder of the file that names them. A path in a flag or an environment variable is
relative to the working directory.

## Paths without authentication

If there are users, `/`, `/metrics` and `/-/reload` answer requests without valid credentials with 401.
`/-/healthy` and `/-/ready` (and `/healthz`, `/readyz`) stay open for the probes of your platform. To
strangers they return only the verdict, without the account or the cause.

With `RequireAndVerifyClientCert`, clients without a certificate can't reach any path.
`vastai-exporter health` then only checks that the exporter is listening. As a platform's probe, use a TCP
probe or this command.

## Changes at runtime

The exporter checks the files at each connection and each request. It applies changes immediately, without a
restart and without dropping a connection.

If the files contain an error, such as a certificate without its key or a half-written file, the last valid
version stays in force. The log and `/-/reload` report the error, and
`vastai_exporter_config_last_reload_successful` is 0 until it is fixed.

A truncated file may be valid, but lack the part that restricts access. A running exporter therefore never
accepts a file that asks less of clients:

- a file without users, if there were users before
- a weaker `client_auth_type`
- an older `min_version`
- no TLS

The exporter rejects such a file like one with an error. Restart the exporter to apply it. If you remove
some users and keep others, the removed users lose access immediately. Enabling TLS for the first time also
requires a restart. The exporter logs a warning if it starts with a file that lets everybody in.

## Cost of passwords

A bcrypt check takes tens of milliseconds at cost 10, and twice as long for each step above. The exporter
checks one password at a time, so the highest cost is 14, unlike in the toolkit. It remembers a correct
password, under a key that is new in each process, so regular scrapes are cheap.

While 16 guesses are being checked or waiting, the exporter answers further ones with 503. Each check takes
as much work as one for the most expensive hash in the file, whether the name is known or not. As always
with bcrypt, only the first 72 bytes of a password count.
"""
