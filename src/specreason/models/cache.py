"""The folder that holds model files, and the checks that a file in it is the right one.

Presence is judged by size, which is free; only `verify` reads the whole file.
"""

import hashlib
import os
from pathlib import Path

import platformdirs

from specreason.errors import ModelFileError
from specreason.models import catalogue, gguf
from specreason.models.catalogue import Weights

CACHE_VARIABLE = "SPECREASON_CACHE"
CHUNK = 1 << 20  # bytes
_SHIPPED = Path(__file__).parent / "pocket"


def folder() -> Path:
    """Where model files live: `$SPECREASON_CACHE/models`, or the user's cache folder of this system."""
    chosen = os.environ.get(CACHE_VARIABLE, "").strip()
    root = (
        Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("specreason", appauthor=False)
    )
    return root.absolute() / "models"


def path_of(weights: Weights) -> Path:
    """Where the file of these weights lives, whether or not it is there."""
    return (_SHIPPED if weights.shipped else folder()) / weights.file


def is_present(weights: Weights) -> bool:
    """Whether the file is there with the right size in bytes."""
    path = path_of(weights)
    return path.is_file() and path.stat().st_size == weights.bytes


def require(name_or_path: str | Path) -> Path:
    """The file behind a catalogue name or a path to a GGUF file.

    Raises ModelFileError if it is missing, has the wrong size, is cut off or is no GGUF file, ConfigError if
    the value is neither a known name nor looks like a path.
    """
    text = os.fspath(name_or_path)
    if text in catalogue.WEIGHTS:
        return _require_weights(catalogue.WEIGHTS[text])
    if text in catalogue.HUB_MODELS:
        raise ModelFileError(
            f"{text!r} is a model for a GPU server, not a file on this machine: see docs/models.md."
        )
    path = Path(text).expanduser()
    looks_like_path = isinstance(name_or_path, Path) or path.suffix == ".gguf" or len(path.parts) > 1
    if not looks_like_path and not path.is_file():
        catalogue.weights(text)  # raises, with the nearest names
    return _require_gguf(path)


def verify(weights: Weights) -> Path:
    """Read the whole file and compare its SHA-256; ModelFileError names what is wrong and the way out."""
    path = _require_weights(weights)
    found = sha256_of(path)
    if found != weights.sha256:
        raise ModelFileError(
            f"{path} is damaged: expected SHA-256 {weights.sha256}, found {found}. "
            f"Fetch it again: specreason models pull --force {weights.name}"
        )
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal, read in pieces so that memory stays small."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _require_weights(weights: Weights) -> Path:
    path = path_of(weights)
    if not path.is_file():
        raise ModelFileError(
            f"The weights of {weights.name} are not on this machine (looked for {path}). "
            f"Fetch them: specreason models pull {weights.name} (the embedded pair: specreason models pull); "
            f"if they lie elsewhere, set {CACHE_VARIABLE}"
        )
    size = path.stat().st_size
    if size != weights.bytes:
        raise ModelFileError(
            f"{path} is damaged: {size:,} bytes, expected {weights.bytes:,}. "
            f"Fetch it again: specreason models pull {weights.name}"
        )
    return path


def _require_gguf(path: Path) -> Path:
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder. Give the path of the GGUF file in it.")
    if not path.is_file():
        raise ModelFileError(
            f"There is no model file {path}. Give the path of a GGUF file, "
            "or a name from: specreason models list"
        )
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
    if not start:
        raise ModelFileError(f"{path} is empty. Download it again.")
    # A web page or a pointer of Git LFS saved under the name of the model is the usual cause.
    if start != b"GGUF":
        raise ModelFileError(f"{path} is not a GGUF file: it starts with {start!r}. Download it again.")
    gguf.check_whole(path)
    return path
