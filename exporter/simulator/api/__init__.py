"""Common parts of all endpoints: requests, replies, pages, limits, faults, and their delivery over HTTP."""
