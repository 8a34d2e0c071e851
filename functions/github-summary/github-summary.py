#!/usr/bin/env python3
# github-summary: turns a GitHub webhook into one JSON object with a sentence on what happened.

# Hundreds of these run at once on two cores: every further import costs them all.
import json
import os
import sys

# Actions that do not read as a verb before "issue #1" or "pull request #1".
VERBS = {
    "synchronize": "updated",
    "ready_for_review": "marked as ready",
    "converted_to_draft": "turned into a draft",
    "review_requested": "asked for a review of",
    "review_request_removed": "withdrew a review request for",
}


def main():
    event = os.environ.get("Http_X_Github_Event") or "unknown"
    payload = read_payload()

    repository = dig(payload, "repository", "full_name")
    sender = dig(payload, "sender", "login")
    who = sender or "someone"
    where = repository or dig(payload, "organization", "login") or "an unnamed repository"

    if event == "push" and isinstance(payload.get("ref"), str):
        summary, facts = push(payload, who, where)
    elif event == "issues" and isinstance(payload.get("issue"), dict):
        summary, facts = numbered("issue", payload["issue"], dig(payload, "action"), who, where)
    elif event == "pull_request" and isinstance(payload.get("pull_request"), dict):
        summary, facts = numbered("pull request", payload["pull_request"], dig(payload, "action"), who, where)
    elif event == "ping":
        summary, facts = ping(payload, where)
    else:
        action = dig(payload, "action")
        name = f"{event} ({action})" if action else event
        summary, facts = f"{who} caused the event {name} in {where}", {"action": action}

    answer = {
        "event": event,
        "delivery": os.environ.get("Http_X_Github_Delivery"),
        "repository": repository,
        "sender": sender,
        "summary": summary,
        **facts,
    }
    # Half a surrogate pair is legal in JSON's escapes but not in UTF-8: it becomes a question mark.
    line = json.dumps(answer, ensure_ascii=False) + "\n"
    sys.stdout.buffer.write(line.encode("utf-8", "replace"))


def push(payload, who, where):
    ref = payload["ref"]
    kind = "tag" if ref.startswith("refs/tags/") else "branch"
    name = ref.replace("refs/heads/", "", 1).replace("refs/tags/", "", 1)
    commits = len(as_list(dig(payload, "commits")))

    if dig(payload, "deleted"):
        summary = f"{who} deleted {kind} {name} of {where}"
    elif dig(payload, "created") and not commits:
        summary = f"{who} created {kind} {name} in {where}"
    else:
        verb = "force-pushed" if dig(payload, "forced") else "pushed"
        noun = "commit" if commits == 1 else "commits"
        summary = f"{who} {verb} {commits} {noun} to {name} of {where}"

    message = str(dig(payload, "head_commit", "message") or "")
    return summary, {
        "ref": ref,
        "before": dig(payload, "before"),
        "after": dig(payload, "after"),
        "commits": commits,
        "head": message.partition("\n")[0],
    }


def numbered(kind, item, action, who, where):
    number = dig(item, "number")
    title = dig(item, "title")

    if action == "closed" and dig(item, "merged"):
        verb = "merged"
    else:
        verb = VERBS.get(str(action), str(action).replace("_", " "))

    summary = f'{who} {verb} {kind} #{number} "{title}" in {where}'
    return summary, {
        "action": action,
        "number": number,
        "title": title,
        "url": dig(item, "html_url"),
    }


def ping(payload, where):
    hook = dig(payload, "hook_id")
    return f"GitHub set up webhook {hook} for {where}", {"hook_id": hook, "zen": dig(payload, "zen")}


def dig(value, *names):
    """The value at the end of a path of names, None where the path ends early."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def as_list(value):
    return value if isinstance(value, list) else []


def read_payload():
    body = sys.stdin.buffer.read()
    if body.startswith(b"payload="):
        sys.exit("github-summary: STDIN is a form: set the webhook's content type to application/json")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        sys.exit(f"github-summary: STDIN is not JSON: {error}")
    if not isinstance(payload, dict):
        sys.exit("github-summary: STDIN is not a JSON object")
    return payload


main()
