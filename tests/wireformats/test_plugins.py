"""The modules of the wire formats are plug-ins, each by itself."""

from __future__ import annotations

import subprocess
import sys

import pluggy
import pytest

from duologue import WireFormat
from duologue.plugins import WireFormatHooks
from duologue_wireformats import cbor, json_text, messagepack


@pytest.mark.parametrize(
    ("module", "name", "kind"),
    [
        (cbor, "cbor", cbor.Cbor),
        (json_text, "json", json_text.Json),
        (messagepack, "msgpack", messagepack.MessagePack),
    ],
    ids=["cbor", "json", "msgpack"],
)
def test_a_module_is_a_plugin(module: object, name: str, kind: type[WireFormat]) -> None:
    """Its hook gives the format, with its default limits."""
    manager = pluggy.PluginManager("duologue")
    manager.add_hookspecs(WireFormatHooks)
    manager.register(module)
    found = manager.hook.duologue_wireformat()
    assert isinstance(found, kind)
    assert found.name == name


def test_json_needs_no_other_library() -> None:
    """Neither the package nor the JSON format imports what may not be installed."""
    code = (
        "import sys; sys.modules.update(cbor2=None, msgpack=None); import duologue_wireformats, duologue_wireformats.json_text as it; "
        "assert it.Json().codec(int).encode(5) == b'5'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
