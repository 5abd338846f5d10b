"""Pages as peers: serving them, and the types of messages for their editors. The client itself is in the folder `client`."""

from duologue_contrib.browser.serving import CLIENT_FILES, CLIENT_PATH, PageServer, serve_page
from duologue_contrib.browser.typescript import typescript

__all__ = ["CLIENT_FILES", "CLIENT_PATH", "PageServer", "serve_page", "typescript"]
