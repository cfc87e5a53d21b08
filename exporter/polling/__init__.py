"""When each collector of each account runs, and what a reload changes."""
