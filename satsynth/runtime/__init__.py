"""Errors, files, devices, state, progress: nothing in here may change a result."""
