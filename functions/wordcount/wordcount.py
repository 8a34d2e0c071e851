#!/usr/bin/env python3
# wordcount: counts the lines, words and bytes of a text and lists its ten most frequent words.

import re
import sys
from collections import Counter

body = sys.stdin.buffer.read()
text = body.decode("utf-8", "replace")

report = [
    f"lines {body.count(10)}",
    f"words {len(text.split())}",
    f"bytes {len(body)}",
]

# "Don't" and "don't," are one word: case and punctuation around it do not count.
frequency = Counter(re.findall(r"\w+(?:['’]\w+)*", text.lower()))
for word, count in sorted(frequency.items(), key=lambda item: (-item[1], item[0]))[:10]:
    report.append(f"{count:7} {word}")

# Bytes, because the locale of the machine may not know every letter.
sys.stdout.buffer.write(("\n".join(report) + "\n").encode())
