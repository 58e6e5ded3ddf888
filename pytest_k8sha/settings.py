"""Where things are: directories of this user, environment variables, files that travel with the package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_k8sha.errors import EnvironmentFailure

DEFAULT_KUBERNETES = "1.36.3"

ENVIRONMENT = {
    "K8SHA_BIN_DIR": "a folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok",
    "KUBEBUILDER_ASSETS": "the same, as envtest's users know it; looked at second",
    "K8SHA_CACHE": "where programs are kept (default: the user's cache directory)",
    "K8SHA_STATE": "where runs, journals and kept fleets are (default: the user's state directory)",
    "K8SHA_MIRROR": "base URL to download programs from, for sites without internet access",
    "K8SHA_PROBE_IMAGE": "the image of the probes that run as pods, on every cluster (default: the provider's)",
}
"""Every environment variable that is read, with its meaning. The options reference is made from this."""


@dataclass(frozen=True)
class Settings:
    """The directories and look-ups of one process, read once from the environment."""

    cache: Path
    state: Path
    bin_dir: Path | None = None
    kubebuilder_assets: Path | None = None
    mirror: str | None = None
    probe_image: str | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        from platformdirs import PlatformDirs

        dirs = PlatformDirs("k8sha", appauthor=False)
        get = os.environ.get
        bin_dir, assets = get("K8SHA_BIN_DIR"), get("KUBEBUILDER_ASSETS")
        return cls(
            cache=Path(get("K8SHA_CACHE") or dirs.user_cache_path),
            state=Path(get("K8SHA_STATE") or dirs.user_state_path),
            bin_dir=Path(bin_dir) if bin_dir else None,
            kubebuilder_assets=Path(assets) if assets else None,
            mirror=get("K8SHA_MIRROR") or None,
            probe_image=get("K8SHA_PROBE_IMAGE") or None,
        )

    @property
    def runs(self) -> Path:
        """One folder a run: its journal, its clusters, its record."""
        return self.state / "runs"

    @property
    def fleets(self) -> Path:
        """One folder for each cluster that `k8sha up` keeps."""
        return self.state / "fleets"


def bundled(*parts: str) -> Path:
    """A file or folder that travels with the package, such as ``bundled("suites", "tenancy")``.

    In the wheel it lies inside the package, in a checkout beside it. Raises `EnvironmentFailure` when it is in neither.
    """
    package = Path(__file__).resolve().parent
    for base in (package / "_data", package.parent):
        path = base.joinpath(*parts)
        if path.exists():
            return path
    raise EnvironmentFailure(
        "a file of the package is missing", value="/".join(parts), remedy="install pytest-k8sha again"
    )
