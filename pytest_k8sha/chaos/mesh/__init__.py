"""Chaos Mesh as an engine of faults: its manifests pinned, its objects read, its hangs undone."""
