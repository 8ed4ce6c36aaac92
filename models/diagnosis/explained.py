"""What each finding means, in the words that the code itself is explained by: of `Code`, and of the rules."""

import ast
import inspect
from functools import cache

from models.diagnosis.diagnose import REMAINING, RULES
from models.diagnosis.finding import Code

NAMED_OTHERWISE = {
    "saturated_at_init": Code.SATURATED,
    "saturated_later": Code.SATURATED,
    "exploding_at_init": Code.EXPLODING_TIME,
    "lost_gradient": Code.VANISHING_DEPTH,
    "overshooting": Code.LEARNING_RATE_TOO_HIGH,
    "noise_by_heart": Code.NO_SIGNAL,
    "nothing_to_learn": Code.NO_SIGNAL,
    "learned_by_heart": Code.OVERFIT,
}
"""Rules of a finding that has more than one; the others have the name of theirs."""


@cache
def meaning_of(code: Code) -> str:
    """One sentence: the docstring under its name in `Code`."""
    tree = ast.parse(inspect.getsource(Code)).body[0]
    assert isinstance(tree, ast.ClassDef)
    for name, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(name, ast.Assign) and ast.unparse(name.targets[0]) == code.name:
            assert isinstance(text, ast.Expr)
            return inspect.cleandoc(ast.literal_eval(text.value))
    raise LookupError(code)


def reasons_of(code: Code) -> list[str]:
    """Why it stands in the way, and how it is recognised: the docstrings of its rules."""
    rules = [rule for rule in (*RULES, *REMAINING) if NAMED_OTHERWISE.get(rule.__name__, rule.__name__) == code]
    return [" ".join(doc.split()) for rule in rules if (doc := inspect.getdoc(rule))]
