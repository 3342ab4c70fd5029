"""The base class of all tables of the settings file, and the keys that all services' tables share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

_CACHE = "answers a worker keeps for repeated queries, at most 2 KiB each on average; 0: none"


def _number_or_auto(workers: object) -> object:
    text = str(workers)
    if text == "auto" or (text.isdecimal() and 1 <= int(text) <= 256):
        return text if text == "auto" else int(text)
    raise ValueError("it must be 1 to 256, or auto")


def _no_less_than_fewest(most: int, others: ValidationInfo) -> int:
    fewest = others.data.get("min_workers", 1)
    if most and most < fewest:
        raise ValueError(f"it must be min_workers, which is {fewest}, or more; or 0 for one for each core")
    return most


Count = Annotated[int, Field(ge=0, le=256)]
Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(_number_or_auto),
    Field(description="worker processes, 1 to 256; `auto`: as many as the load needs"),
]
Fewest = Annotated[int, Field(ge=1, le=256, description="with `auto`: no fewer workers than this")]
Most = Annotated[
    int,
    AfterValidator(_no_less_than_fewest),
    Field(ge=0, le=256, description="with `auto`: no more workers than this or than partitions; 0: one a core"),
]
MaxWait = Annotated[
    int, Field(ge=0, description="older requests are answered `overloaded`, by their own timestamps; 0: never")
]
Order = Annotated[
    Literal["arrival", "newest"],
    Field(description="newest: what cannot be computed in max_wait_ms (0: 500) is answered `overloaded`, oldest first"),
]


class Section(BaseModel):
    """A table of the settings file; an unknown key stops the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceSettings(Section):
    """The keys of every service's table; each service sets its own defaults and adds keys of its own."""

    workers: Workers = 2
    min_workers: Fewest = 1
    max_workers: Most = 0
    standbys: Count = 1
    batch: int = Field(32, ge=1, le=4096)
    cache: int = Field(0, ge=0, le=1_000_000, description=_CACHE)
    max_k: int = Field(100, ge=1, le=1000)
    batch_bytes: int = Field(1_048_576, ge=1, description="most bytes of requests computed at once")
    max_wait_ms: MaxWait = 0
    order: Order = "arrival"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["auto", "float32"] = Field("auto", description="auto: bfloat16 where the processor has it")
