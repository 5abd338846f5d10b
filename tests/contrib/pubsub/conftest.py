"""The engines that the tests around `PubSub` run on."""

from __future__ import annotations

from tests.engines import anyio_backend as anyio_backend
