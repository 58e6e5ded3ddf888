"""What keeps a cluster safe from its tester: the impact guard and the journal."""
