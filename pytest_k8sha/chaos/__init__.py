"""Faults in clusters: Chaos Mesh manifests that are linted before they are sent."""
