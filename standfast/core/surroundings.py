"""The environment that our processes start with: variables of other programs mean nothing to them.

Faust takes APP_VERSION, BROKER_URL or WEB_PORT for its own settings, prometheus_client PROMETHEUS_MULTIPROC_DIR, Java
JAVA_TOOL_OPTIONS, Python a PYTHONPATH whose `models` folder is found before ours. Kubernetes sets KAFKA_PORT and
STANDFAST_PORT in each container beside Services of these names. So we keep what is known to be meant for us and for
what we stand on, and drop the rest.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_KEPT = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "HOSTNAME", "TZ", "TMPDIR", "TEMP", "TMP", "LANG",
    "LANGUAGE", "TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI", "VIRTUAL_ENV",
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONUTF8",
    "PYTHONFAULTHANDLER", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH", "LD_PRELOAD", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "OPENSSL_CONF", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "SCHEMA_REGISTRY_URL", "GLIBC_TUNABLES",
    "TOKENIZERS_PARALLELISM", "NOTIFY_SOCKET", "JOURNAL_STREAM",
))  # fmt: skip
# Settings of ours, and of the libraries that compute: torch, CUDA, ROCm, OpenMP, BLAS, the hub of models, allocators.
_KEPT_PREFIXES = (
    "STANDFAST_", "KAFKA_", "LC_", "XDG_", "CUDA_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "TORCH_", "PYTORCH_",
    "TORCHINDUCTOR_", "TRITON_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "DNNL_", "ATEN_", "HF_",
    "TRANSFORMERS_", "HUGGINGFACE_", "CUBLAS_", "MALLOC_", "JEMALLOC_", "KRB5", "AIOKAFKA_", "COVERAGE_", "COV_",
    "_STANDFAST_", "_TYPER_", "COMP_",  # the shell's completion
)  # fmt: skip
_SERVICE = re.compile(r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def is_of_kubernetes(name: str, value: str) -> bool:
    """Whether Kubernetes made this variable for a Service, whose name it begins with, and not a person for us."""
    if "__" in name:
        return False
    return bool(_SERVICE.search(name)) or (name.endswith("_PORT") and bool(_ADDRESS.match(value)))


def is_kept(name: str, value: str) -> bool:
    """Whether a variable is kept."""
    known = name in _KEPT or name.startswith(_KEPT_PREFIXES)
    return known and not is_of_kubernetes(name, value)


def drop_foreign() -> None:
    """Makes this process's environment ours, and has our code found before any other of the same name.

    To be called before anything is imported that may read either.
    """
    dropped = foreign(os.environ)
    for name in dropped:
        del os.environ[name]
    others = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    strangers = _absolute([*others, *([] if sys.flags.safe_path else ["."])]) - {str(ROOT)}
    first = [each for each in sys.path if each and each not in strangers]
    last = [each for each in sys.path if each in strangers]
    sys.path[:] = [*first, *([] if str(ROOT) in first else [str(ROOT)]), *last]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *(each for each in others if each != str(ROOT))])
    DROPPED[:] = dropped


def _absolute(folders: list[str]) -> set[str]:
    """As they stand in `sys.path`; `python -m` puts the current folder there."""
    try:
        return {str(Path(each).absolute()) for each in folders}
    except FileNotFoundError:  # the current folder was deleted
        return set()


def kept_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are kept."""
    return {name: value for name, value in environment.items() if is_kept(name, value)}


def foreign(environment: Mapping[str, str]) -> list[str]:
    """The names of those that are not kept."""
    return sorted(name for name, value in environment.items() if not is_kept(name, value))


DROPPED: list[str] = []
