"""What `pip` is within a job: installs archives that are here, takes what the environment has, and says what it lacks.

Nothing is downloaded in the emulator, and a job must not change the environment that its image is mapped to. So a package in
a file is laid out below the job's own home, where `sitecustomize` finds it; everything that is more than that is left to the
environment's own pip, where it has one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile

WITH_VALUE = {"-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "--trusted-host",
              "--retries", "--timeout", "--progress-bar", "--root-user-action", "--cache-dir"}  # fmt: skip
PLAIN = {"-q", "-qq", "--quiet", "-U", "--upgrade", "--user", "--no-cache-dir", "--no-deps", "--no-index", "-v",
         "--no-warn-script-location", "--disable-pip-version-check", "--no-build-isolation", "--no-input",
         "--force-reinstall", "-I", "--ignore-installed", "--break-system-packages", "--prefer-binary"}  # fmt: skip
ARCHIVES = (".tar.gz", ".tgz", ".zip", ".whl")
NOTES = (".dist-info/METADATA", ".egg-info/requires.txt")
NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)")


def main(words: list[str]) -> int:
    """Install, or leave it to the environment's own pip."""
    wanted = read(words[1:]) if words[:1] == ["install"] else None
    if wanted is None:
        return leave(words)
    archives = [one for one in wanted if is_archive(one)]
    try:
        needed = [] if "--no-deps" in words else [need for path in archives for need in needs(path)]
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"ERROR: cannot be read: {error}\n")
        return 1
    named = [one for one in wanted if not is_archive(one)]
    lacking = [one for one in (*named, *needed) if not is_there(one)]
    if lacking:
        said = f"ERROR: nothing is downloaded in the emulator, and {sys.prefix} lacks: {', '.join(lacking)}"
        sys.stderr.write(f"{said}\nInstall it there, or map the image to an environment that has it.\n")
        return 1
    for path in archives:
        try:
            lay_out(path, os.path.join(os.path.expanduser("~"), "packages"))
        except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
            sys.stderr.write(f"ERROR: {path} cannot be installed: {error}\n")
            return 1
    return 0


def read(words: list[str]) -> list[str] | None:
    """What is to be installed; None where more is asked than is done here."""
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in WITH_VALUE:
            value = value or (rest.pop(0) if rest else "")
            if name in ("-r", "--requirement"):
                found += requirements(value)
        elif word.startswith("-") and word not in PLAIN:
            return None
        elif not word.startswith("-"):
            found.append(word)
    simple = all(
        is_archive(one) or (NAME.fullmatch(one.partition(";")[0]) and "/" not in one) for one in found
    )
    return found if found and simple else None


def requirements(path: str) -> list[str]:
    """The lines of a file of requirements, without hashes and comments."""
    with open(path, encoding="utf-8") as stream:
        text = stream.read().replace("\\\n", " ")
    lines = [line.partition(" #")[0].partition(" --hash")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def is_archive(word: str) -> bool:
    return word.partition("[")[0].endswith(ARCHIVES) and "://" not in word


def is_there(requirement: str) -> bool:
    """Whether the environment has it; a condition that does not hold here asks for nothing."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        found = NAME.match(requirement)
        return found is not None and version_of(found[1]) is not None
    try:
        asked = Requirement(requirement)
    except InvalidRequirement:
        return False
    if asked.marker is not None and not asked.marker.evaluate():
        return True
    if asked.name.lower() == "pip":  # whoever upgrades it wants to install with it
        return True
    version = version_of(asked.name)
    return version is not None and asked.specifier.contains(version, prereleases=True)


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "0" if name.lower() == "pip" else None


def needs(path: str) -> list[str]:
    """What a package says it needs, as the one that built it has noted."""
    path = path.partition("[")[0]
    if path.endswith((".whl", ".zip")):
        with zipfile.ZipFile(path) as archive:
            told = [archive.read(name).decode() for name in archive.namelist() if name.endswith(NOTES)]
    else:
        with tarfile.open(path) as archive:
            members = [one for one in archive.getmembers() if one.isfile() and one.name.endswith(NOTES)]
            told = [archive.extractfile(one).read().decode() for one in members]  # type: ignore[union-attr]
    found: list[str] = []
    for text in told:
        wheel = [
            line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Requires-Dist:")
        ]
        found += wheel or ([] if "Metadata-Version:" in text else text.partition("[")[0].split("\n"))
    return [one.strip() for one in dict.fromkeys(found) if one.strip() and "extra ==" not in one]


def lay_out(path: str, target: str) -> None:
    """Unpack a wheel or a source distribution so that its modules are found in the target."""
    path = path.partition("[")[0]
    os.makedirs(target, exist_ok=True)
    if path.endswith((".whl", ".zip")):
        with zipfile.ZipFile(path) as archive:
            if path.endswith(".whl"):
                archive.extractall(target)
                return
            place = f"{target}.{os.path.basename(path)}"
            archive.extractall(place)
    else:
        place = f"{target}.{os.path.basename(path)}"
        with tarfile.open(path) as archive:
            archive.extractall(place, filter="data")
    inner = [entry.path for entry in os.scandir(place) if entry.is_dir()]
    top = inner[0] if len(inner) == 1 and not os.path.exists(os.path.join(inner[0], "__init__.py")) else place
    source = os.path.join(top, "src")
    for entry in os.scandir(source if os.path.isdir(source) else top):
        there = os.path.join(target, entry.name)
        if not os.path.exists(there):
            os.rename(entry.path, there)


def leave(words: list[str]) -> int:
    """The environment's own pip does it."""
    if importlib.util.find_spec("pip") is None:
        sys.stderr.write(f"ERROR: {sys.prefix} has no pip, which `pip {' '.join(words)}` needs\n")
        return 1
    return subprocess.call([sys.executable, "-m", "pip", *words])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
