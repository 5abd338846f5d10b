"""Layers: what stands between a link and a peer, without I/O."""

from duologue_adapters.layers.tls import TlsIdentity, TlsLayer

__all__ = ["TlsIdentity", "TlsLayer"]
