"""``lithops-shm layer``: what functions on AWS Lambda need besides Lithops, as the zip of a layer that fits."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from importlib import metadata, util
from pathlib import Path
from typing import Any

from lithops_shm import __version__
from lithops_shm.cli import configuration
from lithops_shm.cli.terminal import escaped, print_json, table
from lithops_shm.errors import ConfigError, UnsupportedError
from lithops_shm.sizes import size

__all__ = ["GLIBC", "REQUIREMENTS", "layer_name", "needed", "own_files", "run"]

# What Lithops puts into its layer (aws_lambda/config.py in its backends); six, which it imports, and leaves to dateutil
# to bring; and what a shuffle needs. boto3 is in AWS's runtimes. Objects of the first travel pickled: functions get the
# versions that are installed here.
_SAME_VERSION = ("numpy", "pandas", "pyarrow", "cloudpickle", "tblib")
REQUIREMENTS = (*_SAME_VERSION, "requests", "redis", "pika", "ps-mem", "psutil", "six")

# Minor version of the C library under each runtime: Amazon Linux 2, and 2023.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
GLIBC = {"3.10": 26, "3.11": 26, "3.12": 34, "3.13": 34}
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}

# Of a function and its layers, unzipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LIMIT_BYTES = 250 << 20

_OWN = ("lithops_shm", "seer_integration")
_SOURCES = (".pyx", ".pxd", ".pxi", ".pyi", ".h", ".hpp", ".c", ".cpp", ".a", ".cmake")
# Tests, C headers, and servers of Arrow's own protocol; shared libraries under other names than the loader looks for.
_NEEDLESS_DIRECTORIES = {"tests", "__pycache__", "include"}
_NEEDLESS = re.compile(r"bin/|pyarrow/(lib\w*_flight\.so.*|_flight\..*|lib\w+\.so(\.\d+\.\d+\.\d+)?)$")

_DOCKERFILE = """\
# Build where {zip} is: Lithops adds lithops_lambda.zip to the same directory.
FROM public.ecr.aws/lambda/python:{python}-{architecture}
COPY {zip} lithops_lambda.zip /tmp/
RUN python -m zipfile -e /tmp/{zip} /opt \\
 && python -m zipfile -e /tmp/lithops_lambda.zip ${{LAMBDA_TASK_ROOT}} \\
 && rm /tmp/{zip} /tmp/lithops_lambda.zip
CMD ["entry_point.lambda_handler"]
"""


def run(options: argparse.Namespace) -> int:
    """Build the layer, and publish it if asked to; always 0.

    Raises
    ------
    UnsupportedError
        When something cannot be had for that Python and architecture, or all of it does not fit.
    ConfigError
        When it is to be published, and the configuration does not say where.
    """
    python, architecture = options.python or "{}.{}".format(*sys.version_info), options.architecture
    if python not in GLIBC:
        raise UnsupportedError(f"Python {python}: functions of this release run on {', '.join(GLIBC)}")
    if options.publish and architecture != "x86_64":
        raise UnsupportedError("Lithops deploys layers on x86_64 only: leave out --publish, and use the Dockerfile")
    section = _aws_section(options.config) if options.publish else {}
    output = Path(options.output or f"lithops-shm-{python}-{architecture}.zip")
    with tempfile.TemporaryDirectory(prefix="lithops-shm-layer-") as directory:
        site = Path(directory, "python")
        requirements = [*_pinned(options.unpinned), *options.add]
        _say(f"installing {len(requirements)} packages, and what they need, for Python {python} on {architecture} ...")
        _install(site, requirements, python, options.platform or _platforms(python, architecture))
        _say("leaving out what functions do not need ...")
        _prune(site)
        for source, name in own_files():
            _copy(source, site / name)
        room = LIMIT_BYTES - _bytes_of_lithops()
        if python == "{}.{}".format(*sys.version_info):
            _say("compiling, so that functions start sooner ...")
            _compile(site, room)
        sizes = _sizes(site)
        _require_room(sizes, room)
        _say(f"writing {output} ...")
        _zip(site, output)
    dockerfile = _dockerfile(output, python, architecture) if architecture == "arm64" else None
    arn = _publish(output, section, python, architecture) if options.publish else None
    if options.json:
        print_json(
            "layer",
            {
                "output": str(output),
                "zip_bytes": output.stat().st_size,
                "unzipped_bytes": sum(sizes.values()),
                "limit_bytes": room,
                "packages": sizes,
                "dockerfile": None if dockerfile is None else str(dockerfile),
                "layer": arn,
            },
        )
    else:
        _report(output, sizes, room, dockerfile, arn)
    return 0


def layer_name(user_id: str, python: str, namespace: str | None = None) -> str:
    """The name under which Lithops looks for the layer of its default runtime, before it builds one of its own.

    Parameters
    ----------
    user_id:
        Of the AWS account's user, as STS says it.
    namespace:
        Of the section ``aws_lambda``.
    """
    words = ["lithops", "v" + metadata.version("lithops").replace(".", ""), user_id.split(":")[0][-4:].lower()]
    words += [namespace] if namespace else []
    return "_".join([*words, f"default-runtime-v{python.replace('.', '')}", "layer"])


def needed(path: str) -> bool:
    """Whether functions need a file of an installed package; by its path below ``site-packages``."""
    *parents, name = path.split("/")
    return _NEEDLESS_DIRECTORIES.isdisjoint(parents) and not name.endswith(_SOURCES) and not _NEEDLESS.match(path)


def own_files() -> Iterator[tuple[Path, str]]:
    """The files of this distribution, and the names they get in the layer."""
    root = Path(__file__).parents[2]
    # Read by AWS's runtimes as by any Python: it keeps forked processes from sharing connections.
    yield root / "lithops_shm.pth", "lithops_shm.pth"
    for package in _OWN:
        for source in sorted((root / package).rglob("*.py")):
            yield source, str(source.relative_to(root))


def _pinned(unpinned: bool) -> list[str]:
    """The requirements, at the versions that are installed here where that matters."""
    return [
        f"{name}=={metadata.version(name)}" if name in _SAME_VERSION and not unpinned else name for name in REQUIREMENTS
    ]


def _platforms(python: str, architecture: str) -> list[str]:
    """The tags of wheels that run there, best first (PEP 600, and the older names)."""
    names = [f"manylinux_2_{minor}" for minor in range(GLIBC[python], 4, -1)]
    machine = _MACHINES[architecture]
    return [f"{name}_{machine}" for name in (*names, "manylinux2014", "manylinux2010", "manylinux1")]


def _install(site: Path, requirements: Sequence[str], python: str, platforms: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-compile", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [*(f"--platform={each}" for each in platforms), f"--target={site}", *requirements]
    if util.find_spec("pip") is None:
        raise UnsupportedError(f"{sys.executable} has no pip, which fetches the packages: python -m ensurepip")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = " ".join(said[-2:]) or done.stderr[-500:]
        raise UnsupportedError(
            f"pip could not install for Python {python} on {platforms[0]}: {reason}; where a version has no wheel for "
            "that, take a newer Python (from 3.12 on they run on a newer Linux), install here a version that has one, "
            "or let functions have the newest that has: --unpinned"
        )


def _prune(site: Path) -> None:
    for path in sorted(site.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not needed(path.relative_to(site).as_posix()):
            path.unlink()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def _compile(site: Path, room: int) -> None:
    """Add bytecode, unless there would be no room for it; valid whatever times the files get when unzipped."""
    import compileall
    import py_compile

    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(
        site, maxlevels=50, quiet=2, workers=0, invalidation_mode=mode, stripdir=str(site), prependdir="/opt/python"
    )
    if sum(_sizes(site).values()) > room:
        for path in site.rglob("*.pyc"):
            path.unlink()


def _sizes(site: Path) -> dict[str, int]:
    """Bytes by package, the largest first."""
    sizes: dict[str, int] = {}
    for path in site.rglob("*"):
        if path.is_file():
            name = path.relative_to(site).parts[0].removesuffix(".libs")
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return dict(sorted(sizes.items(), key=lambda each: -each[1]))


def _bytes_of_lithops() -> int:
    """What Lithops uploads as the function itself, which counts too: its own package, without bytecode."""
    spec = util.find_spec("lithops")
    if spec is None or spec.origin is None:
        raise UnsupportedError("Lithops is not installed: pip install lithops")
    files = (path for path in Path(spec.origin).parent.rglob("*") if "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files if path.is_file())


def _require_room(sizes: dict[str, int], room: int) -> None:
    if (total := sum(sizes.values())) > room:
        largest = ", ".join(f"{name} {size(nbytes)}" for name, nbytes in list(sizes.items())[:5])
        raise UnsupportedError(
            f"the layer would take {size(total)} unzipped, and beside Lithops there is room for {size(room)} (largest: "
            f"{largest}): --add less, or use a container image, which may take 10 GiB (docs/remote.md)"
        )


def _zip(site: Path, output: Path) -> None:
    """Write it whole or not at all; the same files give the same bytes."""
    import zipfile

    partial = output.with_name(f"{output.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in site.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(site.parent).as_posix())
                entry.external_attr = (0o755 if ".so" in path.suffixes else 0o644) << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)


def _dockerfile(output: Path, python: str, architecture: str) -> Path:
    path = output.with_name("Dockerfile")
    path.write_text(_DOCKERFILE.format(zip=output.name, python=python, architecture=architecture), encoding="utf-8")
    return path


def _aws_section(file: str | None) -> dict[str, Any]:
    """The section ``aws_lambda``, completed as Lithops does, with the bucket of ``aws_s3``."""
    found, source = configuration.load(file)
    section = {**(found.get("aws") or {}), **(found.get("aws_lambda") or {})}
    section["bucket"] = (found.get("aws_s3") or {}).get("storage_bucket")
    section["region"] = section.get("region") or section.get("region_name")
    for key, where in (("bucket", "aws_s3: {storage_bucket: ...}"), ("region", "aws: {region: ...}")):
        if not section[key]:
            raise ConfigError(f"--publish needs `{where}` in {source}")
    return section


def _publish(output: Path, section: dict[str, Any], python: str, architecture: str) -> str:
    """Upload the zip and make it the newest version of the layer that Lithops looks for; gives its ARN."""
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.Session(
        aws_access_key_id=section.get("access_key_id"),
        aws_secret_access_key=section.get("secret_access_key"),
        aws_session_token=section.get("session_token"),
        region_name=section["region"],
    )
    try:
        with ExitStack() as stack:
            sts, s3, functions = (
                stack.enter_context(closing(session.client(name))) for name in ("sts", "s3", "lambda")
            )
            user_id = section.get("user_id") or sts.get_caller_identity()["UserId"]
            name = layer_name(user_id, python, section.get("namespace"))
            _say(f"publishing {name} ...")
            where = {"Bucket": section["bucket"], "Key": f"{name}.zip"}
            s3.upload_file(str(output), *where.values())
            stack.callback(s3.delete_object, **where)
            published = functions.publish_layer_version(
                LayerName=name,
                Description=f"lithops-shm {__version__}",
                Content={"S3Bucket": where["Bucket"], "S3Key": where["Key"]},
                CompatibleRuntimes=[f"python{python}"],
                CompatibleArchitectures=[architecture],
            )
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise ConfigError(f"the layer is in {output}, and could not be published: {error}") from error
    return str(published["LayerVersionArn"])


def _report(output: Path, sizes: dict[str, int], room: int, dockerfile: Path | None, arn: str | None) -> None:
    shown = {name: nbytes for name, nbytes in sizes.items() if nbytes >= 1 << 20}
    rest = sum(sizes.values()) - sum(shown.values())
    rows = [[name, size(nbytes)] for name, nbytes in [*shown.items(), ("others", rest)]]
    table(["package", "size"], [*rows, ["all, of at most " + size(room), size(sum(sizes.values()))]], right="size")
    print(f"{escaped(str(output))}: {size(output.stat().st_size)}")
    if dockerfile is not None:
        print(f"{escaped(str(dockerfile))}: for a container image, as Lithops deploys layers on x86_64 only")
    if arn is not None:
        print(f"published as {arn}; functions that are deployed from now on have it")


def _say(what: str) -> None:
    """A line about what is being done, beside the output."""
    print(what, file=sys.stderr, flush=True)
