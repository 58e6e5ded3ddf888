"""Recovery: what was written before a disaster, what came back after it, and how long that took."""
