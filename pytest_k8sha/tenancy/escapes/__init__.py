"""Ways out of a tenant that only running pods can show: tokens, mounts, nodes, volumes, images, noise."""
