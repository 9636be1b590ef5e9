"""Reads YAML into frozen settings and turns every mistake in it into one line."""

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from spillover.artifacts.files import read_whole
from spillover.errors import UserError, unknown_name

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
_IDENTITY = {"purpose": "identity"}
DEEPEST = 50
MOST_NODES, MOST_BYTES = 100_000, 1_000_000
"""Of a YAML file; the largest suite has about 2 000 and 13 000, and a few aliases of aliases stand for billions."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What JSON and YAML can write by an escape and no file, tokenizer or terminal can hold."""


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys with the nearest name."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)

    shorthand: ClassVar[str] = ""
    """The field that a bare word or number stands for; empty when a mapping is required."""
    added_later: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after results had been stored."""

    def identity(self, *, exclude: Set[str] = frozenset()) -> dict[str, Any]:
        """Return what the settings, and those within them, decide, as plain data.

        A field that was added later is named only where it is not at its default, so that it changes no earlier key.
        """
        return self.model_dump(mode="json", exclude=set(exclude), context=_IDENTITY)

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        fields: dict[str, Any] = plain(self)
        if info.context is _IDENTITY:
            for name in self.added_later:
                if getattr(self, name) == type(self).model_fields[name].get_default(call_default_factory=True):
                    fields.pop(name, None)
        return fields

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say in the schema what each field is for, and let it take the shorthand as well."""
        made = handler(core)
        for parent in cls.__mro__:
            is_written = issubclass(parent, Settings) and inspect.get_annotations(parent)  # and not put together
            for name, words in _field_words(parent).items() if is_written else ():
                made["properties"][cls.model_fields[name].alias or name].setdefault("description", words)
        return {"anyOf": [made, {"type": ["string", "number"]}]} if cls.shorthand else made

    @model_validator(mode="before")
    @classmethod
    def _expand_and_refuse_unknown(cls, data: object) -> object:
        if cls.shorthand and isinstance(data, str | int | float):
            return {cls.shorthand: data}
        if isinstance(data, Mapping):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in data:
                if key not in known:
                    message = str(unknown_name("setting", str(key), known))
                    raise PydanticCustomError("unknown_setting", "{message}", {"message": message})
        return data


def _field_words(settings: type[Settings]) -> dict[str, str]:
    """Return the text under each field of a class's own source; read only when a schema is asked for."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(made.body)  # type: ignore[attr-defined]
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        if field.target.id in settings.model_fields
    }


class _OneOrMore:
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(core)
        return {"anyOf": [several["items"], several]}


ONE_OR_MORE = _OneOrMore()
"""Lets a lone value stand for the tuple of it: ``Annotated[tuple[int, ...], ONE_OR_MORE]``."""


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def each_once(value: tuple[T, ...]) -> tuple[T, ...]:
    """Return the values; of two that are equal a ValueError names one."""
    repeated = [item for index, item in enumerate(value) if item in value[:index]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice; list it once")
    return value


EACH_ONCE = AfterValidator(each_once)
"""Refuses a tuple that holds a value twice."""


def parse_settings(model_class: type[M], data: object, *, where: str) -> M:
    """Validate ``data``; the first mistake is raised as a UserError of one line.

    ``where`` begins the line: the file, and what within it the data is.
    """
    try:
        return model_class.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise UserError(f"{where}: {_one_line(details[0], data)}{more}") from None


def _one_line(detail: ErrorDetails, data: object) -> str:
    path = _path(detail["loc"], data, keep_last=detail["type"] == "missing")
    message = detail["msg"].removeprefix("Value error, ").replace("\n", " ")
    if detail["type"] == "missing":
        return f"{path} is missing; add it"
    if expected := re.match(r"(?:Input|String|Tuple|List|Dictionary) (should .*)", message):  # pydantic's own wording
        return f"{path or 'the content'} is {_short(detail['input'])}; it {expected.group(1)}"
    return f"{path}: {message}" if path else message


def _path(location: Sequence[str | int], data: object, *, keep_last: bool) -> str:
    """Write a pydantic location as ``a.b[0]``, without what is not in the data: union tags, fields of a shorthand."""
    path, current = "", data
    for position, part in enumerate(location):
        missing = keep_last and position == len(location) - 1
        if isinstance(current, Mapping) and (part in current or missing):
            path += f".{part}"
            current = current.get(part)
        elif isinstance(current, Sequence) and not isinstance(current, str) and isinstance(part, int):
            path += f"[{part}]"
            current = current[part] if part < len(current) else None
    return path.removeprefix(".")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars (``yes`` and ``no`` are words, ``1e-4`` is a number) and no duplicate keys."""

    yaml_implicit_resolvers = {}
    composed_count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.composed_count += 1
        if self.composed_count > MOST_NODES:
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_NODES} values", mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        # Here and not when the mapping is constructed: by then merged keys stand beside the ones that override them.
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise _refused(f"the key {key.value!r} comes twice", key)
            seen.add((key.tag, key.value))
        return node

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        if self.flow_level >= DEEPEST:  # the scanner's time grows with the square of the depth
            mark = self.get_mark()
            raise yaml.scanner.ScannerError(None, None, f"nested too deeply, more than {DEEPEST} levels", mark)
        super().fetch_flow_collection_start(token_class)

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _node_count(node, {}, 0)
        return node


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _node_count(node: yaml.Node, counts: dict[yaml.Node, int], depth: int) -> int:
    """Return how many nodes there are once every alias is written out, refusing what no file of settings needs."""
    if depth > DEEPEST:
        raise _refused(f"nested too deeply, more than {DEEPEST} levels", node)
    if isinstance(node, yaml.ScalarNode):
        if wrong := _NO_TEXT.search(node.value):
            raise _refused(f"{wrong.group()!r} is not a character", node)
        return 1
    if node not in counts:
        counts[node] = 0  # met again while it is counted: it holds itself
        inner = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        counts[node] = 1 + sum(_node_count(part, counts, depth + 1) for part in inner)
    if not counts[node]:
        raise _refused("an anchor holds itself", node)
    if counts[node] > MOST_NODES:
        raise _refused(f"the aliases stand for more than {MOST_NODES} values", node)
    return counts[node]


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def load_yaml(path: Path) -> object:
    """Read one YAML file as plain data; whatever is wrong with it is a UserError of one line."""
    try:
        content = read_whole(path, at_most=MOST_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a YAML file") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{path}: {line}{error.problem or error.context}; expected valid YAML") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply, more than {DEEPEST} levels; expected valid YAML") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # the last three: a tag on a wrong value
        raise UserError(f"{path}: {' '.join(str(error).split())}; expected valid YAML") from None
