"""What is asked of a running cluster: its control plane, and how it takes the loss of a leader or of a node."""
