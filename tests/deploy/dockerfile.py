"""A Dockerfile as its instructions, as far as ours needs it: continued lines, comments, JSON and shell forms."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next: (instruction, the rest of its line)."""

    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The rests of all instructions of that name, in order."""
        return [rest for instruction, rest in self.instructions if instruction == name]

    def one(self, name: str) -> str:
        """The rest of the only one. Fails if there are none or several."""
        (rest,) = self.all(name)
        return rest

    def words(self, name: str) -> list[str]:
        """The words of the only instruction of that name, which must be in JSON form."""
        words = json.loads(self.one(name))
        assert isinstance(words, list)
        return words

    def environment(self) -> dict[str, str]:
        """What ENV says."""
        words = [word for rest in self.all("ENV") for word in shlex.split(rest)]
        return {name: value for name, _, value in (word.partition("=") for word in words)}


def read_stages(path: Path) -> list[Stage]:
    """The stages of a Dockerfile."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, rest = line.split(None, 1)
        if name == "FROM":
            stages.append(Stage())
        stages[-1].instructions.append((name, rest))
    return stages
