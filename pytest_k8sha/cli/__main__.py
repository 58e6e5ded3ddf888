"""``python -m pytest_k8sha.cli``, for where the command itself is not on the path."""

from pytest_k8sha.cli import main

main()
