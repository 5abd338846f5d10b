"""The list of what is there: every plug-in, also those that can't be used, each with where it comes from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.plugins_registry.test_plugins import ADAPTER, ADAPTERS, WIREFORMAT, WIREFORMATS, Raven

from duologue import PluginInfo, __version__, installed_plugins
from duologue.plugins import adapter_registry, wireformat_registry

Install = Callable[..., None]


def named(infos: list[PluginInfo], name: str) -> list[PluginInfo]:
    return [info for info in infos if info.name == name]


def test_what_comes_with_the_library() -> None:
    """All of ours is there, adapters first, with the version that runs."""
    found = installed_plugins()
    assert [info.group for info in found] == sorted(info.group for info in found)
    (tcp,) = named(found, "tcp")
    assert tcp == PluginInfo(
        group=ADAPTERS,
        name="tcp",
        distribution="duologue",
        version=__version__,
        place="duologue_adapters.tcp",
        problem="",
    )


def test_each_problem_is_told(install: Install) -> None:
    """What can't be imported, what two distributions offer, and what fulfils no port: each is listed with its problem."""
    install("morse-code", {WIREFORMATS: {"morse": "morse_code"}}, morse_code=WIREFORMAT)
    install("needing", {WIREFORMATS: {"needy": "needy"}}, needy="import a_library_that_is_not_there")
    install("one", {WIREFORMATS: {"twice": "one_of_them"}}, one_of_them=WIREFORMAT)
    install("two", {WIREFORMATS: {"twice": "other_of_them"}}, other_of_them=WIREFORMAT)
    install("odd", {WIREFORMATS: {"odd": "odd_one"}}, odd_one=WIREFORMAT.replace("Morse()", "3"))
    found = wireformat_registry().listing()
    (morse,) = named(found, "morse")
    assert (morse.distribution, morse.version, morse.place, morse.problem) == (
        *("morse-code", "1.0", "morse_code"),
        "",
    )
    (needy,) = named(found, "needy")
    assert "install the library, or the extra of needing" in needy.problem
    twice = named(found, "twice")
    assert [info.distribution for info in twice] == ["one", "two"]
    assert all("uninstall one, or let it choose another name" in info.problem for info in twice)
    (odd,) = named(found, "odd")
    assert "must be an object of a class derived from duologue.WireFormat" in odd.problem


def test_the_suites_without_pytest_say_what_to_install() -> None:
    script = "import sys; sys.modules['pytest'] = None; import duologue_contrib.testing"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "needs pytest: pip install 'duologue[testing]'" in done.stderr


def test_what_was_registered_by_hand(install: Install) -> None:
    """It belongs to no distribution."""
    install("pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post"}}, pigeon_post=ADAPTER)
    registry = adapter_registry()
    registry.register("raven", Raven())
    (raven,) = named(registry.listing(), "raven")
    assert (raven.distribution, raven.version, raven.place, raven.problem) == ("", "", Raven.__module__, "")
    assert named(registry.listing(), "pigeon")[0].distribution == "pigeon-post"
