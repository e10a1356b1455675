"""The `specreason` object of a request: settings for this request only.

Its fields are made from the sections of the settings, so that every setting of the method can be sent.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, create_model

from specreason.config import ReasoningSettings
from specreason.config.knobs import Section
from specreason.config.policies import policy_sections
from specreason.server.errors import Refused
from specreason.server.fields import Strict, whole

Model = TypeVar("Model", bound=Strict)
Settable = TypeVar("Settable", bound=Section)


def settable(
    section: type[Section], **tables: Mapping[str, type[Section]]
) -> Callable[[type[Model]], type[Model]]:
    """Add every setting of `section` to a request object: optional, same type, bounds and description.

    A table (`policy={NAME: section}`) becomes an object with one object for each of its sections.
    """

    def extended(model: type[Model]) -> type[Model]:
        objects = {
            name: _nested(_object(name, {key: _nested(_section(inner)) for key, inner in sections.items()}))
            for name, sections in tables.items()
        }
        fields: dict[str, Any] = {**_settings(section), **objects}
        return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **fields)

    return extended


def overridden(section: Settable, given: Mapping[str, Any], path: str = "specreason") -> Settable:
    """`section` with the settings that a request gives. Raises Refused, which names the field."""
    changes: dict[str, Any] = {}
    for name, value in given.items():
        inner = getattr(section, name, None)
        changes[name] = overridden(inner, value, f"{path}.{name}") if isinstance(inner, Section) else value
    try:
        return type(section).model_validate(dict(section) | changes)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        param = ".".join([path, *(str(part) for part in problem["loc"][:1])])
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "it must")
        code = "invalid_value" if problem["loc"] else "conflicting_fields"  # of one setting, or of several
        raise Refused(f"'{param}': {message}", param=param, code=code) from None


def policies() -> dict[str, type[Section]]:
    """The knobs of each policy that has some, by its name."""
    return {name: field.annotation for name, field in policy_sections().model_fields.items()}  # pyright: ignore[reportReturnType]


def _settings(section: type[Section]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            fields[name] = _nested(_section(kind))
            continue
        bounds = [*field.metadata, *([BeforeValidator(whole)] if kind is int else [])]
        about = Field(description=field.description, json_schema_extra=field.json_schema_extra)
        fields[name] = (Annotated[kind | None, *bounds, about], None)
    return fields


def _section(section: type[Section]) -> type[Strict]:
    return _object(section.__name__, _settings(section), section.__doc__)


def _object(name: str, fields: dict[str, Any], about: str | None = None) -> type[Strict]:
    return create_model(name, __base__=Strict, __doc__=about, **fields)


def _nested(model: type[Strict]) -> Any:
    return (model, Field(default_factory=model))


@settable(ReasoningSettings, policy=policies())
class RequestSettings(Strict):
    """The method's settings for this request; what is left out is as the server's settings say."""

    include_steps: Annotated[
        bool,
        Field(
            description="Report each step in the response: text, author, origin, outcome, signals, seconds."
        ),
    ] = False

    def given(self, *, include: set[str] | None = None, exclude: Collection[str] = ()) -> dict[str, Any]:
        """The settings that the request gives, by name; of those only `include`, without `exclude`."""
        return self.model_dump(exclude_none=True, include=include, exclude={"include_steps", *exclude})
