"""Object stores: whether the newest backup is young and large enough, and kept as it must be."""
