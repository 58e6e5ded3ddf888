"""What a cluster can do, probed once in one pass: capability → how it is known."""
