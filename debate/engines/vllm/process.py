"""vLLM's server as a child process: started, waited for, stopped with everything it started."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from debate.engines.vllm.backend import BASE
from debate.engines.vllm.settings import VllmSettings, environment
from debate.errors import EngineUnavailable, UserError

PYTHON = "DEBATE_VLLM_PYTHON"  # a python that has vLLM, where this one has not


def command(model: str, settings: VllmSettings, port: int) -> list[str]:
    """How a server is started. vLLM may live in an environment of its own (`DEBATE_VLLM_PYTHON`).

    This is what `vllm serve` runs; the command itself fails in the CPU package, which goes by another name.
    """
    python = os.environ.get(PYTHON) or sys.executable
    return [
        *(python, "-m", "vllm.entrypoints.openai.api_server", "--model", model),
        *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", BASE),
        *("--enable-prompt-tokens-details", "--disable-uvicorn-access-log"),
        *settings.flags(),
    ]


class ServerProcess:
    """A server that we own.

    Args:
        arguments: its command line for a port: `command` with model and settings filled in, or another server's.
        log: where its output goes.
        patience: seconds it may take to start.
        variables: further environment variables.

    Attributes:
        url: where it listens. key: what every call must bring; made anew for every server.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        port: int,
        log: Path,
        patience: float = 600.0,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = secrets.token_hex(16)
        self.log = log
        self._patience = patience
        self._arguments = list(arguments)
        self._variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            UserError: no such program.
            EngineUnavailable: it ended, or did not answer in time; the message brings the end of its log.
        """
        variables = environment() | dict(os.environ) | self._variables
        variables |= {"VLLM_API_KEY": self.key, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "debate.engines.vllm.watch", *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    start_new_session=True,  # Ctrl-C is ours to handle
                )
            except OSError as error:
                raise UserError(f"the server cannot be started: {error}") from error
        until = time.monotonic() + self._patience
        while not healthy(self.url):
            if not self.alive():
                self.stop()
                raise EngineUnavailable(f"vLLM's server ended while starting: {self._last_words()}")
            if time.monotonic() > until:
                self.stop()
                raise EngineUnavailable(f"vLLM's server did not answer within {self._patience:g} s; see {self.log}")
            time.sleep(0.25)

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stops the server and its children; doing so twice is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # the watcher ends the group
        try:
            process.wait(30.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _last_words(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line]
        shown = " ".join((errors or lines or ["it said nothing"])[-1].split())[-400:]
        return f"{shown.replace(self.key, '[key]')} (all of it: {self.log})"


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def healthy(url: str, timeout: float = 2.0) -> bool:
    """Whether the server says that it is ready."""
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/health", timeout=timeout) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
