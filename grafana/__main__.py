"""`python -m grafana [--check]`."""

import sys

from grafana.build import main

sys.exit(main(sys.argv[1:]))
