"""Python packages of a custom job, laid out where its interpreter finds them."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from nbvertex.emulator.tasks import TaskFailed


def lay_out(packages: list[tuple[str, Path]], folder: Path) -> list[str]:
    """Unpack source distributions and wheels.

    Args:
        packages: of each, the URI and the file.
        folder: where to.

    Returns:
        the folders to search for modules.

    Raises:
        TaskFailed: one is missing, or no package.
    """
    found: list[str] = []
    for number, (uri, file) in enumerate(packages):
        place = folder / str(number)
        place.mkdir(parents=True)
        try:
            found += _unpacked(file, place)
        except FileNotFoundError as error:
            raise TaskFailed(f"The package {uri} does not exist.", 5) from error
        except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
            raise TaskFailed(f"The package {uri} cannot be unpacked: {error}", 3) from error
    return found


def _unpacked(file: Path, place: Path) -> list[str]:
    if file.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(place)
    else:
        with tarfile.open(file) as archive:
            archive.extractall(place, filter="data")
    if file.suffix == ".whl":
        return [str(place)]
    inner = [one for one in place.iterdir() if one.is_dir()]
    top = inner[0] if len(inner) == 1 and not (inner[0] / "__init__.py").exists() else place
    return [str(one) for one in (top / "src", top) if one.is_dir()]
