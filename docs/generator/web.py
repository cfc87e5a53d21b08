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
  client_auth_type: RequireAndVerifyClientCert # leave both out to let clients in without a certificate
  client_ca_file: clients.crt
basic_auth_users:
  prometheus: $2y$10$... # htpasswd -nBC 10 prometheus
```

Names of users and values of headers are text as it is written, with quotes or without. A header may be blank.
Keys of the toolkit that are not in this table are errors and not ignored: whoever wrote them counts on them.
`vastai-exporter check-config` looks at this file and at all that it names.
"""

_AFTER = """\
Paths are relative to the folder of the file that names them. A path given by a flag or the environment is
relative to the working directory.

## What is open to everybody

With users, `/`, `/metrics` and `/-/reload` answer 401 to whoever does not give a user's name and password.
`/-/healthy` and `/-/ready` (and `/healthz`, `/readyz`) stay open, so that a platform can probe them, but
tell strangers only the verdict: not which account is in trouble, nor why. With `RequireAndVerifyClientCert`
nobody without a certificate gets so far; then `vastai-exporter health` is content if the exporter listens,
and a platform's probe has to be one of the TCP port or that command.

## Renewed certificates, changed users

The files are looked at with each connection and each request. What is new counts at once, without a restart
and without losing a connection. While they are wrong (a certificate without its key, a file half written)
what was read last stays in force, the log says what is wrong, `/-/reload` too, and
`vastai_exporter_config_last_reload_successful` is 0 until they are right.

A file that is cut off may be good by itself, and lack just what keeps others out. So a running exporter never
asks less of clients than before: a file without any user where there were some, with a weaker
`client_auth_type`, an older `min_version` or no TLS at all is refused in the same way, and counts only after
a restart. Whoever is removed while others stay is out at once. To begin with TLS needs a restart too. A start
with a file that lets everybody in is warned of.

## What a password costs

bcrypt takes tens of milliseconds at cost 10, and twice that for each step more. As no other password is
checked meanwhile, the highest cost is 14, unlike in the toolkit. A password that was right is remembered,
under a key that is made anew in each process, so that a scrape does not pay for it. Guesses are checked one
at a time; while 16 are being checked or wait, further ones are answered with 503. Each check is as much work
as one for the dearest hash in the file, whether the name is known or not. As everywhere with bcrypt, 72 bytes
of a password count.
"""
