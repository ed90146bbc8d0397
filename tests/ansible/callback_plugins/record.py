"""Writes every task's result as a line of JSON to $HALOD_ANSIBLE_RECORD, so that tests need not read what is printed for people."""
import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: Results for tests, one JSON object a line
description: See the head of the file.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def write(self, **row):
        with open(os.environ["HALOD_ANSIBLE_RECORD"], "a") as file:
            file.write(json.dumps(row, default=str) + "\n")

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.started = time.monotonic()

    def v2_playbook_on_handler_task_start(self, task):
        self.started = time.monotonic()

    def result(self, result, outcome):
        self.write(host=result._host.get_name(), task=result._task.get_name(), outcome=outcome, seconds=time.monotonic() - self.started,
                   result=result._result)

    def v2_runner_on_ok(self, result):
        self.result(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.result(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result):
        self.result(result, "unreachable")

    def v2_playbook_on_stats(self, stats):
        self.write(stats={host: stats.summarize(host) for host in sorted(stats.processed)})
