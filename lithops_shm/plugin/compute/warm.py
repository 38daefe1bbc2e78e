"""Imported by the process that workers are forked from: has ready what they would each make."""

from __future__ import annotations

from lithops_shm.plugin.compute.logs import prepare

prepare()
