"""A simulated fleet: machines, instances and money that live by a simulated clock; knows nothing of HTTP."""
