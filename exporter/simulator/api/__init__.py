"""What all endpoints have in common: questions, replies, pages, limits, faults, and their way over HTTP."""
