"""`search run --dry-run`: what would be searched, for how long and at what cost. Nothing is written."""

from __future__ import annotations

from pathlib import Path

from search.commands.request import Settings, builder, check_images, check_settings, search_of
from search.commands.run import check_request
from search.commands.session import Session
from search.executors.devices import this_machine
from search.executors.factory import open_executor, slots_of_cluster
from search.executors.workers import choose
from search.results.dry_run import DryRun
from search.session import dry_run as session_dry_run
from search.session.needs import need_of
from search.session.prepare import prepare


def dry_run(
    path: Path | None,
    settings: Settings,
    session: Session,
    *,
    directory: Path | None = None,
    model: str | None = None,
    warm_start: Path | None = None,
) -> DryRun:
    """What `run` would do with the same arguments. Raises as `run` does before it begins."""
    own = builder(model, settings.preset)
    request = search_of(path, directory, settings)
    folder, display = request.folder, session.display
    check_request(request, session, own)
    elsewhere = slots_of_cluster(session.cluster) if session.cluster else None
    with open_executor(0 if session.workers == 0 else 1) as executor:
        with display.reading() as progress:
            prepared = prepare(request.config, folder.path, progress, own, warm_start)
        check_images(request, prepared, session.command)
        check_settings(request, prepared, session.command)
        here = session.workers or (1 if session.workers == 0 else choose(this_machine(), need_of(prepared)).number)
        workers, memory = elsewhere or (here, None)
        with display.training() as watched:
            return session_dry_run.dry_run(folder, prepared, executor, workers=workers, memory=memory, watched=watched)
