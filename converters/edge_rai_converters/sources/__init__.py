"""Readers of trained models."""
