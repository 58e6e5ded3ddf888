"""What workloads promise and what became of them: rules over manifests, placement, disruption budgets.

Everything but `inventory` is pure logic over objects as the API server returns them; no request is sent.
"""
