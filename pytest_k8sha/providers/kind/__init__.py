"""The `kind` provider: clusters whose nodes are containers of this machine's engine, made by the `kind` command."""
