"""An adapter over named pipes, and a wire format with frames of its own: an example of a plug-in of duologue."""

__all__: list[str] = []
