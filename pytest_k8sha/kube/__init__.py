"""Speaking to Kubernetes: a raw-JSON client, discovery, resources, watches, manifests. Imported on first use only."""
