"""The record of a run: JSON Lines, hash-chained, free of secrets. Everything that is reported is made from it."""
