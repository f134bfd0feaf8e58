"""Greets. In prunella.config.ts: pools: { hello: { agent: { command: ['python3', 'agent.py'] } } }"""

import os
import sys

# In the repository the client lies beside the examples; elsewhere, put prunella.py next to this file.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "python"))

from prunella import run  # noqa: E402


def handle(task):
    greeting = task.step("greet", lambda call: "Hello, %s!" % task.input["name"])
    task.progress("greeted")
    return {"greeting": greeting}


if __name__ == "__main__":
    run(handle)
