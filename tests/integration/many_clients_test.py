#!/usr/bin/env python3
"""Two hundred streaming clients at once get their whole answers, and leave nothing behind."""
import asyncio
import json
import unittest

import questions
from api_client import ENDLESS, Answer, chat, metrics, request
from halod_process import SANITIZER, SLOWDOWN, HalodProcess, n_open_files, resident_bytes, run_tests, wait_for

N_CLIENTS = 40 if SANITIZER else 200
# What malloc keeps of a burst without giving it back; a leak of one answer's buffers per client would pass it in two rounds.
ALLOWED_GROWTH_BYTES = 8 << 20


async def read_event_stream(reader: asyncio.StreamReader) -> bytes:
    """The body of a chunked response, its status checked."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if " 200 " not in head.splitlines()[0]:
        raise AssertionError(head + (await reader.read(500)).decode())
    body = b""
    while n_bytes := int(await reader.readline(), 16):
        body += await reader.readexactly(n_bytes)
        await reader.readexactly(2)
    return body


async def stream_chat(port: int, body: dict, barrier: asyncio.Event) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await barrier.wait()
        data = json.dumps({**body, "stream": True}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     + f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
        await writer.drain()
        events = [line[6:] for line in (await read_event_stream(reader)).decode().splitlines() if line.startswith("data: ")]
    finally:
        writer.close()
    answer = Answer()
    for event in events[:-1]:
        answer.add_event(json.loads(event))
    if events[-1] != "[DONE]":
        raise AssertionError(f"the stream ended with {events[-1]!r}")
    return answer


async def all_at_once(port: int, bodies: list[dict]) -> list[Answer]:
    barrier = asyncio.Event()
    tasks = [asyncio.create_task(stream_chat(port, body, barrier)) for body in bodies]
    await asyncio.sleep(0)  # every connection is begun before the first request is sent
    barrier.set()
    return await asyncio.wait_for(asyncio.gather(*tasks), 120 * SLOWDOWN)


class TwoHundredClients(unittest.TestCase):
    def test_get_complete_answers_and_memory_and_descriptors_return_to_their_level(self):
        asked = [question for group in questions.committed().values() for question in group]
        asked = (asked * (N_CLIENTS // len(asked) + 1))[:N_CLIENTS]
        with HalodProcess(config={"limits": {"max_requests": 2 * N_CLIENTS}}) as halod:
            port, bodies = halod.port, [question.request for question in asked]
            different = list({json.dumps(body): body for body in bodies}.values())
            alone = {json.dumps(body): chat(port, body) for body in different}

            def round_of_clients() -> None:
                for body, answer in zip(bodies, asyncio.run(all_at_once(port, bodies))):
                    expected = alone[json.dumps(body)]
                    self.assertEqual((answer.content, answer.reasoning_content, answer.tool_calls, answer.finish_reason),
                                     (expected.content, expected.reasoning_content, expected.tool_calls, expected.finish_reason))
                wait_for(lambda: metrics(port)["halod_requests_unfinished"] == 0, "all requests to be finished")

            def level() -> dict[str, int]:
                wait_for(lambda: metrics(port)["halod_http_connections"] <= 1, "all connections to be closed")
                return {f"{name} {what}": measure(pid) for name, pid in (("halod", halod.process.pid), ("engine", halod.engine_pid()))
                        for what, measure in (("bytes", resident_bytes), ("files", n_open_files))}

            # The first round makes the buffers that a process keeps: connection table, KV pages touched, the allocator's pools.
            round_of_clients()
            before = level()
            for _ in range(3):
                round_of_clients()
            after = level()
            print(f"  before: {before}\n  after:  {after}", flush=True)
            # One file: the connection that asked for the metrics may be closed already, or not yet.
            for name, allowed in (("bytes", ALLOWED_GROWTH_BYTES), ("files", 1)):
                for process in ("halod", "engine"):
                    if name == "files" or not SANITIZER:
                        self.assertLessEqual(after[f"{process} {name}"], before[f"{process} {name}"] + allowed)

    def test_who_hang_up_in_the_middle_leave_no_request_behind(self):
        with HalodProcess(config={"limits": {"max_requests": 2 * N_CLIENTS}}) as halod:
            port = halod.port
            body = {**questions.committed()["recall_long"][0].request, "max_tokens": 300, **ENDLESS}
            chat(port, body)
            n_files = n_open_files(halod.process.pid)

            async def hang_up() -> None:
                async def one(idx: int) -> None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    data = json.dumps({**body, "stream": True}).encode()
                    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
                    await writer.drain()
                    if idx % 3 == 0:
                        await reader.readuntil(b"data: ")  # in the answer; the others mostly hang up in the queue or the prompt
                    writer.transport.abort()

                await asyncio.wait_for(asyncio.gather(*(one(idx) for idx in range(N_CLIENTS // 2))), 60 * SLOWDOWN)

            asyncio.run(hang_up())
            wait_for(lambda: metrics(port)["halod_requests_unfinished"] == 0, "the abandoned requests to end")
            self.assertGreater(metrics(port)["halod_requests_cancelled_total"], 0)
            wait_for(lambda: n_open_files(halod.process.pid) <= n_files, "their connections to be closed")
            self.assertEqual(request(port, "GET", "/health").status, 200)


if __name__ == "__main__":
    run_tests()
