"""Answers in a form: `response_format` as a grammar, and LangChain's `with_structured_output` on top of it."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from models.errors import BadOption

if TYPE_CHECKING:
    from models.constrained import Constraint

Method = Literal["json_schema", "function_calling", "json_mode"]
_EXPECTED = 'a json_schema, json_object, regex or choice form such as {"type": "json_object"}'


def constraint_of(response_format: Any, max_new_tokens: int) -> Constraint | None:
    """The grammar that a `response_format` asks for; None asks for none.

    OpenAI's forms `{"type": "text" | "json_object"}` and `{"type": "json_schema", "json_schema": {"schema": ...}}`, and
    two of our own: `{"type": "choice", "choice": [...]}` and `{"type": "regex", "regex": "..."}`.

    Raises:
        BadOption: it is none of these, or a grammar cannot express it.
    """
    if response_format is None:
        return None
    from models import constrained

    match response_format:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return constrained.json_schema({"type": "object"}, max_new_tokens)
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return constrained.json_schema(schema, max_new_tokens)
        case {"type": "choice", "choice": [*options]}:
            return constrained.choice([str(option) for option in options])
        case {"type": "regex", "regex": str(pattern)}:
            return constrained.regex(pattern)
        case _:
            raise BadOption("response_format", response_format, _EXPECTED)


def structured(
    model: BaseChatModel, schema: dict[str, Any] | type, method: Method, include_raw: bool, options: dict[str, Any]
) -> Runnable[Any, Any]:
    """The model bound to the schema's form, its text parsed into the schema's own type.

    Raises:
        BadOption: the method is unknown.
    """
    if method not in ("json_schema", "json_mode"):
        raise BadOption("method", method, "json_schema, function_calling or json_mode")
    # JSON mode elsewhere hopes that the prompt names the keys; here the schema is at hand, so it is held to.
    json_schema = convert_to_json_schema(schema)
    name = str(json_schema.get("title", "answer"))
    response_format = {"type": "json_schema", "json_schema": {"name": name, "schema": json_schema}}
    traced = {"kwargs": {"method": method}, "schema": schema}
    bound = model.bind(response_format=response_format, ls_structured_output_format=traced, **options)
    parser: BaseOutputParser[Any]
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = PydanticOutputParser(pydantic_object=schema)
    else:
        parser = JsonOutputParser()
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([failed], exception_key="parsing_error")
