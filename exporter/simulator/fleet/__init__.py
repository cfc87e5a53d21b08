"""A simulated fleet: machines, instances and money on a simulated clock, independent of HTTP."""
