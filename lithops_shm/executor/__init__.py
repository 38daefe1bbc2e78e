"""Lithops' executor with what it has no words for."""

from lithops_shm.executor.executor import FunctionExecutor

__all__ = ["FunctionExecutor"]
