"""The price file: what an hour of each thing costs that tenants take from the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from pytest_k8sha.kube import manifests

if TYPE_CHECKING:
    from pathlib import Path

HOURS = 730.0
"""Hours of a month: 365 days of 24 hours, by twelve."""


class Rates(BaseModel):
    """Prices for an hour, in the file's currency."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cpu: float = Field(0.0, ge=0, description="one CPU that is requested, for an hour")
    memory: float = Field(0.0, ge=0, description="one GiB of memory that is requested, for an hour")
    storage: float = Field(0.0, ge=0, description="one GiB that a volume claim requests, for an hour")
    loadBalancer: float = Field(0.0, ge=0, description="one Service of type LoadBalancer, for an hour")  # noqa: N815


class Prices(BaseModel):
    """A price file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    currency: str = Field("EUR", min_length=1, max_length=8, description="what the prices are in")
    hours: float = Field(HOURS, gt=0, le=9000, description="the hours that a bill is for")
    prices: Rates = Field(description="what an hour costs")


def read(path: Path) -> Prices:
    """Raises `FileProblems` with every mistake of the file, with line and field."""
    return manifests.typed(path, Prices)
