"""Which `mirage` is installed: Mirage with MPK, without it, or the astronomers' package."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from mpkgraph.pipeline.installed import describe_installed_mirage, installed_mirage
from tests.pipeline.scripts import KERNEL, run, write


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder of packages that comes first."""
    for name in [x for x in sys.modules if x.partition(".")[0] == "mirage"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def install(site, distribution, *files):
    for file in files:
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise RuntimeError('it was imported')\n")
    if distribution is not None:
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )


def test_nothing(site):
    assert installed_mirage() is None
    assert describe_installed_mirage().startswith("Mirage is not installed. Build it")


@pytest.mark.parametrize(
    ("distribution", "files", "text"),
    [
        ("mirage", ["__init__.py"], "is PyPI's mirage 1.2, a simulator for astronomers"),
        ("mirage-project", ["__init__.py"], "is mirage-project 1.2 without MPK"),
        (
            "mirage-project",
            ["__init__.py", "mpk/persistent_kernel.py"],
            "Mirage is installed: mirage-project 1.2 with MPK",
        ),
        (
            None,
            ["__init__.py", "mpk/persistent_kernel.py"],
            "Mirage is installed: a source tree with MPK",
        ),
        (None, ["__init__.py"], "is a source tree without MPK"),
    ],
)
def test_without_importing_it(site, distribution, files, text):
    install(site, distribution, *(f"mirage/{x}" for x in files))
    found = installed_mirage()
    assert found.folder == site / "mirage"
    assert found.has_mpk == ("mpk/persistent_kernel.py" in files)
    assert text in describe_installed_mirage()
    assert "mirage" not in sys.modules


def test_one_file_of_the_name(site, monkeypatch):
    """What lies in the working folder is not its."""
    install(site, None, "mirage.py", "work/mpk/persistent_kernel.py")
    monkeypatch.chdir(site / "work")
    found = installed_mirage()
    assert (found.folder, found.has_mpk) == (site / "mirage.py", False)


class _Refuses:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"no {name} here")


def test_what_can_not_be_looked_for_is_not_installed(site, monkeypatch):
    install(site, None, "mirage/__init__.py")
    monkeypatch.setattr(sys, "meta_path", [_Refuses(), *sys.meta_path])
    assert installed_mirage() is None
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "mirage", SimpleNamespace(__spec__=None))
    assert installed_mirage() is None


def test_scripts_never_see_it(tmp_path, monkeypatch):
    install(tmp_path, "mirage", "mirage/__init__.py", "mirage/mpk/persistent_kernel.py")
    monkeypatch.syspath_prepend(tmp_path)
    script = write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\n")
    assert len(run(script).compiled) == 1
