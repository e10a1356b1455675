"""Connecting to a model: find out what an endpoint is and what it can do, once, then believe the probe."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, cast

import httpx2

from specreason.config import EngineSettings, Settings
from specreason.engines.dialects import DIALECTS, GENERIC, Dialect, Route, recognise
from specreason.engines.http import Endpoint, HttpEngine, fingerprint
from specreason.engines.probing import with_seen_capabilities
from specreason.engines.protocol import Capabilities
from specreason.engines.reading import Json, count, inner, listed, objects, text
from specreason.engines.templates import Template, load_template
from specreason.engines.transport import Transport
from specreason.errors import ConfigError, EngineRejected


def _models(reply: Any) -> Json:
    """The listing in one shape: `data` is a list of entries with an `id`, each model once."""
    whole: Json = {"data": cast("list[Any]", reply)} if isinstance(reply, list) else reply
    shapes: list[Any] = [whole.get("data"), whole.get("models")]
    entries: dict[str, Json] = {}
    for entry in listed(whole, "data") or listed(whole, "models"):
        model: Json = cast("Json", entry) if isinstance(entry, dict) else {"id": entry}
        if named := next((n for key in ("id", "model", "name") if (n := text(model.get(key)))), ""):
            entries.setdefault(named, {**model, "id": named})
    if not entries and not any(shape is None or shape == [] for shape in shapes):
        raise TypeError("no listing of models")
    return {"data": list(entries.values())}


_MODELS = Route("/v1/models", _models)
# Assumed where neither the endpoint nor the settings say; small enough to be true of any current model.
_ASSUMED_CONTEXT = 4096
# Tokenizers that split this alike are alike: words, digits, operators, scripts, thinking tags.
_PROBE_TEXT = (
    "First, 12345.678 + 90 = \\frac{3}{4}; café naïve 東京 Привет 🦊\n\nTherefore\tx² ≤ y <think>so</think>"
)


async def connect(
    name: str,
    settings: EngineSettings,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    on_close: Callable[[], Awaitable[None]] | None = None,
) -> HttpEngine:
    """The engine behind `settings.url`, probed.

    Raises EngineUnavailable or EngineTimeout if nothing answers, EngineRejected if what answers is not a
    completions API or does not serve the model, ConfigError if a chat template must be named.
    """
    http = Transport(name, settings, transport)
    try:
        return await _probed(name, settings, http, on_close)
    except BaseException:
        await http.aclose()
        raise


async def open_endpoint(name: str, settings: EngineSettings, _streams: int) -> HttpEngine:
    """The kind "http". Raises ConfigError without a `url`, else as `connect`."""
    if not settings.url:
        raise ConfigError(f"setting '{name}.kind' is 'http', which needs '{name}.url': the server's address")
    return await connect(name, settings)


async def open_decoding_endpoint(settings: Settings, _streams: int) -> HttpEngine:
    """The base model's server with token-level speculation. Raises ConfigError where none is named."""
    if settings.base.decode_url is None:
        raise ConfigError(
            "a scheme with +decode needs a base model that speculates token by token, which a server "
            "does only if it was started for it. Start one (vLLM: --speculative-config) and set "
            "'base.decode_url'; see docs/engines.md (token-level speculation)"
        )
    return await connect("base", settings.base.model_copy(update={"url": settings.base.decode_url}))


async def _probed(
    name: str, settings: EngineSettings, http: Transport, on_close: Callable[[], Awaitable[None]] | None
) -> HttpEngine:
    listing = await _listing(http, settings)
    dialect = recognise(listing) if settings.dialect == "auto" else DIALECTS[settings.dialect]
    entry = _entry(name, settings, listing, http.root)
    model = text(entry.get("id")) or settings.model
    dialect = await _with_offered_template(http, dialect, model, settings)
    offered = await _offered(http, dialect.properties, model=model)
    properties: Json = cast("Json", offered) if isinstance(offered, Mapping) else {}
    bos = await _bos(http, dialect, properties, model)
    endpoint = Endpoint(
        dialect=dialect,
        model=model,
        context_length=_context(settings, dialect, entry, properties),
        capabilities=Capabilities(own_template=bool(dialect.render), constraints=tuple(dialect.constraints)),
        vocabulary="",
        bos=bos,
        slots=count(properties.get("total_slots")) or 0,
        template=_with_tokens(await _template(name, settings, http, dialect), properties),
    )
    tokens = await _probe_tokens(http, dialect, model)
    capabilities = replace(endpoint.capabilities, tokenize=tokens is not None)
    if tokens:
        endpoint = replace(endpoint, vocabulary=fingerprint(tokens))
    engine = HttpEngine(http, settings, replace(endpoint, capabilities=capabilities), on_close)
    return await with_seen_capabilities(engine, dialect, tokens)


async def _listing(http: Transport, settings: EngineSettings) -> Json:
    try:
        return await http.ask(_MODELS)
    except EngineRejected:
        # A bare completions endpoint lists nothing; then the settings must name the model and the dialect.
        if settings.model and settings.dialect != "auto":
            return {"data": []}
        raise


def _entry(name: str, settings: EngineSettings, listing: Json, root: str) -> Json:
    entries = objects(listing, "data")
    served = [text(entry.get("id")) for entry in entries]
    if settings.model and served:
        for entry in entries:
            if settings.model in {entry["id"], *map(text, listed(entry, "aliases"))}:
                return entry
        # A proxy lists patterns of the names that it passes on, or leaves out what it loads on demand.
        if settings.dialect != "auto" or any("*" in s and fnmatchcase(settings.model, s) for s in served):
            return {"id": settings.model}
        raise EngineRejected(
            f"{root} does not serve '{settings.model}' (setting '{name}.model', or a 'pair' that names it); "
            f"it serves: {', '.join(served)}; to use it anyway, set '{name}.dialect'",
            engine=name,
        )
    if not settings.model and (len(served) != 1 or "*" in served[0]):
        raise ConfigError(
            f"set '{name}.model' to a model that {root} serves: {', '.join(served) or 'it lists none'}"
        )
    return entries[0] if entries else {"id": settings.model}


def _context(settings: EngineSettings, dialect: Dialect, entry: Json, properties: Json) -> int:
    slot = inner(properties, "default_generation_settings")
    known = count(slot.get("n_ctx")) or dialect.context(entry)
    if known and settings.context:
        return min(known, settings.context)
    return known or settings.context or _ASSUMED_CONTEXT


async def _offered(http: Transport, route: Route | None, *content: Any, model: str) -> Any:
    """What a side route tells; None where the server, or a gateway before it, does not offer it.

    Gateways refuse what they do not pass on in many ways, also as if a key were missing. Whether that one is
    right the first completion shows.
    """
    if route is None:
        return None
    try:
        return await http.ask(route, content[0] if content else None, model, *content[1:])
    except EngineRejected:
        return None


async def _with_offered_template(
    http: Transport, dialect: Dialect, model: str, settings: EngineSettings
) -> Dialect:
    """The dialect, without its way of rendering conversations where that is not offered."""
    if settings.chat_template != "auto":
        return dialect
    rendered: Any = {"messages": [{"role": "user", "content": "Hello"}]}
    for route in dialect.render:
        rendered = await _offered(http, route, rendered, settings.template_kwargs, model=model)
        if rendered is None:
            return replace(dialect, render=())
    return dialect


async def _bos(http: Transport, dialect: Dialect, properties: Json, model: str) -> str:
    """The token that the server itself would put before a text prompt, if any."""
    token = text(properties.get("bos_token"))
    if not token or dialect.tokenize is None:
        return ""
    with_bos = Route(dialect.tokenize.path, dialect.tokenize.read, _only_what_is_added)
    return token if await _offered(http, with_bos, model=model) else ""


def _only_what_is_added(_text: object, model: str, _option: object) -> dict[str, Any]:
    return {"model": model, "content": "", "add_special": True}


async def _template(
    name: str, settings: EngineSettings, http: Transport, dialect: Dialect
) -> Template | None:
    setting = f"{name}.chat_template"
    if settings.chat_template != "auto":
        return load_template(settings.chat_template, setting)
    # The server does not render for us, but says where its model lies; it may lie within reach.
    for route in dialect.model_path:
        if where := await _offered(http, route, model=""):
            try:
                return load_template(where, setting)
            except ConfigError:
                return None
    return None


def _with_tokens(template: Template | None, properties: Json) -> Template | None:
    """A Jinja file tells no special tokens; the server may."""
    if template is None:
        return None
    tokens = {name: str(properties.get(name) or "") for name in ("bos_token", "eos_token")}
    return replace(template, tokens={**tokens, **template.tokens})


async def _probe_tokens(http: Transport, dialect: Dialect, model: str) -> list[int] | None:
    return (
        None if dialect is GENERIC else await _offered(http, dialect.tokenize, _PROBE_TEXT, True, model=model)
    )
