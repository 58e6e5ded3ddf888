"""etcd: snapshots, what they hold, and their restore into new members."""
