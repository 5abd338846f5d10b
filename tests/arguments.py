"""Arguments that several of the commands here take."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """For argparse: how many, or how long. With none nothing would be tested, and nobody told."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give 1 or more, else nothing is tested")
    return int(text)
