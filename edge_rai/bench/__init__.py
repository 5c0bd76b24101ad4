"""Measuring latency: contenders side by side in one run."""
