"""The driver and its adapters: everything that touches an event loop or a socket."""
