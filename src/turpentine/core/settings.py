"""Settings of plug-ins: what their fields can be, checked in one place, and which of them can be written as text."""

from __future__ import annotations

import dataclasses
import math
import operator
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types as at

from turpentine.core.default_progress import shows_progress, takes_progress
from turpentine.core.errors import BadArgument
from turpentine.core.model_argument import checks_model, takes_model

if TYPE_CHECKING:
    from pydantic import ValidationError

_PLAIN = (str, int, float, bool, Path)

FINITE = at.Predicate(math.isfinite)

# What many settings are.
Count = Annotated[int, at.Ge(1)]
Seed = Annotated[int, at.Ge(0), at.Lt(2**63)]
Finite = Annotated[float, FINITE]
Positive = Annotated[float, at.Gt(0), FINITE]
NonNegative = Annotated[float, at.Ge(0), FINITE]
Fraction = Annotated[float, at.Ge(0), at.Le(1)]
Share = Annotated[float, at.Gt(0), at.Le(1)]


def _is_not_blank(text: str) -> bool:
    """text that is not blank."""
    return isinstance(text, str) and bool(text.strip())


Text = Annotated[str, at.Predicate(_is_not_blank)]


class Settings:
    """A dataclass whose fields are checked against the constraints in their annotations when it is made.

    Constraints are those of `annotated_types` and `Literal`, also inside of unions and tuples; the command line, the
    bench's files and the error messages read the same ones. What relates two fields is for the class to check.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Rubbing(Settings):
        ...     passes: Annotated[int, at.Ge(1)] = 3
        >>> Rubbing(passes=0)
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: Rubbing's passes is 0: give 1 or more.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the call of a plug-in show its progress where it is given no function for that, and check its model."""
        super().__init_subclass__(**kwargs)
        call = cls.__dict__.get("__call__")
        for applies, decorate in ((takes_progress, shows_progress()), (takes_model, checks_model)):
            if call is not None and applies(call):
                call = decorate(call)
                setattr(cls, "__call__", call)  # noqa: B010

    def __post_init__(self) -> None:
        """Check each field.

        Raises:
            BadArgument: A field is out of its range or of another type, such as 2.5 steps; the class, the field, the
                value and the range are named.
        """
        for name, hint in field_types(type(self)).items():
            value = getattr(self, name)
            if not fits(value, hint):
                raise BadArgument(f"{type(self).__name__}'s {name} is {value!r}: give {range_of(hint)}.")
            if not is_typed(value, hint):
                expected = ", ".join(filter(None, (type_of(hint), range_of(hint))))
                raise BadArgument(f"{type(self).__name__}'s {name} is {value!r}: give {expected}.")


def field_types(cls: Any) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields by name, with their constraints."""
    return _field_types(cls)


@cache
def _field_types(cls: Any) -> Mapping[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def speakable(hint: Any) -> Any:
    """Return the part of a type that can be written as text, None if there is none: `str | Sites` gives `str`."""
    if get_origin(hint) is Annotated:
        return hint if speakable(get_args(hint)[0]) else None
    if hint in _PLAIN or get_origin(hint) is Literal:
        return hint
    if get_origin(hint) in (Union, types.UnionType):
        return _speakable_union(get_args(hint))
    if get_origin(hint) is tuple and all(arg is ... or speakable(arg) for arg in get_args(hint)):
        return hint
    return None


def _speakable_union(members: tuple[Any, ...]) -> Any:
    parts = [part for part in map(speakable, members) if part is not None]
    if not parts:
        return None
    return Union[(*parts, *(member for member in members if member is type(None)))]


def as_typed(value: Any, hint: Any) -> Any:
    """Return a value as a file writes it in the type of a setting: a list for a tuple, "3" for 3; but no true for 1.

    Raises:
        BadArgument: The value is of another type, or out of range; the message is the end of a sentence.

    Example:
        >>> as_typed([1, "2"], tuple[int, ...])
        (1, 2)
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        typed = TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise BadArgument(reason(error)) from error
    parts = zip(value, typed, strict=True) if isinstance(value, list) and isinstance(typed, tuple) else [(value, typed)]
    if any(isinstance(before, bool) and not isinstance(after, bool) for before, after in parts):
        raise BadArgument("true and false are no numbers")
    return typed


def reason(error: ValidationError) -> str:
    """Return what is wrong with a value first, as the end of a sentence."""
    text: str = error.errors()[0]["msg"]
    return text[:1].lower() + text[1:]


def range_of(hint: Any) -> str:
    """Return what a type's constraints allow, in words; the empty text where there are none.

    Example:
        >>> range_of(Share), range_of(Count | None), range_of(Literal["row", "matrix"])
        ('over 0 and up to 1', '1 or more, or none', 'one of row, matrix')
    """
    if not _is_constrained(hint):
        return ""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _in_words(list(_constraints(hint)))
    if origin is Literal:
        return str(args[0]) if len(args) == 1 else f"one of {', '.join(map(str, args))}"
    parts = list(dict.fromkeys("none" if arg is type(None) else range_of(arg) for arg in args))
    if origin is tuple:
        return f"{' and '.join(filter(None, parts))} for each"
    return ", or ".join(filter(None, parts))


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value satisfies the constraints of a type; a type without any allows all."""
    if not _is_constrained(hint):
        return True
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, args[0]) and all(_holds(each, value) for each in _constraints(hint))
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        items = args[:1] * len(value) if args[-1] is ... else args
        return len(value) == len(items) and all(map(fits, value, items))
    return any(_is_of(value, arg) and fits(value, arg) for arg in args)


def is_typed(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type, however its items are listed; a type that cannot be checked allows all.

    Example:
        >>> is_typed(3, Count), is_typed(2.5, Count), is_typed(True, Count), is_typed("church", tuple[str, ...])
        (True, False, False, False)
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return is_typed(value, args[0])
    if origin in (Union, types.UnionType):
        return any(is_typed(value, arg) for arg in args)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        items = args[:1] * len(value) if args[-1] is ... else args
        return len(value) == len(items) and all(map(is_typed, value, items))
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    plain = type(None) if hint is None else origin or hint
    if not isinstance(plain, type) or getattr(plain, "_is_protocol", False):
        return True
    # A text is a sequence of texts too, and one in the place of several would be read letter by letter.
    return isinstance(value, plain) and not (isinstance(value, str) and plain is not str)


def type_of(hint: Any) -> str:
    """Return what a type is, in words; the empty text where there are none for it.

    Example:
        >>> type_of(Count), type_of(tuple[str, ...]), type_of(float | None)
        ('a whole number', 'several in brackets', 'a number, or none')
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_of(args[0])
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(filter(None, map(type_of, args))))
    plain = origin or hint
    return _TYPE_WORDS.get(
        plain, "several in brackets" if plain in (tuple, Sequence) else getattr(plain, "__name__", "")
    )


def _is_constrained(hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return any(True for _ in _constraints(hint)) or _is_constrained(args[0])
    if origin in (Union, types.UnionType, tuple):
        return any(map(_is_constrained, args))
    return origin is Literal


def _is_of(value: Any, hint: Any) -> bool:
    """Return whether a value is of the class of a union's member. An int is a float."""
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if plain is float:
        return isinstance(value, int | float)
    return not isinstance(plain, type) or isinstance(value, plain)


def _constraints(hint: Any) -> Iterator[Any]:
    for each in get_args(hint)[1:]:
        if isinstance(each, at.GroupedMetadata):
            yield from each
        elif isinstance(each, at.BaseMetadata):
            yield each


def _holds(constraint: Any, value: Any) -> bool:
    test = _TESTS.get(type(constraint))
    try:
        return test is None or bool(test(value, _limit(constraint)))
    except TypeError:  # a text where a number belongs
        return False


def _limit(constraint: Any) -> Any:
    """Return the one value of a constraint, such as 1 of Ge(1)."""
    return getattr(constraint, dataclasses.fields(constraint)[0].name)


_TESTS: Mapping[type[Any], Callable[[Any, Any], bool]] = {
    at.Gt: operator.gt,
    at.Ge: operator.ge,
    at.Lt: operator.lt,
    at.Le: operator.le,
    at.MultipleOf: lambda value, limit: value % limit == 0,
    at.MinLen: lambda value, limit: len(value) >= limit,
    at.MaxLen: lambda value, limit: len(value) <= limit,
    at.Predicate: lambda value, test: test(value),
}

_NUMBERS: Mapping[Any, type[Any]] = {int: Integral, float: Real}

_TYPE_WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
    type(None): "none",
    Literal: "",
}

_WORDS: Mapping[type[Any], str] = {
    at.Gt: "over {}",
    at.Ge: "{} or more",
    at.Lt: "less than {}",
    at.Le: "up to {}",
    at.MultipleOf: "a multiple of {}",
    at.MinLen: "{} of them or more",
    at.MaxLen: "{} of them at most",
}


def _in_words(constraints: list[Any]) -> str:
    bounds = [_WORDS[type(each)].format(_limit(each)) for each in constraints if type(each) in _WORDS]
    tests = [each.func for each in constraints if isinstance(each, at.Predicate)]
    finite = ["a finite number"] if math.isfinite in tests else []
    # Another test says what it asks for by its docstring: "an odd number".
    own = [(test.__doc__ or test.__name__).rstrip(".") for test in tests if test is not math.isfinite]
    return ", ".join(filter(None, (*finite, " and ".join([*bounds, *own]))))
