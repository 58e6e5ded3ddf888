"""Images on the nodes of a kind cluster: is it there, can it be brought there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import K8shaError, NotEvaluated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.providers.kind.command import Kind

_LIST = 30.0
_PULL = 180.0


def full_name(image: str) -> str:
    """The name under which containerd keeps an image: with registry, with repository, with tag or digest
    (https://github.com/distribution/reference)."""
    first, slash, rest = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    if not is_host:
        image = f"docker.io/{image if slash else f'library/{image}'}"
    elif first == "index.docker.io":
        image = f"docker.io/{rest}"
    if "@" in image:  # the digest is what counts, whatever the tag says
        path, _, digest = image.partition("@")
        head, slash, last = path.rpartition("/")
        return f"{head}{slash}{last.partition(':')[0]}@{digest}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


class Images:
    """The images on the nodes of one cluster."""

    def __init__(self, kind: Kind, cluster: str) -> None:
        self._kind, self._cluster = kind, cluster

    def ensure(self, image: str, *, pull: bool) -> list[str]:
        """Makes sure that every running node has the image; returns the nodes to which it had to be copied.

        Raises `NotEvaluated` with the image's name when it is neither on the nodes nor in the engine, and cannot be
        (or may not be) pulled.
        """
        engine = self._kind.engine
        nodes = [node.name for node in engine.nodes(self._cluster) if node.running]
        lacking = self.lacking(image, nodes)
        if not lacking:
            return []
        where = f"it is not on node {', '.join(lacking)}"
        if not engine.has_image(image):
            if not pull:
                raise NotEvaluated(f"needs the image {image}: {where}, {engine.name} has none, and pulling is off")
            problem = engine.pull(image, timeout=_PULL)
            if problem:
                raise NotEvaluated(
                    f"needs the image {image}: {where}, {engine.name} has none, and it cannot be pulled ({problem})"
                )
        try:
            self._kind.load(self._cluster, image, lacking)
        except K8shaError as error:
            raise NotEvaluated(f"needs the image {image}: it could not be copied to the nodes ({error})") from error
        still = self.lacking(image, lacking)
        if still:
            raise NotEvaluated(f"needs the image {image}: after it was copied, {', '.join(still)} do not have it")
        return lacking

    def lacking(self, image: str, nodes: Sequence[str]) -> list[str]:
        """Those of the nodes that do not have the image."""
        name = full_name(image)
        return [node for node in nodes if name not in self.on(node)]

    def on(self, node: str) -> set[str]:
        """The names of the images that a node has."""
        words = ("ctr", "--namespace=k8s.io", "images", "ls", "-q")
        return set(self._kind.engine.execute(node, *words, timeout=_LIST).stdout.split())
