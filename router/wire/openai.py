"""The OpenAI dialect of chat completions, in one import."""

from router.wire.answers import (
    answer_from_json,
    answer_from_message,
    answer_to_json,
    chunks_from_answer,
    completion_from_answer,
    is_usage_chunk,
)
from router.wire.assembler import StreamAssembler
from router.wire.options import Options
from router.wire.requests import (
    ChatRequest,
    count_prompt_chars,
    input_text,
    is_cascadable,
    parse_chat,
    shape_of,
    system_prompt,
    user_messages,
)

__all__ = [
    "ChatRequest",
    "Options",
    "StreamAssembler",
    "answer_from_json",
    "answer_from_message",
    "answer_to_json",
    "chunks_from_answer",
    "completion_from_answer",
    "count_prompt_chars",
    "input_text",
    "is_cascadable",
    "is_usage_chunk",
    "parse_chat",
    "shape_of",
    "system_prompt",
    "user_messages",
]
