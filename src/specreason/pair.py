"""A pair of models, connected once."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from specreason.config import EngineSettings, Scheme, Settings
from specreason.config.scheme import Role
from specreason.engines.chat_format import thinks
from specreason.engines.kinds import in_process
from specreason.engines.names import DECODER, EngineName
from specreason.engines.opening import check_same_model, open_decoder, open_engine
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError
from specreason.reasoning.planning.possible import plan_of


@dataclass(frozen=True, slots=True)
class Pair:
    """The engines at hand."""

    settings: Settings
    """How they were opened."""
    engines: Mapping[Role, Engine] = field(default_factory=dict[Role, Engine])
    """The models by role."""
    decoder: Engine | None = None
    """The base model with token-level speculation."""
    further: Mapping[str, Engine] = field(default_factory=dict[str, Engine])
    """Models that policies ask, by name."""
    thinks: Mapping[Role, bool] = field(default_factory=dict[Role, bool])
    """Whether each model thinks inside a thinking block."""

    @property
    def named(self) -> Mapping[EngineName, Engine]:
        """The engines that write, the decoder too; each is named like the scheme in which it works alone."""
        engines: dict[EngineName, Engine] = {**self.engines}
        return engines if self.decoder is None else {**engines, DECODER: self.decoder}

    def of_scheme(self, scheme: Scheme, wanted: Collection[Role]) -> dict[Role, Engine]:
        """The models of a run. Raises ConfigError if one of them, or the decoder, is not connected."""
        engines: dict[Role, Engine] = {role: self.engines[role] for role in wanted if role in self.engines}
        names: list[EngineName] = [*wanted]
        if scheme.decode and "base" in wanted:
            names = [DECODER, *(role for role in wanted if role != "base")]
            # It judges too, where it can: one cache then holds the chain, and reads each draft once.
            if self.decoder is not None and (_judges(self.decoder) or "base" not in engines):
                engines["base"] = self.decoder
        if missing := [name for name in names if name not in self.named]:
            how = "enter it first: async with SpecReason(...) as engine"
            if self.named:
                how = f"pass roles={tuple(names)!r} to SpecReason"
            raise ConfigError(
                f"scheme '{scheme}' needs the {missing[0]} model, which is not connected; {how}"
            )
        return engines

    def section(self, role: Role) -> EngineSettings:
        """The settings of a model."""
        return self.settings.base if role == "base" else self.settings.small

    def in_process(self, role: Role) -> bool:
        """Whether a model works on the cores of this process."""
        engine = self.engines.get(role) or (self.decoder if role == "base" else None)
        return engine is not None and engine.capabilities.in_process


def given(
    settings: Settings, engines: Mapping[str, Engine] | Mapping[Role, Engine], decoder: Engine | None
) -> Pair:
    """A pair of engines that are open already: by role, and further models by name."""
    roles: tuple[Role, ...] = ("base", "small")
    named: dict[str, Engine] = {str(name): engine for name, engine in engines.items()}
    models: dict[Role, Engine] = {role: named.pop(role) for role in roles if role in named}
    return Pair(settings, models, decoder, named)


async def with_thinking(pair: Pair) -> Pair:
    """The pair, and whether each of its models thinks inside a thinking block."""
    known: dict[Role, bool] = {}
    if pair.decoder is not None:
        known["base"] = await thinks(pair.decoder, pair.settings.base)
    for role, engine in pair.engines.items():
        known[role] = await thinks(engine, pair.section(role))
    return Pair(pair.settings, pair.engines, pair.decoder, pair.further, known)


@asynccontextmanager
async def opened(settings: Settings, names: Collection[EngineName]) -> AsyncGenerator[Pair]:
    """The engines of these names and all further models, open as long as the context is.

    Raises EngineError, ModelFileError or ConfigError.
    """
    engines: dict[Role, Engine] = {}
    decoder: Engine | None = None
    roles: list[Role] = [name for name in names if name != DECODER]
    async with AsyncExitStack() as stack:
        if DECODER in names:  # first: what cannot be is found out before anything is loaded
            decoder = await open_decoder(settings, _streams(settings, "base"))
            stack.push_async_callback(decoder.aclose)
            if not _judges(decoder) and "small" in roles and "base" not in roles:
                roles.append("base")  # someone has to judge
        for role in roles:
            section = settings.base if role == "base" else settings.small
            engines[role] = await open_engine(role, section, _streams(settings, role))
            stack.push_async_callback(engines[role].aclose)
        if decoder is not None and "base" in engines:
            check_same_model(engines["base"], decoder)
        further: dict[str, Engine] = {}
        for name, section in settings.models.items():
            further[name] = await open_engine(f"models.{name}", section)
            stack.push_async_callback(further[name].aclose)
        yield await with_thinking(Pair(settings, engines, decoder, further))


def _streams(settings: Settings, role: Role) -> int:
    """In how many places of one conversation a model works at the same time."""
    plan = plan_of(settings.reasoning, in_process=in_process("small", settings.small))
    return plan.lanes if role == "small" else 1 + plan.repair.beside


def _judges(engine: Engine) -> bool:
    """Whether an engine can score: it reports the next token's distribution, and truly."""
    return engine.capabilities.first_token_logprobs > 0
