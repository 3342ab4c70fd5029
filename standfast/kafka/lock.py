"""The jars Apache Kafka consists of, with their SHA-256, from `kafka.lock.toml`.

`python -m standfast.kafka.lock` resolves the coordinates below again and rewrites the file.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.2.2"
LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")
_WITH_DEPENDENCIES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}")
# Kafka's jars log through slf4j and bring no backend; without one they log nothing. Resolved separately, because its
# parent POM's version table would change 22 of Kafka's own dependencies.
_ALONE = ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",)


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One jar by its Maven coordinate, and the digest its bytes must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name the jar has on disk."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"


def locked_jars(path: Path = LOCK_FILE) -> list[LockedJar]:
    """Every jar the lock file names, in class path order."""
    locked = tomllib.loads(path.read_text(encoding="utf-8"))["dependencies"]
    return [LockedJar(row["groupId"], row["artifactId"], row["version"], row["sha256"]) for row in locked]


def lock_digest(jars: list[LockedJar]) -> str:
    """A hash of this set of jars, 12 hexadecimal digits."""
    text = "\n".join(f"{jar.coordinate} {jar.sha256}" for jar in jars)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_lock(path: Path = LOCK_FILE) -> None:
    """Resolves the coordinates over the network and replaces the lock file."""
    from jgo.env._lockfile import LockFile
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as fresh:
        maven = MavenContext(repo_cache=Path(fresh), local_repos=[])
        wanted, transitive = maven.resolver.resolve([maven.create_dependency(jar) for jar in _WITH_DEPENDENCIES])
        alone, _ = maven.resolver.resolve([maven.create_dependency(jar) for jar in _ALONE])
        needed = [dependency for dependency in transitive if dependency.scope in ("compile", "runtime")]
        LockFile.from_resolved_dependencies([*wanted, *needed, *alone], environment_name="kafka").save(path)


if __name__ == "__main__":
    write_lock()
