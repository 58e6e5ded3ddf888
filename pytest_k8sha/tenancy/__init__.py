"""Tenants: who they are, how they are made from a template, and what they may do."""
