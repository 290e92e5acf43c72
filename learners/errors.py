"""What can be wrong with a definition or a state, in words that say what to do.

MeanderError
├── DefinitionError          the definition file: names file, key and remedy
├── RecipeError              a recipe that cannot be built
├── SnapshotError            state that cannot be used
│   └── IncompatibleSnapshotError
├── StaleGenerationError     a worker that was replaced and does not know it yet
├── StoreUnavailableError    a place for state that does not answer, or is full: try again
├── LostStateError           state and log do not meet: something between them is gone
└── (stream) SettingsError, ...
"""


class MeanderError(Exception):
    """Any error Meander raises on purpose. The message is meant for the person who must act."""


class DefinitionError(MeanderError):
    """A definition that cannot work.

    Parameters
    ----------
    key
        Dotted path of the key at fault, e.g. ``features.amount.min``.
    problem
        What is wrong.
    remedy
        What to write instead.
    file
        The file it stands in, when known.
    """

    def __init__(self, key: str, problem: str, remedy: str, file: str | None = None) -> None:
        self.key, self.problem, self.remedy, self.file = key, problem, remedy, file
        where = f"{file}: " if file else ""
        super().__init__(f"{where}{key}: {problem}. {remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str | None]]:
        return type(self), (self.key, self.problem, self.remedy, self.file)

    def in_file(self, file: str) -> "DefinitionError":
        """Return the same error, naming the file."""
        return DefinitionError(self.key, self.problem, self.remedy, file)


class RecipeError(MeanderError):
    """A recipe whose estimator cannot be built with the parameters given."""


class SnapshotError(MeanderError):
    """A snapshot that cannot be used."""


class IncompatibleSnapshotError(SnapshotError):
    """A sound snapshot that this definition or these libraries cannot continue."""


class StaleGenerationError(MeanderError):
    """State that somebody newer has taken over: whoever tries to write it was replaced, and must stop."""


class StoreUnavailableError(MeanderError):
    """A store that cannot be reached, refuses, or is full: nothing that was kept before is lost."""


class LostStateError(MeanderError):
    """State and log do not meet: records between them, or a state that was installed, are gone."""


class InsaneAnswerError(ArithmeticError):
    """An estimator answered something not finite, or probabilities that are none: its own trouble only."""
