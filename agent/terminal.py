"""Draws an answer's events on a terminal: the words as they come, the steps and their milliseconds when traced."""

from __future__ import annotations

import sys

from agent.assistant import Assistant
from agent.errors import AgentError
from agent.events import (
    Answer,
    Answered,
    Failed,
    Progress,
    SourcesFound,
    Timings,
    Token,
    ToolFinished,
    ToolStarted,
)
from agent.request import Request


class AnswerFailed(AgentError):
    """The answer ended in a Failed event; carries its code and sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def answer_on_terminal(assistant: Assistant, request: Request, *, quiet: bool, trace: bool) -> Answer:
    """Ask and draw on standard error, so that standard output holds the checked answer alone.

    Args:
        assistant: who answers.
        request: the person's words, the tool and the documents they chose.
        quiet: draw no words while they come.
        trace: print every step with its milliseconds.

    Raises:
        AnswerFailed: with the code and sentence of what stopped the answer.
    """
    live = not quiet and sys.stderr.isatty()
    if not quiet and (endpoint := getattr(assistant.chat_model, "endpoint", None)):
        print(f"The chat model is at {endpoint.host}: the question and passages are sent there.", file=sys.stderr)
    events = assistant.stream(
        request.question,
        thread=request.thread,
        tool=request.tool,
        documents=request.documents,
        over=request.over,
    )
    for event in events:
        match event:
            case Token(text=text) if live:
                print(text, end="", file=sys.stderr, flush=True)
            case ToolStarted(name=name, input=given) if trace:
                print(f"-> {name} {given}", file=sys.stderr)
            case ToolFinished(name=name, output=output, milliseconds=ms) if trace:
                print(f"<- {name} in {ms:.0f} ms\n{output}", file=sys.stderr)
            case Progress(done=done, total=total, what=what) if live or trace:
                print(f"   {what} ({done} of {total})", file=sys.stderr)
            case SourcesFound(sources=sources) if trace:
                print(f"   {len(sources)} passages go to the model", file=sys.stderr)
            case Failed(code=code, message=message):
                raise AnswerFailed(code, message)
            case Answered(answer=answer):
                if live:
                    print("\r\x1b[K\n" if answer.new_tokens else "", end="", file=sys.stderr)
                if trace:
                    print(f"   {_spent(answer.timings)}", file=sys.stderr)
                return answer
    raise AssertionError("a stream ends with Answered or Failed")


def _spent(timings: Timings) -> str:
    """`route 12 ms, search 40 ms, first word after 310 ms, all 900 ms`; a stage that did not run is left out."""
    stages = {
        "route": timings.route_ms,
        "search": timings.retrieve_ms,
        "first word after": timings.first_token_ms,
        "all": timings.total_ms,
    }
    return ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in stages.items() if ms is not None)
