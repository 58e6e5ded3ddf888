"""Several clusters looked at together, and the failover from one to another."""
