"""Whose something is, where folders of packages are concerned."""

from __future__ import annotations

import json
from pathlib import Path

from autoexec.introspect.libraries import is_library


def _installed(folder: Path, name: str, url: str | None) -> str:
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "RECORD").write_text(f"{name}.py,,\n{about.name}/RECORD,,\n")
    if url is not None:
        (about / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {}}))
    return str(folder / f"{name}.py")


def test_a_package_of_the_users_own_may_be_installed(tmp_path: Path) -> None:
    """From a folder that is on this machine; a folder where that was built elsewhere tells nothing."""
    folder = tmp_path / "site-packages"
    (tmp_path / "mine").mkdir()
    other = _installed(folder, "other_of_test", None)
    built = _installed(folder, "built_of_test", "file:///home/nobody/feedstock")
    mine = _installed(folder, "mine_of_test", f"file://{tmp_path}/mine")
    assert is_library(other) and is_library(built) and not is_library(mine)


def test_a_folder_where_no_installer_was(tmp_path: Path) -> None:
    """Its name alone makes it no library's."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    assert not is_library(str(folder / "copied_of_test.py"))
