"""Meander's public names, in one place.

>>> import meander
>>> meander.load_settings.__name__, meander.MeanderClient.__name__
('load_settings', 'MeanderClient')
"""

from learners.definition import Definition, Rule, parse_definition
from learners.errors import DefinitionError, MeanderError
from producers.client import MeanderClient
from stream.client import PredictionConsumer
from stream.messages import Prediction, Transition
from stream.processing.processor import Processor
from stream.settings import Settings, load_settings

__all__ = [
    "Definition",
    "DefinitionError",
    "MeanderClient",
    "MeanderError",
    "Prediction",
    "PredictionConsumer",
    "Processor",
    "Rule",
    "Settings",
    "Transition",
    "load_settings",
    "parse_definition",
]
