"""Removes other programs' variables from the environment of our processes.

Faust reads APP_VERSION, BROKER_URL and WEB_PORT as its own settings, prometheus_client reads PROMETHEUS_MULTIPROC_DIR,
Java JAVA_TOOL_OPTIONS, and a PYTHONPATH may hold a `models` folder that Python finds before ours. Kubernetes sets
KAFKA_PORT and STANDFAST_PORT in containers beside Services of these names. So we keep the variables known to be for us
or for our libraries, and drop the rest.
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
# Our own settings, and those of torch, CUDA, ROCm, OpenMP, BLAS, the Hugging Face hub, allocators and Kerberos.
_KEPT_PREFIXES = (
    "STANDFAST_", "KAFKA_", "LC_", "XDG_", "CUDA_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "TORCH_", "PYTORCH_",
    "TORCHINDUCTOR_", "TRITON_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "DNNL_", "ATEN_", "HF_",
    "TRANSFORMERS_", "HUGGINGFACE_", "CUBLAS_", "MALLOC_", "JEMALLOC_", "KRB5", "AIOKAFKA_", "COVERAGE_", "COV_",
    "_STANDFAST_", "_TYPER_", "COMP_",  # the shell's completion
)  # fmt: skip
_SERVICE = re.compile(r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def is_of_kubernetes(name: str, value: str) -> bool:
    """Whether Kubernetes set this variable for a Service whose name begins like our variables."""
    if "__" in name:
        return False
    return bool(_SERVICE.search(name)) or (name.endswith("_PORT") and bool(_ADDRESS.match(value)))


def is_kept(name: str, value: str) -> bool:
    """Whether the variable is kept."""
    known = name in _KEPT or name.startswith(_KEPT_PREFIXES)
    return known and not is_of_kubernetes(name, value)


def drop_foreign() -> None:
    """Drops foreign variables from this process's environment, and puts our code first on the module path.

    Call it before importing anything that may read either.
    """
    dropped = foreign(os.environ)
    for name in dropped:
        del os.environ[name]
    python_path = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    others = _absolute([*python_path, *([] if sys.flags.safe_path else ["."])]) - {str(ROOT)}
    first = [folder for folder in sys.path if folder and folder not in others]
    last = [folder for folder in sys.path if folder in others]
    sys.path[:] = [*first, *([] if str(ROOT) in first else [str(ROOT)]), *last]
    if python_path:
        without_root = [folder for folder in python_path if folder != str(ROOT)]
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *without_root])
    DROPPED[:] = dropped


def _absolute(folders: list[str]) -> set[str]:
    """The folders as `sys.path` holds them; `python -m` puts the current folder there."""
    try:
        return {str(Path(folder).absolute()) for folder in folders}
    except FileNotFoundError:  # the current folder was deleted
        return set()


def kept_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the environment that are kept."""
    return {name: value for name, value in environment.items() if is_kept(name, value)}


def foreign(environment: Mapping[str, str]) -> list[str]:
    """The names of the variables that are not kept."""
    return sorted(name for name, value in environment.items() if not is_kept(name, value))


DROPPED: list[str] = []
