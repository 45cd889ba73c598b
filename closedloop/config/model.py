"""What all models of YAML files share: nothing unknown, nothing converted, nothing infinite."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A part of a file: unknown keys, strings for numbers, NaN and infinity are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
