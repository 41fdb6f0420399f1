"""What a test's adapter is aimed at, and what away from."""

from agent.losses import Example

KNOWN = [Example(tuple(range(n, n + 12)), 1) for n in range(5, 40)]
STUDIED = [Example(tuple(range(n + 12, n, -1)), 1) for n in range(60, 95)]
