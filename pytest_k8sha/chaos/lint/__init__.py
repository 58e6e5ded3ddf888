"""The offline linter of Chaos Mesh manifests: `pytest_k8sha.chaos.lint.linter.lint` and `k8sha chaos lint`."""
