"""The providers by name. A plugin adds its own through the hook ``pytest_k8sha_providers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.providers.base import Provider


class Registry:
    """Looks providers up by name."""

    def __init__(self, extra: Iterable[Provider] = ()) -> None:
        from pytest_k8sha.providers.context import ContextProvider
        from pytest_k8sha.providers.kind.provider import KindProvider
        from pytest_k8sha.providers.local.provider import LocalProvider

        self._providers: dict[str, Provider] = {}
        own: list[Provider] = [LocalProvider(), KindProvider(), ContextProvider()]
        for provider in [*own, *extra]:
            if provider.name in self._providers:
                raise UsageError("two providers have one name", value=provider.name)
            self._providers[provider.name] = provider

    def get(self, name: str) -> Provider:
        """Raises `UsageError` with the known names."""
        try:
            return self._providers[name]
        except KeyError:
            raise UsageError("unknown provider", value=name, allowed=self._providers) from None

    @property
    def names(self) -> list[str]:
        return sorted(self._providers)
