"""Trials of what serves: traffic goes on while something is taken away, and what users felt is judged."""
