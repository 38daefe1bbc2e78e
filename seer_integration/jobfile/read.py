"""A job file, from its text."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import yaml  # type: ignore[import-untyped]

from lithops_shm.cli.configuration import load
from lithops_shm.errors import ConfigError, ProfileError
from lithops_shm.selector import JobProfile
from lithops_shm.selector.policy import policy_named
from seer_integration.dag import StageName
from seer_integration.errors import JobFileError
from seer_integration.jobfile.document import (
    Entry,
    Mistakes,
    composed,
    entries,
    is_null,
    line,
    text,
    value,
)
from seer_integration.jobfile.jobfile import JobFile, Stage
from seer_integration.jobfile.parameters import Parameters, lacks
from seer_integration.jobfile.steps import operation_of

__all__ = ["read"]

_SECTIONS = ("name", "parameters", "stages", "confidential", "policy", "profile", "storage", "lithops")
_OF_STAGES = ("after", "operations")
_JOB_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def read(file: str | os.PathLike[str], parameters: Mapping[str, str] | None = None) -> JobFile:
    """Read a job file, and check all that can be told without its data.

    Modules whose functions the file names are imported.

    Parameters
    ----------
    file:
        A path.
    parameters:
        Texts by name, in place of the file's defaults.

    Raises
    ------
    JobFileError
        When the file cannot be read, or is wrong. It names the line of the first mistake; its reason has a line more
        for each other one.
    """
    path = os.fspath(file)
    try:
        with open(path, "rb") as opened:
            data = opened.read()
    except OSError as error:
        raise JobFileError(path, 0, f"cannot be read: {error.strerror}") from error
    return _Reader(path).job(data, parameters or {})


class _Reader:
    """One file, being read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._directory = os.path.dirname(os.path.abspath(path))
        self._mistakes = Mistakes(path)

    def job(self, data: bytes, given: Mapping[str, str]) -> JobFile:
        root = composed(self._path, data, self._mistakes)
        if not isinstance(root, yaml.MappingNode):
            raise JobFileError(self._path, 0 if root is None else line(root), "is no job: it has no section `stages`")
        found = self._known(root, _SECTIONS, "section")
        declared = found.pop("parameters", None)
        parameters = Parameters(declared, given, self._directory, self._mistakes)
        filled = {name: parameters.applied(node) for name, node in found.items()}
        if "stages" not in filled:
            self._mistakes.add(root, "there are no stages; list the operations of each in the section `stages`")
        job = JobFile(
            self._path,
            self._stages(filled.get("stages")),
            self._job_name(filled.get("name")),
            self._confidential(filled.get("confidential")),
            self._policy(filled.get("policy")),
            self._profile(filled.get("profile")),
            self._text("storage", filled.get("storage")),
            self._lithops(filled.get("lithops")),
        )
        self._mistakes.raise_any()
        job.graph()
        return job

    def _stages(self, node: yaml.Node | None) -> tuple[Stage, ...]:
        if node is None or lacks(node):
            return ()
        if not isinstance(node, yaml.MappingNode) or not node.value:
            self._mistakes.add(node, "`stages` is not a mapping of names to lists of operations")
            return ()
        found = entries(node)
        names = {name: self._name(entry.key) for name, entry in found.items()}
        return tuple(self._stage(names[name], entry, names) for name, entry in found.items())

    def _stage(self, name: StageName, entry: Entry, names: Mapping[str, StageName]) -> Stage:
        steps: yaml.Node | None = entry.value
        after: tuple[StageName, ...] = ()
        if isinstance(steps, yaml.MappingNode):
            parts = self._known(steps, _OF_STAGES, f"key of stage {name}")
            after = self._parents(parts.get("after"), names)
            steps = parts.get("operations")
        if not isinstance(steps, yaml.SequenceNode):
            misspelt = isinstance(entry.value, yaml.MappingNode) and set(entries(entry.value)) - set(_OF_STAGES)
            if not (misspelt or (steps is not None and lacks(steps))):
                reason = "is a list of operations, or has such a list under `operations`, beside `after`"
                self._mistakes.add(steps or entry.key, f"stage {name} {reason}")
            return Stage(name, line(entry.key), after, (), ())
        made = [(operation_of(step, self._directory, self._mistakes), line(step)) for step in steps.value]
        operations = tuple(operation for operation, _ in made if operation is not None)
        return Stage(name, line(entry.key), after, operations, tuple(at for _, at in made))

    def _parents(self, node: yaml.Node | None, names: Mapping[str, StageName]) -> tuple[StageName, ...]:
        if node is None or is_null(node) or lacks(node):
            return ()
        found = []
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            name = text(each)
            if name is None:
                self._mistakes.add(each, "`after` names a stage, or lists some")
            elif name not in names:
                self._mistakes.unknown(each, "stage", name, names)
            else:
                found.append(names[name])
        return tuple(found)

    def _text(self, name: str, node: yaml.Node | None) -> str | None:
        if node is None or is_null(node) or lacks(node):
            return None
        found = text(node)
        if not found:
            self._mistakes.add(node, f"`{name}` is not a text")
        return found

    def _job_name(self, node: yaml.Node | None) -> str | None:
        name = self._text("name", node)
        if name and not _JOB_NAME.fullmatch(name):  # it becomes a part of the names of objects
            self._mistakes.add(node, f"the name {name!r} is not of letters, digits, '-', '_' and '.', 40 at most")
        return name

    def _confidential(self, node: yaml.Node | None) -> bool:
        if node is None or is_null(node) or lacks(node):
            return False
        found = self._value(node)
        if not isinstance(found, bool):
            self._mistakes.add(node, "`confidential` is neither true nor false")
        return bool(found)

    def _policy(self, node: yaml.Node | None) -> str | None:
        name = self._text("policy", node)
        if name:
            try:
                policy_named(name)
            except ConfigError as error:
                self._mistakes.add(node, str(error))
        return name

    def _profile(self, node: yaml.Node | None) -> JobProfile | None:
        if node is None or is_null(node) or lacks(node):
            return None
        if not isinstance(node, yaml.MappingNode):
            self._mistakes.add(node, "`profile` is not a mapping, such as {deadline_s: 60}")
            return None
        found = self._known(node, [field.name for field in fields(JobProfile)], "part of a profile")
        try:
            return JobProfile(**{name: self._value(each) for name, each in found.items()})
        except ProfileError as error:
            self._mistakes.add(found.get(error.args[0], node), str(error))
        return None

    def _lithops(self, node: yaml.Node | None) -> dict[str, Any] | None:
        if node is None or is_null(node) or lacks(node):
            return None
        try:
            if isinstance(node, yaml.ScalarNode):
                return load(os.path.join(self._directory, os.path.expanduser(node.value)))[0]
        except ConfigError as error:
            self._mistakes.add(node, str(error))
            return None
        found = self._value(node)
        if isinstance(found, dict):
            return found
        self._mistakes.add(node, "`lithops` is neither a configuration nor the path of one")
        return None

    def _known(self, node: yaml.MappingNode, known: Sequence[str], what: str) -> dict[str, yaml.Node]:
        """The values of a mapping; other keys than those are mistakes."""
        found = entries(node)
        for name, entry in found.items():
            if name not in known:
                self._mistakes.unknown(entry.key, what, name, known)
        return {name: entry.value for name, entry in found.items() if name in known}

    def _name(self, node: yaml.Node) -> StageName:
        found = self._value(node)
        return found if isinstance(found, int) and not isinstance(found, bool) else str(node.value)

    def _value(self, node: yaml.Node) -> Any:
        try:
            return value(node)
        except ValueError as error:
            self._mistakes.add(node, str(error))
            return None
