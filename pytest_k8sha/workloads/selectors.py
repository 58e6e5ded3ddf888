"""Label selectors, as the API server evaluates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (``matchLabels``, ``matchExpressions``) matches.

    None matches nothing and an empty one everything (``metav1.LabelSelectorAsSelector``). An unknown operator, which
    the API server would have refused, matches nothing.
    """
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or [])


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = rule.get("key", ""), rule.get("values") or []
    match rule.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def covers(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """Whether the plain map of a Service matches; an empty one selects nothing, as its endpoints are made by hand."""
    return bool(selector) and all(labels.get(key) == value for key, value in (selector or {}).items())


def text(selector: Mapping[str, Any] | None) -> str:
    """A selector as ``kubectl get -l`` takes it, for messages."""
    if selector is None:
        return "no selector"
    if not set(selector) & {"matchLabels", "matchExpressions"}:
        return ",".join(f"{k}={v}" for k, v in sorted(selector.items())) or "everything"
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or []:
        values = ",".join(rule.get("values") or [])
        words = {"In": f"in ({values})", "NotIn": f"notin ({values})", "Exists": "exists", "DoesNotExist": "absent"}
        parts.append(f"{rule.get('key')} {words.get(rule.get('operator', ''), rule.get('operator'))}")
    return ",".join(parts) or "everything"
