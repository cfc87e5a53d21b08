"""What each command does, and what ties the program to its host: signals, standard streams, systemd."""
