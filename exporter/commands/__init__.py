"""The commands, and the connection to the host: signals, standard streams, systemd."""
