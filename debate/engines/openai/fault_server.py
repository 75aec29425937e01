"""A small HTTP server that misbehaves on command, for tests of whatever calls one: real sockets, standard library."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Plan = Callable[[int, dict[str, Any]], Any]  # (number of the call, its body) → a fault's name, (status, …) or None


def chat_answer(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a well-behaved chat endpoint says: the last message, turned round."""
    text = body["messages"][-1]["content"][::-1]
    answer = {
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4},
    }
    return {**answer, **changes}


def vllm_answer(body: dict[str, Any]) -> dict[str, Any]:
    """What vLLM's server says, as far as this engine reads it; the words depend on who is asked."""
    if "lora_name" in body:
        return {}
    prompt = body["prompt"]
    choice: dict[str, Any] = {"index": 0, "text": "", "prompt_token_ids": prompt, "finish_reason": "stop"}
    if "prompt_logprobs" in body:
        choice["prompt_logprobs"] = [None, *({str(token): {"logprob": -0.5}} for token in prompt[1:])]
    else:
        choice["token_ids"] = [40 + sum(body["model"].encode()) % 20, body["stop_token_ids"][0]]
        choice["logprobs"] = {"token_logprobs": [-1.0, -0.5]}
    usage = {"prompt_tokens_details": {"cached_tokens": len(prompt) - 1}}
    return {"model": body["model"], "choices": [choice], "usage": usage}


class FaultServer:
    """Listens on a free port while it is used as a context manager.

    Args:
        plan: what goes wrong with a call, by its number and body: None (nothing), "reset", "truncate", "garbage",
            "list", "slow", "trickle", "wrong_model", ("status", code, headers, message) or ("answer", JSON).
        answer: a good answer to a body; `_path` in it is the call's path.
        slow: seconds of a slow answer.
        port: to listen on; 0 takes a free one.
        models: what `GET /v1/models` lists.
    """

    def __init__(
        self,
        plan: Plan = lambda n, body: None,
        answer: Any = chat_answer,
        slow: float = 2.0,
        port: int = 0,
        models: tuple[dict[str, Any], ...] = (),
    ) -> None:
        self.plan, self.answer, self.slow = plan, answer, slow
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.flying = self.most = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                content = json.dumps({"data": list(models)} if self.path.endswith("/models") else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body["_path"] = self.path
                with outer._lock:
                    number = len(outer.bodies)
                    outer.bodies.append(body)
                    outer.times.append(time.monotonic())
                    outer.headers.append(dict(self.headers))
                    outer.flying += 1
                    outer.most = max(outer.most, outer.flying)
                try:
                    outer._respond(self, outer.plan(number, body), body)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with outer._lock:
                        outer.flying -= 1

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def _respond(self, handler: BaseHTTPRequestHandler, fault: Any, body: dict[str, Any]) -> None:
        if fault == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            return
        if fault == "slow":
            time.sleep(self.slow)
        status, headers = 200, {}
        if fault == "garbage":
            content = b"<html>proxy error</html>"
        elif fault == "list":
            content = b"[1, 2]"
        elif isinstance(fault, tuple) and fault[0] == "status":
            _, status, headers, message = fault
            content = json.dumps({"error": {"message": message}}).encode()
        elif isinstance(fault, tuple):
            content = json.dumps(fault[1]).encode()
        else:
            good = self.answer(body)
            content = json.dumps({**good, "model": "somebody-else"} if fault == "wrong_model" else good).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for n in range(len(content) if fault == "trickle" else 0):
            handler.wfile.write(content[n : n + 1])
            handler.wfile.flush()
            time.sleep(self.slow)
        if fault != "trickle":
            handler.wfile.write(content[: len(content) // 2] if fault == "truncate" else content)
        if fault == "truncate":
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
