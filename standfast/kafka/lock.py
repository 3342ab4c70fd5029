"""Which jars Apache Kafka consists of: `kafka.lock.toml`, with the SHA-256 of each.

`python -m standfast.kafka.lock` resolves the coordinates below again and rewrites the file.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")
_WITH_DEPENDENCIES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}")
# Kafka's jars log through slf4j and leave the choice of a backend to whoever packs them; without one they are mute.
# Resolved apart, because its parent's version table would move 22 of Kafka's own dependencies.
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
    """A short name for exactly this set of jars."""
    text = "\n".join(f"{jar.coordinate} {jar.sha256}" for jar in jars)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_lock(path: Path = LOCK_FILE) -> None:
    """Resolves the coordinates over the network and replaces the lock file."""
    from jgo.env._lockfile import LockFile
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as fresh:
        maven = MavenContext(repo_cache=Path(fresh), local_repos=[])
        wanted, transitive = maven.resolver.resolve([maven.create_dependency(one) for one in _WITH_DEPENDENCIES])
        alone, _ = maven.resolver.resolve([maven.create_dependency(one) for one in _ALONE])
        needed = [each for each in transitive if each.scope in ("compile", "runtime")]
        LockFile.from_resolved_dependencies([*wanted, *needed, *alone], environment_name="kafka").save(path)


if __name__ == "__main__":
    write_lock()
