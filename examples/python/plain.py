"""An agent in plain Python: no SDK, no client of Prunella, nothing to install.

Its model calls go where OPENAI_BASE_URL points, with OPENAI_API_KEY: under Prunella both lead to its gateway, which
sees loops, full contexts and spent budgets in what passes. In prunella.config:

    agent: { command: ['python3', 'plain.py'], protocol: 'none' }, recovery: { injectNudge: true }
"""

import json
import os
import sys
import urllib.request

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Looks a word up",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
        },
    }
]
BOOK = {"prunella": "A herb called self-heal: it grows back where it was cut."}


def complete(messages):
    body = json.dumps({"model": os.environ.get("MODEL", "gpt-4o"), "messages": messages, "tools": TOOLS}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)["choices"][0]["message"]


def run(call):
    word = json.loads(call["function"]["arguments"]).get("word", "")
    return BOOK.get(word, "nothing is known about this word")


def main():
    messages = [{"role": "user", "content": json.load(sys.stdin)["question"]}]
    while True:
        answer = complete(messages)
        messages.append(answer)
        calls = answer.get("tool_calls") or []
        if not calls:
            print(json.dumps({"answer": answer["content"]}))
            return
        for call in calls:
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": run(call)})


main()
