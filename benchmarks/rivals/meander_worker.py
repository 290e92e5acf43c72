"""Meander as its user runs it: a definition file and ``meander worker``.

Contract checks, champion, rule, baseline and drift detector are on; snapshots are fsynced every second.
"""

import os
import sys
from pathlib import Path

from workload import FEATURES, Setup

setup = Setup.read()
features = "\n".join(f"[features.{name}]\nmin = -1000\nmax = 1000" for name in FEATURES)
definition = f"""
name = "{setup.name}"
task = "binary"
scope = "partition"

[label]
classes = [false, true]

{features}

[models.lr]
recipe = "logistic_regression"

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

[snapshots]
folder = "snapshots"

[web]
port = {os.environ.get("BENCH_WEB_PORT", "0")}
"""
file = Path(setup.folder) / "definition.toml"
file.write_text(definition, encoding="utf-8")
program = str(Path(sys.executable).with_name("meander"))
os.execv(program, [program, "worker", str(file)])  # noqa: S606
