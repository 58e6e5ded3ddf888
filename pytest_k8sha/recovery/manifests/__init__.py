"""Manifest backups: every object of a cluster in files, compared and restored object by object."""
