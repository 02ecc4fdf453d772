"""The report of a run: one HTML page that needs nothing else, and one for a member of a community on request."""

from pathlib import Path

from twin.results import RunReader
from twin.results.disk import write_atomic
from twin.results.layout import REPORT

__all__ = ["build_report", "write_member_page", "write_report"]


def build_report(run: RunReader) -> str:
    """Return the report of a run, finished or not, as an HTML document.

    Raises:
        RunFolderError: files of the run are missing or damaged.
    """
    from twin.report.collect import collect  # noqa: PLC0415 - only a report needs it
    from twin.report.page import page  # noqa: PLC0415 - same

    return page(collect(run))


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run, all of it or nothing, and return its path.

    Raises:
        RunFolderError: the folder is not a run, or files of it are missing or damaged.
        StoreError: the report cannot be written.
    """
    path = run_folder / REPORT
    write_atomic(path, build_report(RunReader(run_folder)).encode("utf-8"))
    return path


def write_member_page(run_folder: Path, home: str) -> Path:
    """Write ``member_<name>.html`` into the folder of a run, all of it or nothing, and return its path.

    Args:
        run_folder: folder of a finished run with communities.
        home: name of the connection point.

    Raises:
        RunFolderError: the folder is not a run, has no settled communities or no such member, or files of it are missing
            or damaged.
        StoreError: the page cannot be written.
    """
    from twin.report.member_page import build_member_page, member_page_path  # noqa: PLC0415 - as above

    run = RunReader(run_folder)
    path = member_page_path(run, home)
    write_atomic(path, build_member_page(run, home).encode("utf-8"))
    return path
