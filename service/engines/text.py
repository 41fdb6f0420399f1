"""Token by token from tokens to text: whole characters only, cut at stop strings."""

from collections.abc import Callable, Sequence

HALF = "\N{REPLACEMENT CHARACTER}"  # what a decoder shows for an unfinished UTF-8 sequence


class TextStream:
    """Turns tokens into text that can be shown at once and need never be taken back."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = tuple(text for text in stop if text)
        self._tokens: list[int] = []  # context that was shown already, then the open window
        self._shown = 0  # characters of the decoded tokens that were handed on
        self._held = ""  # complete, but perhaps the beginning of a stop string
        self.stopped = False  # a stop string came; nothing follows

    def push(self, token: int) -> str:
        """The text that became certain with this token."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        whole = text.rstrip(HALF)
        new = whole[self._shown :]
        self._shown = max(self._shown, len(whole))
        if new and whole == text:
            self._restart()
        return self._until_stop(new)

    def finish(self) -> str:
        """What was held back; a character that never became whole shows as U+FFFD."""
        rest = self._decode(self._tokens)[self._shown :]
        text = self._until_stop(rest) + self._held
        self._held = ""
        return text

    def _restart(self) -> None:
        """Forget all but the last token, the context that decides about a leading space."""
        self._tokens = self._tokens[-1:]
        self._shown = len(self._decode(self._tokens))

    def _until_stop(self, new: str) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        ends = [position for stop in self._stop if (position := text.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of text with which stop begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
