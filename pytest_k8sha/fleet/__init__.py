"""The named clusters of a run: what was ordered, what exists, and how it is used."""
