"""A person at the terminal: one line asked for, and Ctrl-C that ends the program at once."""

from __future__ import annotations

import signal
import threading


def ask_line(prompt: str = "") -> str:
    """The line that a person types.

    While an event loop runs, Python turns the first Ctrl-C into a cancellation that waits for the line to be ended;
    here it interrupts the line itself.

    Raises:
        EOFError: the input has ended.
        KeyboardInterrupt: Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        return input(prompt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(prompt)
    finally:
        signal.signal(signal.SIGINT, before)
