#!/usr/bin/env python3
"""What clients can get wrong is answered with the right status and a message that names the field; halod serves on."""
import json
import os
import signal
import socket
import unittest
from concurrent.futures import ThreadPoolExecutor

from api_client import ENDLESS, Stream, ask, chat, metrics, request
from halod_process import SLOWDOWN, HalodProcess, run_tests, wait_for

CHAT = "/v1/chat/completions"


def raw_exchange(port: int, data: bytes, half_close: bool = False) -> bytes:
    """Everything that halod answers to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30 * SLOWDOWN) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass  # it closed with our bytes unread
        return answer


class ADaemonWithBadClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.halod = HalodProcess(config={"http": {"max_header_bytes": "8KiB", "max_body_bytes": "256KiB"}})
        cls.addClassCleanup(cls.halod.close)

    @classmethod
    def tearDownClass(cls):
        status = cls.halod.terminate()
        if status != 0:
            raise AssertionError(f"halod exited {status}:\n{cls.halod.stderr()}")

    def tearDown(self):
        """Whatever a test did, the daemon answers the next client."""
        answer = chat(self.halod.port, ask("What is 2 + 2?", chat_template_kwargs={"enable_thinking": False}))
        self.assertEqual(answer.content, "2 + 2 = 4.")

    def assert_refused(self, body, field: str, status: int = 400, path: str = CHAT) -> dict:
        reply = request(self.halod.port, "POST", path, body)
        self.assertEqual(reply.status, status, f"{str(body)[:200]} -> {reply.body[:300]!r}")
        error = reply.error()
        if field:
            self.assertTrue(error["param"] == field or field in error["message"], f"{field} not named: {error}")
        return error

    def test_names_the_field_of_every_absurd_parameter(self):
        absurd = {
            "temperature": [-1, 1e308, "hot", True, [], {}], "top_p": [0, -0.1, 1.5, "x"], "min_p": [-1, 1, 2],
            "top_k": [-5, 1.5, "x"], "max_tokens": [0, -1, 1.5, 1e99, "many"], "n": [0, -1, 10**9, 1.5],
            "seed": ["x", 1.5], "stop": [5, [1, 2], {"a": 1}, ["x"] * 1000], "logit_bias": [5, {"x": 1}, {"1": "y"}, {"99999999": 1}],
            "presence_penalty": [-3, 3, "x"], "frequency_penalty": [-3, 3], "repetition_penalty": [0, -1, "x"],
            "logprobs": [5, "yes"], "stream": ["yes", 1], "tools": [5, ["x"], [{"type": "function"}]],
            "messages": [None, 5, "x", [], [5], [{}], [{"role": "user"}], [{"role": "alien", "content": "x"}],
                         [{"role": "user", "content": 5}], [{"role": "user", "content": [{"type": "image_url"}]}]],
            "stream_options": [5, {"include_usage": 5}],
        }
        for field, values in absurd.items():
            for value in values:
                with self.subTest(field=field, value=value):
                    self.assert_refused({**ask("Hi"), field: value}, field)
        with self.subTest("top_logprobs"):
            self.assert_refused({**ask("Hi"), "logprobs": True, "top_logprobs": 21}, "top_logprobs")
            self.assert_refused({**ask("Hi"), "logprobs": True, "top_logprobs": -1}, "top_logprobs")

    def test_refuses_completions_of_absurd_prompts(self):
        for prompt in (None, 5, {}, [], [[]], [[-1]], [[10**9]], [99999], ["a", 5], ""):
            with self.subTest(prompt=prompt):
                self.assert_refused({"prompt": prompt}, "prompt", path="/v1/completions")

    def test_refuses_what_is_not_json_or_not_an_object(self):
        for body in (b"", b"{", b"[]", b"null", b'"x"', b"{'a': 1}", b'{"messages": [}', b"\x00", b'{"a": 1} trailing', b"1e999999",
                     b"[" * 100_000, b'{"a":' * 20_000):
            with self.subTest(body=body[:20]):
                self.assert_refused(body, "")

    def test_refuses_text_that_is_not_utf8_and_half_surrogates(self):
        for text in (rb'{"messages":[{"role":"user","content":"' + b"\xff\xfe" + rb'"}]}',
                     rb'{"messages":[{"role":"user","content":"' + b"\xc0\xaf" + rb'"}]}',
                     rb'{"messages":[{"role":"user","content":"' + b"\xed\xa0\x80" + rb'"}]}',
                     rb'{"messages":[{"role":"user","content":"\ud800"}]}'):
            with self.subTest(text=text):
                self.assert_refused(text, "")

    def test_answers_text_of_every_script_without_breaking_a_character(self):
        for text in ("日本語", "🙂👍🏽", "Привет", "a\u0000b", "\u202e", "e\u0301" * 50):
            reply = request(self.halod.port, "POST", CHAT, ask(text, max_tokens=16))
            self.assertEqual(reply.status, 200, reply.body)
            self.assertNotIn("\ufffd", reply.json()["choices"][0]["message"]["content"] or "")

    def test_says_both_numbers_when_the_context_overflows(self):
        error = self.assert_refused(ask("word " * 3000), "", status=400)
        self.assertEqual(error["code"], "context_length_exceeded")
        self.assertRegex(error["message"], r"\b\d{4,}\b.*\b1024\b")
        error = self.assert_refused(ask("Hi", max_tokens=5000), "max_tokens", status=400)
        self.assertRegex(error["message"], r"\b5000\b.*\b1024\b")

    def test_bounds_body_and_header(self):
        self.assert_refused(b" " * (300 << 10), "", status=413)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        self.assertIn(b" 413 ", raw_exchange(self.halod.port, head).split(b"\r\n")[0])
        large = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 20_000 + b"\r\n\r\n"
        self.assertIn(b" 431 ", raw_exchange(self.halod.port, large).split(b"\r\n")[0])

    def test_survives_malformed_http(self):
        for data in (b"\r\n\r\n", b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(200),
                     b"POST " + CHAT.encode() + b" HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                     b"POST " + CHAT.encode() + b" HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                     b"POST " + CHAT.encode() + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
                     b"GET /" + b"%" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n"):
            with self.subTest(data=data[:40]):
                answer = raw_exchange(self.halod.port, data, half_close=True)
                # Closing without a word is an answer to what is no HTTP at all; 200 never is.
                self.assertNotIn(b" 200 ", answer.split(b"\r\n")[0])

    def test_closes_on_a_client_that_stops_in_the_middle_of_its_body(self):
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"messages\":"
        self.assertNotIn(b" 200 ", raw_exchange(self.halod.port, head, half_close=True))

    def test_tells_apart_an_unknown_path_and_a_wrong_method(self):
        reply = request(self.halod.port, "GET", "/v1/nothing")
        self.assertEqual(reply.status, 404)
        reply.error()
        reply = request(self.halod.port, "DELETE", CHAT)
        self.assertEqual(reply.status, 405)
        self.assertIn("POST", reply.headers["allow"])
        self.assert_refused({**ask("Hi"), "model": 5}, "model")

    def test_serves_many_requests_on_one_connection(self):
        get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        self.assertEqual(raw_exchange(self.halod.port, get * 20 + last).count(b"HTTP/1.1 200 "), 21)


class AFullQueue(unittest.TestCase):
    def test_answers_429_with_retry_after_and_serves_the_others(self):
        with HalodProcess(config={"limits": {"max_requests": 4}}) as halod:
            body = ask("Count from 1 to 30.", **ENDLESS, max_tokens=200)
            expected = chat(halod.port, body).content
            os.kill(halod.engine_pid(), signal.SIGSTOP)  # nothing finishes while the queue is looked at
            with ThreadPoolExecutor(4) as pool:
                accepted = [pool.submit(chat, halod.port, body) for _ in range(4)]
                wait_for(lambda: metrics(halod.port)["halod_requests_unfinished"] == 4, "four accepted requests")
                reply = request(halod.port, "POST", CHAT, body)
                os.kill(halod.engine_pid(), signal.SIGCONT)
                self.assertEqual(reply.status, 429)
                self.assertGreaterEqual(int(reply.headers["retry-after"]), 1)
                self.assertIn("4", reply.error()["message"])
                self.assertEqual([future.result().content for future in accepted], [expected] * 4)
            self.assertEqual(metrics(halod.port)["halod_requests_refused_total"], 1)


class AClientThatHangsUp(unittest.TestCase):
    def steps_stop(self, port: int) -> None:
        """The engine's step counter comes to rest: nobody generates for nobody."""
        wait_for(lambda: metrics(port)["halod_requests_unfinished"] == 0, "the request to be cancelled", timeout=5)
        self.assertEqual(metrics(port)["halod_requests_cancelled_total"], 1)

    def test_in_the_middle_of_its_stream_stops_the_generation(self):
        with HalodProcess() as halod:
            stream = Stream(halod.port, CHAT, ask("Count from 1 to 100.", **ENDLESS, max_tokens=900))
            events = iter(stream)
            for _ in range(5):
                next(events)
            stream.close()
            self.steps_stop(halod.port)
            self.assertLess(metrics(halod.port)["halod_generated_tokens_total"], 900)

    def test_while_its_prompt_is_still_waiting_stops_the_generation(self):
        with HalodProcess(config={"engine": {"prefill_chunk": 1}}) as halod:
            # A stopped engine cannot have begun: the client goes while its prompt waits.
            os.kill(halod.engine_pid(), signal.SIGSTOP)
            data = json.dumps(ask("word " * 150, **ENDLESS)).encode()
            with socket.create_connection(("127.0.0.1", halod.port)) as connection:
                connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
                wait_for(lambda: metrics(halod.port)["halod_requests_unfinished"] == 1, "the request to be accepted")
            wait_for(lambda: metrics(halod.port)["halod_requests_cancelled_total"] == 1, "the hang-up to be noticed", timeout=5)
            os.kill(halod.engine_pid(), signal.SIGCONT)
            self.steps_stop(halod.port)
            self.assertEqual(metrics(halod.port)["halod_generated_tokens_total"], 0)

    def test_before_its_request_was_read_is_noticed_too(self):
        """Request and end of stream arrive together, so there is one readiness event for both."""
        with HalodProcess() as halod:
            os.kill(halod.engine_pid(), signal.SIGSTOP)
            data = json.dumps(ask("Hi", **ENDLESS)).encode()
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", halod.port)) as connection:
                    connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
            # One connection is that of the question itself.
            wait_for(lambda: (now := metrics(halod.port))["halod_requests_unfinished"] == 0 and now["halod_http_connections"] == 1,
                     "nothing to be left of twenty clients", timeout=5)
            os.kill(halod.engine_pid(), signal.SIGCONT)

    def test_half_closing_after_its_last_request_ends_the_connection(self):
        with HalodProcess() as halod:
            for _ in range(10):
                answer = raw_exchange(halod.port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True)
                self.assertNotIn(b" 500 ", answer)  # raw_exchange returns only when halod has closed its end


if __name__ == "__main__":
    run_tests()
