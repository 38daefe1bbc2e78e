"""Fixtures of tests that run programs against servers which only they need."""

from lambdaserver import lambda_server, lambda_standin

__all__ = ["lambda_server", "lambda_standin"]
