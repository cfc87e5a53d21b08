"""Makes the pages that are generated from the code; `docs/generate.py` writes and checks them."""
