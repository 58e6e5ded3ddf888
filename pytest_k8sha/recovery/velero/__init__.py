"""Backups that Velero made: what is in them, never what their phase says alone."""
