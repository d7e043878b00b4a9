"""Whether JSON has the form that an interface demands: all that it must have, and nothing that it does not know.

A form is a type (`float` takes any number, `object` anything), `None`, a set of words, a pattern of a whole string, a list
of one form, a tuple of several of which one must fit, a function from the value to its form, or an object: its fields'
forms by their names, with `!` after the name of one that must be there.
"""

import re


class Wrong(Exception):
    """What is wrong, and where: `a.b[0]`. `unknown` is the name of a field that does not exist there."""

    def __init__(self, at, why, unknown=None):
        super().__init__(f"{at or 'the body'}: {why}")
        self.at, self.why, self.unknown = at, why, unknown


def check(value, form, at=""):
    if callable(form) and not isinstance(form, type):
        form = form(value)
    match form:
        case dict():
            fields(value, form, at)
        case [each]:
            if not isinstance(value, list):
                raise Wrong(at, "no list")
            for index, one in enumerate(value):
                check(one, each, f"{at}[{index}]")
        case tuple():
            one_of(value, form, at)
        case set():
            if not isinstance(value, str) or value not in form:
                raise Wrong(at, f"{value!r} is none of {sorted(form)}")
        case re.Pattern():
            if not isinstance(value, str) or not form.fullmatch(value):
                raise Wrong(at, f"{value!r} is not like {form.pattern}")
        case None:
            if value is not None:
                raise Wrong(at, "not null")
        case _:
            types = (int, float) if form is float else form
            # In Python a truth is a number, too.
            if not isinstance(value, types) or (isinstance(value, bool) and form not in (bool, object)):
                raise Wrong(at, f"{value!r} is no {form.__name__}")


def fields(value, form, at):
    if not isinstance(value, dict):
        raise Wrong(at, "no object")
    known = {name.removesuffix("!"): of for name, of in form.items()}
    for name, of in value.items():
        if name not in known:
            raise Wrong(at, f"no field is called `{name}`", unknown=name)
        check(of, known[name], f"{at}.{name}" if at else name)
    for name in form:
        if name.endswith("!") and name[:-1] not in value:
            raise Wrong(at, f"`{name[:-1]}` is missing")


def one_of(value, forms, at):
    whys = []
    for form in forms:
        try:
            return check(value, form, at)
        except Wrong as wrong:
            whys.append(wrong)
    # The one that fitted furthest says most.
    raise max(whys, key=lambda wrong: len(wrong.at))


def by(field, forms, unsaid=None):
    """The form of an object whose `field` says which it is; `unsaid` where it says nothing."""

    def form(value):
        if not isinstance(value, dict):
            return dict
        known = forms.get(value.get(field, unsaid))
        return known if known is not None else {**dict.fromkeys(value, object), f"{field}!": set(forms)}

    return form


def only(forms, beside=None):
    """The form of an object with one of these fields and no other, but for those that may stand `beside` it."""

    def form(value):
        if not isinstance(value, dict):
            return dict
        known = forms.keys() & value
        if len(known) != 1 and not value.keys() - forms - (beside or {}).keys():
            return {**dict.fromkeys(value, object), f"exactly one of {', '.join(forms)}!": object}
        return {**forms, **(beside or {})}

    return form
