"""Meander as its user runs it: a definition file and ``meander worker``. ``meander_worker.py [VARIANT]``.

Contract checks, champion, rule, baseline and drift detector are on; snapshots are fsynced every second. With
``fast`` the models are those of the preset, in a blend; with ``transactions`` outputs go in transactions.
"""

import os
import sys
from pathlib import Path

from workload import FEATURES, Setup

from learners.presets import ROSTERS

setup = Setup.read()
variant = sys.argv[1] if len(sys.argv) > 1 else ""
models = {"lr": "logistic_regression"}
if variant == "fast":
    models = {seat.slot: seat.recipe for seat in ROSTERS["binary"]["fast"]}
roster = "\n".join(f'[models.{slot}]\nrecipe = "{recipe}"' for slot, recipe in models.items())
features = "\n".join(f"[features.{name}]\nmin = -1000\nmax = 1000" for name in FEATURES)
definition = f"""
name = "{setup.name}"
task = "binary"
scope = "partition"

[label]
classes = [false, true]

{features}

{roster}

[rules.high]
when = "x1 > 1"
then = {{ true = 0.7 }}

[rules.prior]
recipe = "class_frequencies"

[drift]
detector = "ADWIN"

[kafka]
brokers = "{setup.brokers}"
partitions = {setup.partitions}
transactions = {str(variant == "transactions").lower()}

[snapshots]
folder = "snapshots"

[web]
port = {os.environ.get("BENCH_WEB_PORT", "0")}
"""
file = Path(setup.folder) / "definition.toml"
file.write_text(definition, encoding="utf-8")
program = str(Path(sys.executable).with_name("meander"))
os.execv(program, [program, "worker", str(file)])  # noqa: S606
