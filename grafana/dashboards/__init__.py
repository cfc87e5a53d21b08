"""One module a dashboard; each has a function `build` that gives its board."""
